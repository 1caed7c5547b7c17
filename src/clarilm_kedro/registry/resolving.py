"""Finding an assistant in MLflow's model registry."""

import logging
from pathlib import Path

import yaml

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.assistant import AssistantSpec
from clarilm_kedro.registry.package import from_model_config

logger = logging.getLogger(__name__)

_SQLITE = "sqlite:///"


def registered_assistant(uri: str, tracking_uri: str, cache_dir: Path) -> AssistantSpec:
    """Fetch a registered model's files.

    Args:
        uri: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``runs:/...``, or a folder that holds such a model.
        tracking_uri: Of the registry.
        cache_dir: Where a GGUF base model is kept as plain weights.

    Returns:
        The assistant.

    Raises:
        ClarilmError: There is no registry, no such model, alias or version, or it is a model of another kind.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    if not tracking_uri:
        raise ClarilmError("There is no model registry: the global `tracking` is false. Give the address of a store.")
    if tracking_uri.startswith(_SQLITE) and not Path(tracking_uri.removeprefix(_SQLITE)).is_file():
        raise ClarilmError(
            f"There is no model registry yet: {tracking_uri.removeprefix(_SQLITE)} is not there. `kedro run` makes it "
            "and registers the model it trains."
        )
    mlflow.set_tracking_uri(tracking_uri)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (MlflowException, OSError) as error:
        said = str(getattr(error, "message", error)).splitlines()[0]
        raise ClarilmError(
            f"The model '{uri}' cannot be had from {tracking_uri}: {said} {_known(tracking_uri)}"
        ) from error
    try:
        described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        flavour = described["flavors"]["python_function"]
        artifacts = {name: folder / each["path"] for name, each in flavour["artifacts"].items()}
        config = flavour["config"] if isinstance(flavour["config"], dict) else {}
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ClarilmError(f"'{uri}' is no model that clarilm_kedro registered ({error}).") from error
    return from_model_config(config, artifacts, cache_dir)


def _known(tracking_uri: str) -> str:
    """Name the registered models and their aliases, for whoever mistyped one."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        models = mlflow.MlflowClient(tracking_uri).search_registered_models(max_results=20)
    except MlflowException:
        return "Look at the tracking server."
    known = [f"models:/{each.name}@{alias}" for each in models for alias in each.aliases]
    return f"Known: {', '.join(sorted(known))}." if known else "No model is registered there."
