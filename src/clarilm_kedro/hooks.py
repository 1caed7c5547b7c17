"""What happens around a run: inputs are checked, stages are timed, chat models are closed."""

import logging
import resource
import sys
import time
from collections import defaultdict
from types import TracebackType
from typing import Any

import mlflow
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation.exceptions import ParameterValidationError

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.tracking.tables import metric_name

logger = logging.getLogger(__name__)

SAMPLE = "data/01_raw/sample"


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
                metrics[metric_name("chat", name, key)] = value
    return metrics


def _peak_memory_gb() -> float:
    # ru_maxrss is in kilobytes on Linux: https://man7.org/linux/man-pages/man2/getrusage.2.html
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def _close_chat_models() -> list[dict[str, Any]]:
    module = sys.modules.get("clarilm_kedro.datasets.chat_endpoint")
    return module.close_chat_models() if module else []
