"""A plan of the chat requests of a pipeline: which stages ask, what they would ask now, what that costs."""

from collections.abc import Iterator
from typing import Any, Literal

import ibis.expr.types as ir
import pandas as pd
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.plan import CountingModel, PlanOptions, StagePlan, estimate_stage
from clarilm_kedro.datasets.chat_endpoint import ChatEndpointDataset
from clarilm_kedro.datasets.chat_endpoints import ChatEndpointsDataset
from clarilm_kedro.finetuning.memory_plan import MemoryPlan, plan_training
from clarilm_kedro.finetuning.options import DpoOptions, TrainingOptions


def plan_pipeline(pipeline: Pipeline, catalog: DataCatalog, options: PlanOptions) -> Iterator[StagePlan]:
    """Plan the stages of a pipeline that ask a chat model; nothing is asked and nothing is written.

    Args:
        pipeline: Any pipeline.
        catalog: Its datasets; those that are there are read.
        options: Assumptions for the stages whose inputs are not there.

    Yields:
        One plan per stage and chat model that it asks, in the order in which the stages run.

    Raises:
        ClarilmError: An input is missing and nothing is assumed about it.
    """
    known = _Rows(catalog)
    for node in pipeline.nodes:
        asked = _asked(node, catalog)
        if not asked:
            continue
        # What is assumed of a stage may be said for all its copies, or for the one in a namespace.
        stage = node.name if node.name in options.stages else node.short_name
        inputs = {name: catalog.get(name) for name in node.inputs}
        if all(_is_there(name, dataset) for name, dataset in inputs.items()):
            counting = {name: _counting(models) for name, models in asked.items()}
            node.run({name: counting[name] if name in counting else catalog.load(name) for name in inputs})
            for each in counting.values():
                for model in each.values() if isinstance(each, dict) else [each]:
                    yield model.plan(stage, options.stages.get(stage))
        else:
            for models in asked.values():
                for endpoint in models.values() if isinstance(models, dict) else [models]:
                    yield estimate_stage(endpoint, stage, options, known)


def plan_trainings(
    pipeline: Pipeline, catalog: DataCatalog, gpus: int | None, gpu_memory: float | None
) -> Iterator[MemoryPlan]:
    """Plan the memory of a pipeline's trainings; nothing is loaded but the base model's configuration.

    Args:
        pipeline: Any pipeline.
        catalog: Its datasets and options.
        gpus: Devices per machine; None takes what ``launch`` says.
        gpu_memory: Gigabytes of each device; None takes those of this machine.

    Yields:
        One plan per training.

    Raises:
        ClarilmError: The base model's configuration cannot be had, or the batch does not divide over the devices.
    """
    for node in pipeline.nodes:
        if "params:training.launch" not in node.inputs or not _wanted(node, catalog):
            continue
        launch = catalog.load("params:training.launch")
        if gpus is not None:
            launcher = "torchrun" if gpus > 1 and launch.launcher == "in_process" else launch.launcher
            launch = launch.model_copy(update={"processes": gpus, "launcher": launcher})
        options = next(
            loaded
            for name in node.inputs
            if name.startswith("params:") and isinstance(loaded := catalog.load(name), TrainingOptions)
        )
        options.accumulation(launch.world())
        method: Literal["sft", "dpo"] = "dpo" if isinstance(options, DpoOptions) else "sft"
        yield plan_training(
            node.short_name,
            catalog.load("base_model"),
            options,
            method=method,
            shards=launch.shards,
            available=gpu_memory,
        )


def _wanted(node: Node, catalog: DataCatalog) -> bool:
    """Whether the variant that a node trains is listed; what is no variant is always trained."""
    if "params:training.variants" not in node.inputs:
        return True
    # The variant is the innermost namespace: training.clarilm_sft.
    return (node.namespace or "").rpartition(".")[2] in catalog.load("params:training.variants").train


class _Rows(dict[str, int]):
    """Rows of the datasets that are there, counted when they are asked for."""

    def __init__(self, catalog: DataCatalog) -> None:
        super().__init__()
        self._catalog = catalog

    def __contains__(self, name: object) -> bool:
        dataset = self._catalog.get(str(name))
        return dataset is not None and dataset.exists()

    def __missing__(self, name: str) -> int:
        self[name] = _count(self._catalog.load(name))
        return self[name]


def _asked(node: Node, catalog: DataCatalog) -> dict[str, ChatEndpoint | dict[str, ChatEndpoint]]:
    """What a node asks, by the name of its input: one chat model, or several by name."""
    asked: dict[str, ChatEndpoint | dict[str, ChatEndpoint]] = {}
    for name in node.inputs:
        dataset = None if name.startswith("params:") else catalog.get(name)
        if isinstance(dataset, ChatEndpointDataset | ChatEndpointsDataset):
            asked[name] = dataset.load()
    return asked


def _counting(models: ChatEndpoint | dict[str, ChatEndpoint]) -> CountingModel | dict[str, CountingModel]:
    if isinstance(models, dict):
        return {name: CountingModel(model) for name, model in models.items()}
    return CountingModel(models)


def _is_there(name: str, dataset: Any) -> bool:
    return name.startswith("params:") or (dataset is not None and dataset.exists())


def _count(data: pd.DataFrame | ir.Table) -> int:
    return int(data.count().execute()) if isinstance(data, ir.Table) else len(data)
