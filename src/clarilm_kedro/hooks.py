"""What happens around a run: inputs are checked, stages are timed, chat models are closed, MLflow is fed."""

import json
import logging
import re
import resource
import sys
import time
from collections import defaultdict
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import Any

import mlflow
import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation.exceptions import ParameterValidationError
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from pydantic import BaseModel

from clarilm_kedro.errors import ClarilmError

logger = logging.getLogger(__name__)

SQLITE = "sqlite:///"
SAMPLE = "data/01_raw/sample"
# MLflow refuses names of metrics with other characters.
_NOT_IN_METRICS = re.compile(r"[^\w\-./: ]")


def show_errors_plainly() -> None:
    """Let an error that is meant for the user end the command with its sentence instead of a traceback.

    Kedro wraps what a dataset raises, so the causes of an error are looked at too.
    """
    previous = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ClarilmError | ParameterValidationError):
            cause = cause.__cause__
        if cause is None:
            previous(kind, error, trace)
        else:
            print(f"Error: {cause}", file=sys.stderr)  # noqa: T201

    sys.excepthook = show


class RunHook:
    """Checks what a run needs, times its nodes, closes its chat models and says at the end what it took."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Stop before anything runs when an input is missing.

        Raises:
            ClarilmError: Names every missing dataset and the pipeline that makes it.
        """
        self._started.clear()
        self._seconds.clear()
        missing = [name for name in sorted(pipeline.inputs()) if _is_missing(name, catalog)]
        if missing:
            told = " ".join(_who_makes(name, catalog) for name in missing)
            if SAMPLE in told:
                told += f" The sample world is written by `clarilm sample {SAMPLE}`."
            raise ClarilmError(f"This run needs data that is not there. {told}")

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Start a node's clock."""
        self._started[node.name] = time.monotonic()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Stop a node's clock."""
        self._seconds[node.name] = time.monotonic() - self._started.pop(node.name)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Close the chat models and log seconds, requests and peak memory."""
        usage = _close_chat_models()
        for line in _summary(self._seconds, usage):
            logger.info(line)
        if mlflow.active_run():
            mlflow.log_metrics({f"seconds.{name}": spent for name, spent in _by_pipeline(self._seconds).items()})
            mlflow.log_metric("peak_memory_gb", _peak_memory_gb())
            mlflow.log_metrics(_chat_metrics(usage))

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Close the chat models, so that what was paid for is stored and no server stays behind."""
        _close_chat_models()


class TrackingHook(MlflowHook):
    """kedro-mlflow's hook, mended for typed options and several runs in one process, fed by the catalog.

    A catalog entry says under ``metadata.mlflow`` what is to be logged when the dataset is saved: ``table: true`` (an
    MLflow table), ``file: true`` (the saved file as an artifact), ``metrics: [key columns]`` (every numeric column of
    every row, under the joined keys). The reasons for each override stand in docs/decisions.md.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None
        self._context: KedroContext | None = None
        self._catalog: DataCatalog | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read MLflow's configuration, its SQLite file in the project whatever folder the command runs in.

        MLflow itself is set up when a run starts: that makes the SQLite file, or calls a tracking server, and a command
        that only looks must do neither.
        """
        config = deepcopy(context.config_loader["mlflow"])
        server = config.get("server") or {}
        uri = str(server.get("mlflow_tracking_uri") or "")
        if uri.startswith(SQLITE):
            # An absolute path stays what it is: joining keeps the right-hand side then.
            server["mlflow_tracking_uri"] = f"{SQLITE}{Path(context.project_path) / uri.removeprefix(SQLITE)}"
        context.config_loader["mlflow"] = config
        # For `kedro mlflow ui`, which reads the address and starts MLflow by itself.
        context.__setattr__("mlflow", KedroMlflowConfig.model_validate(config))
        self._context = context

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Instantiate nothing; Kedro's catalog stays lazy."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Set MLflow up and open the run."""
        self._catalog = catalog
        super().after_context_created(self._context)
        super().before_pipeline_run(run_params=run_params, pipeline=pipeline, catalog=catalog)

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log a node's options as flat parameters."""
        plain = {
            name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for name, value in inputs.items()
        }
        active, run_id = mlflow.active_run(), self.run_id
        # The plugin opens the run again for every node, for runners with threads; in one thread they would pile up.
        self.run_id = None if active and active.info.run_id == run_id else run_id
        super().before_node_run(node=node, catalog=catalog, inputs=plain, is_async=is_async)
        self.run_id = run_id

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log a saved dataset as its catalog entry asks."""
        if self._catalog is None or not self._is_mlflow_enabled or mlflow.active_run() is None:
            return
        dataset = self._catalog.get(dataset_name)
        wanted = (getattr(dataset, "metadata", None) or {}).get("mlflow") or {}
        if wanted.get("table"):
            mlflow.log_table(_printable(data), artifact_file=f"tables/{dataset_name}.json")
        if wanted.get("file"):
            mlflow.log_artifact(str(vars(dataset)["_filepath"]), artifact_path="files")
        if keys := wanted.get("metrics"):
            mlflow.log_metrics(_metrics(data, keys))

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the MLflow run, also where nodes opened it again."""
        super().after_pipeline_run(run_params=run_params, pipeline=pipeline, catalog=catalog)
        self._catalog = None
        while mlflow.active_run() and not self._already_active_mlflow:
            mlflow.end_run()


def _is_missing(name: str, catalog: DataCatalog) -> bool:
    if name.startswith("params:") or name == "parameters":
        return False
    dataset = catalog.get(name)
    if dataset is None:
        return True
    # A dataset that does not say whether it exists (a model that is only configured) is taken to be there.
    says = type(dataset)._exists is not AbstractDataset._exists
    return says and not dataset.exists()


def _who_makes(name: str, catalog: DataCatalog) -> str:
    makers = [key for key in pipelines if key != "__default__" and name in pipelines[key].outputs() | _inner(key)]
    if makers:
        return f"'{name}' is made by the pipeline {makers[0]}: run `kedro run --pipeline={makers[0]}` first."
    dataset = catalog.get(name)
    said = dataset._describe() if dataset else {"filepath": "its entry in the catalog"}
    given = said.get("name", name)  # an input may have another name than its entry
    return (
        f"'{name}' is an input: {said.get('filepath')} is not there; point the global inputs.{given} at a file, a "
        f"folder or a glob (kedro run --params inputs.{given}=PATH), or set it to null."
    )


def _inner(key: str) -> set[str]:
    return {output for node in pipelines[key].nodes for output in node.outputs}


def _by_pipeline(seconds: dict[str, float]) -> dict[str, float]:
    owner = {node.name: key for key in pipelines if key != "__default__" for node in pipelines[key].nodes}
    spent: dict[str, float] = defaultdict(float)
    for name, value in seconds.items():
        spent[owner.get(name, "other")] += value
    return dict(spent)


def _summary(seconds: dict[str, float], usage: list[dict[str, Any]]) -> list[str]:
    stages = ", ".join(f"{name} {spent:.1f}" for name, spent in _by_pipeline(seconds).items())
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:5]
    lines = [
        f"Seconds per pipeline: {stages}; total {sum(seconds.values()):.1f}.",
        "Slowest nodes: " + ", ".join(f"{name} {spent:.1f} s" for name, spent in slowest) + ".",
        f"Peak memory: {_peak_memory_gb():.2f} GB.",
    ]
    if usage:
        sent = sum(stage["requests_sent"] for stage in usage)
        stored = sum(stage["store_hits"] for stage in usage)
        spent = sum(stage["cost_usd"] for stage in usage)
        cost = f" US$ {spent:,.2f} spent." if spent else ""
        lines.append(f"Chat requests: {sent} sent, {stored} answered from the response store.{cost}")
    return lines


def _chat_metrics(usage: list[dict[str, Any]]) -> dict[str, float]:
    """Name every number of every stage; with its model where several models did the same, as evaluated systems do."""
    stages = [stage["stage"] for stage in usage]
    metrics: dict[str, float] = {}
    for stage in usage:
        name = f"{stage['stage']}.{stage['model']}" if stages.count(stage["stage"]) > 1 else stage["stage"]
        for key, value in stage.items():
            if isinstance(value, int | float):
                metrics[_NOT_IN_METRICS.sub("_", f"chat.{name}.{key}")] = value
    return metrics


def _peak_memory_gb() -> float:
    # ru_maxrss is in kilobytes on Linux: https://man7.org/linux/man-pages/man2/getrusage.2.html
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def _close_chat_models() -> list[dict[str, Any]]:
    module = sys.modules.get("clarilm_kedro.datasets.chat_endpoint")
    return module.close_chat_models() if module else []


def _printable(data: pd.DataFrame) -> pd.DataFrame:
    """MLflow tables are JSON: lists and arrays become JSON text."""
    nested = data.select_dtypes("object").columns
    return data.assign(**{name: data[name].map(lambda value: json.dumps(value, default=list)) for name in nested})


def _metrics(data: pd.DataFrame, keys: list[str]) -> dict[str, float]:
    numeric = data.select_dtypes("number").columns
    return {
        ".".join([*(str(row[key]) for key in keys), column]): float(row[column])
        for row in data.to_dict("records")
        for column in numeric
        if pd.notna(row[column])
    }
