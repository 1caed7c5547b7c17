from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.pandas import ParquetDataset

from clarilm_kedro.chat.plan import PlanOptions, RowsAssumption, StageAssumption
from clarilm_kedro.chat.stage import ask
from clarilm_kedro.chat.types import ChatModel, ChatRequest, Message
from clarilm_kedro.datasets.chat_endpoint import ChatEndpointDataset, close_chat_models
from clarilm_kedro.datasets.chat_endpoints import ChatEndpointsDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.launch import LaunchOptions
from clarilm_kedro.pipelines import training
from clarilm_kedro.pipelines.training.schemas import (
    CalibrationOptions,
    ClarilmDpoOptions,
    ClarilmSftOptions,
    VariantOptions,
)
from clarilm_kedro.planning import plan_pipeline, plan_trainings
from finetuning.tiny import save_tiny_model

STAGE = StageAssumption(asks_as="s", per="middle", prompt_tokens=10, completion_tokens=5)


def ask_all(rows: pd.DataFrame, model: ChatModel) -> tuple[pd.DataFrame, pd.DataFrame]:
    requests = [ChatRequest(str(number), (Message("user", text),)) for number, text in enumerate(rows["text"])]
    answered, failures = ask(requests, model, stage="s")
    return pd.DataFrame({"text": [result.text for result in answered.values()]}), failures


def unused(rows: pd.DataFrame) -> pd.DataFrame:
    raise AssertionError("a node that asks nothing must not run")


PIPELINE = Pipeline(
    [
        Node(ask_all, ["start", "chat_llm"], ["middle", "middle_failed"], name="first"),
        Node(unused, "middle", "other", name="between"),
        Node(ask_all, ["middle", "chat_llm"], ["end", "end_failed"], name="second", namespace="inner"),
    ]
)


def catalog(folder: Path, url: str) -> DataCatalog:
    return DataCatalog(
        {
            "start": MemoryDataset(pd.DataFrame({"text": ["a", "b", "b"]})),
            "middle": ParquetDataset(filepath=str(folder / "middle.parquet")),
            "chat_llm": ChatEndpointDataset(model="m", base_url=url, store=str(folder / "s.sqlite")),
        }
    )


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_chat_models()


def test_stages_with_inputs_are_counted_and_the_others_estimated(tmp_path: Path) -> None:
    options = PlanOptions(
        datasets={"middle": RowsAssumption(of={"start": 4.0})}, stages={"first": STAGE, "second": STAGE}
    )
    pipeline, datasets = PIPELINE, catalog(tmp_path, "http://127.0.0.1:9/v1")
    first, second = plan_pipeline(pipeline, datasets, options)
    assert (first.stage, first.calls, first.basis) == ("first", 2, "exact; replies of 5 tokens assumed")
    assert (second.stage, second.calls, second.prompt_tokens) == ("second", 12, 120)
    assert second.basis.startswith("estimate: 12 middle assumed")
    assert not list(tmp_path.iterdir())

    datasets.save("middle", pd.DataFrame({"text": ["x"]}))
    assert [plan.calls for plan in plan_pipeline(pipeline, datasets, options)] == [2, 1]


def test_a_copy_in_a_namespace_may_have_assumptions_of_its_own(tmp_path: Path) -> None:
    copy = STAGE.model_copy(update={"per": "start", "prompt_tokens": 99})
    options = PlanOptions(datasets={}, stages={"first": STAGE, "second": STAGE, "inner.second": copy})
    _, second = plan_pipeline(PIPELINE, catalog(tmp_path, "http://127.0.0.1:9/v1"), options)
    assert (second.stage, second.calls, second.prompt_tokens) == ("inner.second", 3, 3 * 99)


def test_a_stage_of_which_nothing_is_known_is_named(tmp_path: Path) -> None:
    plans = plan_pipeline(PIPELINE, catalog(tmp_path, "http://127.0.0.1:9/v1"), PlanOptions(datasets={}, stages={}))
    with pytest.raises(ClarilmError, match="set max_tokens"):
        list(plans)


def ask_several(rows: pd.DataFrame, models: dict[str, ChatModel]) -> None:
    for model in models.values():
        ask_all(rows, model)


def test_a_stage_that_asks_several_models_has_a_plan_for_each(tmp_path: Path) -> None:
    datasets = catalog(tmp_path, "http://127.0.0.1:9/v1")
    endpoints = {"a": {"base_url": "http://127.0.0.1:9/v1"}, "b": {"base_url": "http://127.0.0.1:9/v1"}}
    datasets["llms"] = ChatEndpointsDataset(endpoints=endpoints, store=str(tmp_path / "s.sqlite"))
    for inputs, calls in ((["start", "llms"], 2), (["middle", "llms"], 7)):
        pipeline = Pipeline([Node(ask_several, inputs, None, name="several")])
        options = PlanOptions(datasets={"middle": RowsAssumption(rows=7)}, stages={"several": STAGE})
        plans = list(plan_pipeline(pipeline, datasets, options))
        assert [(plan.stage, plan.model, plan.calls) for plan in plans] == [("several", name, calls) for name in "ab"]


def training_catalog(tiny: BaseModelSpec, **launch: Any) -> DataCatalog:
    return DataCatalog(
        {
            "base_model": MemoryDataset(tiny, copy_mode="assign"),
            "params:training.sft": MemoryDataset(ClarilmSftOptions(batch_size=32, micro_batch_size=8)),
            "params:training.dpo": MemoryDataset(ClarilmDpoOptions(batch_size=16, micro_batch_size=4)),
            "params:training.calibration": MemoryDataset(CalibrationOptions()),
            "params:training.launch": MemoryDataset(LaunchOptions(**launch)),
            "params:training.variants": MemoryDataset(VariantOptions()),
        }
    )


def test_trainings_are_planned_per_device(tmp_path: Path) -> None:
    tiny = BaseModelSpec(source=str(save_tiny_model(tmp_path)), dtype="float32")
    plans = list(plan_trainings(training.create_pipeline(), training_catalog(tiny), 4, 80.0))
    assert [plan.what for plan in plans] == ["train_clarilm_sft", "align_clarilm_dpo"]
    assert all(plan.available == 80.0 and plan.total < 1 for plan in plans)
    three = training_catalog(tiny, launcher="torchrun", processes=3)
    with pytest.raises(ClarilmError, match="batch_size 32 is not a multiple of micro_batch_size 8 times 3"):
        list(plan_trainings(training.create_pipeline(), three, None, 80.0))
