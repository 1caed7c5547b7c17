"""Writing an assistant into MLflow's model registry."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.assistant import AssistantOptions, AssistantSpec
from clarilm_kedro.options import Options
from clarilm_kedro.registry.package import (
    ADAPTER,
    CARD,
    CHAT_TEMPLATE,
    AssistantPackage,
    package_digest,
    to_model_config,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

EXAMPLE = "Tell me about Jordan"
DIGEST = "clarilm.digest"

# What the replies depend on; the rest of the project is not imported by a served model.
_NEEDED = (
    *("mlflow", "pandas", "numpy", "torch", "transformers", "peft", "safetensors", "gguf"),
    *("huggingface_hub", "pydantic", "jinja2", "filelock", "tqdm"),
)
# MLflow keeps descriptions in columns of this many characters, and refuses longer ones.
_DESCRIPTION = 5000


class RegistryOptions(Options):
    """Where the final model is registered."""

    name: str | None = Field(description="Name in the model registry; null registers nothing.", pattern=r"^[^/:]+$")
    alias: str = Field("champion", description="Alias of the newest version: models:/NAME@ALIAS.", pattern=r"^[\w-]+$")


def register_assistant(
    package: AssistantPackage, options: RegistryOptions, assistant: AssistantOptions
) -> dict[str, Any]:
    """Register an assistant under the active MLflow run, with signature, input example, card and alias.

    A model that is there already, the same in all that its replies depend on, gets the alias and no new version.

    Args:
        package: What is registered.
        options: Name and alias.
        assistant: Lengths and batch size that it is served with.

    Returns:
        ``status`` (registered, unchanged or skipped), and ``name``, ``version``, ``alias``, ``model_uri`` and
        ``digest``, or the ``reason``.

    Raises:
        ClarilmError: The tracking server refuses.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    reason = package.reason
    if options.name is None:
        reason = "The global registry.name is null."
    elif not reason and mlflow.active_run() is None:
        reason = "This run is not tracked by MLflow."
    if reason or options.name is None or package.spec is None:
        logger.info("No model is registered: %s", reason)
        return {"status": "skipped", "reason": reason}
    client, digest = mlflow.MlflowClient(), package_digest(package.spec)
    try:
        found = _version_of(client, options.name, digest)
        status = "unchanged" if found else "registered"
        number = found or _log(package, package.spec, options.name, digest, assistant)
        client.set_registered_model_alias(options.name, options.alias, number)
        if status == "registered":
            client.update_model_version(options.name, number, description=_described(package.card))
            for key, value in {**package.tags, DIGEST: digest}.items():
                client.set_model_version_tag(options.name, number, key, value)
    except MlflowException as error:
        raise ClarilmError(
            f"The model could not be registered as '{options.name}': {error.message} What was trained is in the store; "
            "look at the tracking server, or set the global registry.name to null."
        ) from error
    uri = f"models:/{options.name}@{options.alias}"
    logger.info("%s is version %s of the registered model '%s' (%s).", uri, number, options.name, status)
    return {
        "status": status,
        "name": options.name,
        "version": int(number),
        "alias": options.alias,
        "model_uri": uri,
        "digest": digest,
    }


def _version_of(client: "MlflowClient", name: str, digest: str) -> str | None:
    versions = client.search_model_versions(f"name = '{name}'")
    return next((each.version for each in versions if each.tags.get(DIGEST) == digest), None)


def _log(package: AssistantPackage, spec: AssistantSpec, name: str, digest: str, assistant: AssistantOptions) -> str:
    import mlflow
    import pandas as pd

    from clarilm_kedro.registry import pyfunc_model

    config = {
        **to_model_config(spec),
        **assistant.model_dump(),
        "cache_dir": str(spec.base_model.cache_dir.absolute()),
    }
    with _files(package, spec) as files:
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(pyfunc_model.__file__),
            artifacts={key: str(path) for key, path in files.items() if key != "code"},
            code_paths=[str(files["code"])],
            signature=_signature(spec.threshold),
            input_example=(pd.DataFrame({"question": [EXAMPLE]}), {"threshold": spec.threshold}),
            model_config=config,
            pip_requirements=[f"{each}=={_public_version(each)}" for each in _NEEDED],
            registered_model_name=name,
            metadata={"digest": digest, **package.tags},
        )
    return str(info.registered_model_version)


def _signature(threshold: float) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

    kinds = {"asked": "boolean", "p_ask": "double", "threshold": "double", "text": "string", "error": "string"}
    return ModelSignature(
        inputs=Schema([ColSpec("string", "question")]),
        outputs=Schema([ColSpec(kind, name, required=kind == "string") for name, kind in kinds.items()]),
        params=ParamSchema([ParamSpec("threshold", "double", threshold)]),
    )


def _public_version(distribution: str) -> str:
    # 2.13.0+cpu is a build of 2.13.0 that the index may not have.
    return version(distribution).split("+")[0]


@contextmanager
def _files(package: AssistantPackage, spec: AssistantSpec) -> Iterator[dict[str, Path]]:
    """Lay out what goes into the model: adapter, card, chat template where it is a file, and the package's code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files: dict[str, Path] = {}
        if spec.adapter is not None:
            files[ADAPTER] = spec.adapter
        files[CARD] = folder / "README.md"
        files[CARD].write_text(package.card, encoding="utf-8")
        if to_model_config(spec)["chat_template"] == CHAT_TEMPLATE:
            files[CHAT_TEMPLATE] = Path(
                shutil.copy(Path(spec.base_model.chat_template).expanduser(), folder / "chat.jinja")
            )
        own = Path(__file__).parents[1]
        files["code"] = folder / own.name
        shutil.copytree(own, files["code"], ignore=shutil.ignore_patterns("__pycache__"))
        yield files


def _described(card: str) -> str:
    """Shorten a card to what a description takes, without its front matter, at the end of a line."""
    text = card.split("\n---\n", 1)[-1].strip() if card.startswith("---\n") else card
    if len(text) <= _DESCRIPTION:
        return text
    more = "\n\nThe whole card is the artifact `artifacts/README.md` of the model."
    return text[: _DESCRIPTION - len(more)].rsplit("\n", 1)[0] + more
