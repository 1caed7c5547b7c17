from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.pandas import ParquetDataset

from clarilm_kedro.chat.plan import PlanOptions, RowsAssumption, StageAssumption
from clarilm_kedro.chat.stage import ask
from clarilm_kedro.chat.types import ChatModel, ChatRequest, Message
from clarilm_kedro.datasets.chat_endpoint import ChatEndpointDataset, close_chat_models
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.planning import plan_pipeline

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
