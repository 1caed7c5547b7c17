"""Inference: nodes on a few rows, the slice with an in-memory catalog, and what an interruption costs."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.assistant import Assistant, AssistantSpec
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.reply_cache import ReplyCache
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.logs.records import Record, Records, Reject
from clarilm_kedro.pipelines.inference import create_pipeline
from clarilm_kedro.pipelines.inference.nodes import choose_assistant, read_questions, reply_to_questions
from clarilm_kedro.pipelines.inference.schemas import ASKED, InferenceOptions
from clarilm_kedro.tables import table

OPTIONS = InferenceOptions(max_new_tokens=6, batch_size=2, chunk=2)
CALIBRATIONS = {"clarilm": {"threshold": 0.5}}


def given(*rows: dict[str, Any], rejects: int = 0) -> Records:
    refused = [Reject("f.jsonl", 90 + i, "not JSON", excerpt="x") for i in range(rejects)]
    return Records("questions", [Record(i, row, "f.jsonl") for i, row in enumerate(rows)], refused)


def asked(*questions: str) -> pd.DataFrame:
    return table([{"question_id": str(i), "question": each} for i, each in enumerate(questions)], ASKED)


def test_rows_without_a_question_are_set_aside() -> None:
    rows = given({"id": 7, "question": " A? "}, {"question": "B?"}, {"question": ""}, {"question": 3}, {}, rejects=1)
    questions, refused = read_questions(rows)
    assert questions.to_dict("records") == [
        {"question_id": "7", "question": "A?"},
        {"question_id": "f.jsonl-1", "question": "B?"},
    ]
    assert list(refused["question_id"]) == ["f.jsonl-90", "f.jsonl-2", "f.jsonl-3", "f.jsonl-4"]
    assert refused["reason"][2] == "f.jsonl, row 3: 'question' is 3, expected a text."


@pytest.mark.parametrize("rows", [(), ({"q": "x"},)])
def test_no_question_at_all_is_an_error(rows: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ClarilmError, match=r"point the global inputs\.questions"):
        read_questions(given(*rows))


def test_an_id_that_occurs_twice_is_an_error() -> None:
    with pytest.raises(ClarilmError, match=r"'a' of inputs\.questions occurs 2 times"):
        read_questions(given({"id": "a", "question": "x"}, {"id": "a", "question": "y"}))


def test_a_registered_assistant_replies_in_place_of_the_stores(tiny_base: BaseModelSpec) -> None:
    registered = AssistantSpec(tiny_base, None, 0.3, "other")
    skipped = TrainedAdapter.skipped("Too few pairs.")
    assert choose_assistant(skipped, tiny_base, {}, registered) is registered
    with pytest.raises(ClarilmError, match="no ClariLM to reply: Too few pairs"):
        choose_assistant(skipped, tiny_base, {}, None)


def test_the_slice(tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter, tmp_path: Path) -> None:
    rows = given({"id": "a", "question": "Which?"}, {"id": "b", "question": "x" * 3000}, {"question": ""})
    catalog = DataCatalog(
        {
            "new_questions": MemoryDataset(rows),
            "clarilm_adapter": MemoryDataset(tiny_adapter, copy_mode="assign"),
            "base_model": MemoryDataset(tiny_base),
            "calibrations": MemoryDataset(CALIBRATIONS),
            "registered_assistant": MemoryDataset(None),
            "reply_cache": MemoryDataset(ReplyCache(tmp_path / "c.sqlite"), copy_mode="assign"),
            "adapter_server": MemoryDataset(None),
            "params:inference": MemoryDataset(OPTIONS),
        }
    )
    out = SequentialRunner().run(create_pipeline(), catalog)
    replies, unanswered, not_put = (
        out[name].load() for name in ("assistant_replies", "questions_unanswered", "questions_not_put")
    )
    assert list(replies["question_id"]) == ["a"]
    row = replies.iloc[0]
    assert row["asked"] == (row["p_ask"] >= 0.5)
    assert (row["threshold"], row["model"]) == (0.5, "clarilm")
    assert list(unanswered["question_id"]) == ["b"]
    assert "too long" in unanswered["reason"][0]
    assert len(not_put) == 1


def test_an_interrupted_run_goes_on_where_it_stopped(
    tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reply(asked("d?", "a?", "bb?", "a?", "ccc?"), tiny_base, tiny_adapter, tmp_path / "whole.sqlite")
    put: list[list[str]] = []
    plain = Assistant.reply

    def counted(self: Assistant, questions: list[str], *arguments: Any) -> Any:
        put.append(list(questions))
        if len(put) == 2:
            raise KeyboardInterrupt
        return plain(self, questions, *arguments)

    monkeypatch.setattr(Assistant, "reply", counted)
    with pytest.raises(KeyboardInterrupt):
        reply(asked("a?", "d?", "ccc?", "bb?"), tiny_base, tiny_adapter, tmp_path / "cut.sqlite")
    resumed = reply(asked("d?", "a?", "bb?", "a?", "ccc?"), tiny_base, tiny_adapter, tmp_path / "cut.sqlite")
    assert put == [["a?", "d?"], ["bb?", "ccc?"], ["bb?", "ccc?"]]
    pd.testing.assert_frame_equal(whole, resumed)
    again = reply(asked("d?"), tiny_base, tiny_adapter, tmp_path / "cut.sqlite")
    assert len(put) == 3
    assert again["text"][0] == whole["text"][0]


def test_another_threshold_is_another_reply(
    tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    def asks(threshold: float) -> bool:
        options = OPTIONS.model_copy(update={"threshold": threshold})
        return bool(reply(asked("a?"), tiny_base, tiny_adapter, tmp_path / "c.sqlite", options)["asked"][0])

    assert (asks(0.0), asks(1.0)) == (True, False)


def reply(
    questions: pd.DataFrame,
    base: BaseModelSpec,
    adapter: TrainedAdapter,
    cache: Path,
    options: InferenceOptions = OPTIONS,
) -> pd.DataFrame:
    return reply_to_questions(questions, adapter, base, CALIBRATIONS, None, ReplyCache(cache), None, options)[0]
