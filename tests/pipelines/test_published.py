"""Published rows: shapes that are understood, errors that name columns, and the tables that ofs else makes."""

import logging
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.template import Reply
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.pipelines.held_out import ClusterRule, LeakageOptions, SplitOptions
from clarilm_kedro.pipelines.ofs.schemas import DPO_ROWS, IN3_TRAIN, OUR_TEST, SFT_ROWS
from clarilm_kedro.pipelines.published import create_pipeline
from clarilm_kedro.pipelines.published.nodes import read_published_rows
from clarilm_kedro.pipelines.published.reading import read_pairs, read_rows
from clarilm_kedro.text.similarity import NearDuplicateRule

Q, C, A = "Recommend a laptop.", "For which use?", "It is 4."
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")


def published(*rows: dict[str, Any], name: str = "published_train") -> Records:
    return Records(name, [Record(at, row, "rows.jsonl") for at, row in enumerate(rows)])


@pytest.mark.parametrize(
    "row",
    [
        {"question": Q, "need_clarification": True, "response": C},
        {"query": Q, "need_clarification": "Yes", "clarification": C, "answer": A},
        {"query": Q, "clarifying_question": C},
        {"question": Q, "vague": 1.0, "clarification_question": C, "facet": "use"},
        {"instruction": "Ask back or answer.", "input": Q, "output": f"Need Clarification: Yes\n{C}"},
        {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": Q},
                      {"role": "assistant", "content": f"Need Clarification: Yes\n{C}"}]},
        {"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": C}], "asks": 1},
    ],
)  # fmt: skip
def test_a_row_that_asks_is_read_in_any_usual_shape(row: dict[str, Any]) -> None:
    (read,) = read_rows(published(row))
    assert (read.question, read.asks, read.text) == (Q, True, C)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "What is 2+2?", "need_clarification": False, "response": A},
        {"query": "What is 2+2?", "clarification": "", "answer": A},
        {"prompt": "What is 2+2?", "completion": f"Need Clarification: No\n{A}"},
        {"question": "What is 2+2?", "asks": "no", "clarification": None, "output": A},
    ],
)
def test_a_row_that_answers_is_read_in_any_usual_shape(row: dict[str, Any]) -> None:
    (read,) = read_rows(published(row))
    assert (read.question, read.asks, read.text) == ("What is 2+2?", False, A)


def test_instructions_that_differ_are_part_of_the_question() -> None:
    rows = [{"instruction": f"Translate {at}", "input": "hello", "output": A, "asks": 0} for at in range(2)]
    assert [row.question for row in read_rows(published(*rows))] == ["Translate 0\nhello", "Translate 1\nhello"]


def test_preferences_are_texts_or_messages() -> None:
    rows = published(
        {"prompt": Q, "chosen": f"Need Clarification: Yes\n{C}", "rejected": f"Need Clarification: No\n{A}"},
        {"question": Q, "chosen": {"value": C}, "rejected": [{"content": A}], "chosen_asks": 1, "rejected_asks": 0},
    )
    assert [(pair.chosen, pair.rejected) for pair in read_pairs(rows)] == [(Reply(True, C), Reply(False, A))] * 2


def test_missing_and_unknown_columns_are_named() -> None:
    with pytest.raises(ClarilmError) as raised:
        read_rows(published({"frage": Q, "response": C}))
    told = str(raised.value)
    assert "inputs.published_train: no column holds the question (one of 'question', 'query'" in told
    assert "Found: 'frage', 'response'; not understood: 'frage'. Rename the columns of rows.jsonl." in told
    with pytest.raises(ClarilmError, match="no column holds the worse reply"):
        read_pairs(published({"prompt": Q, "chosen": C}, name="published_preferences"))


def test_a_row_without_a_decision_names_its_file(caplog: pytest.LogCaptureFixture) -> None:
    bad = {"question": Q, "response": C, "mood": 1}
    with pytest.raises(ClarilmError, match=r"rows.jsonl, row 0: nothing says whether .*; not understood: 'mood'"):
        read_rows(published(bad))
    with pytest.raises(ClarilmError, match="the label is 'maybe', expected true, false"):
        read_rows(published({"question": Q, "response": C, "asks": "maybe"}))
    with pytest.raises(ClarilmError, match="'chosen' does not begin with 'Need Clarification:', and there is no 'chos"):
        read_pairs(published({"question": Q, "chosen": C, "rejected": A}))
    with caplog.at_level(logging.WARNING):
        assert len(read_rows(published(bad, {"question": Q, "response": C, "asks": True}))) == 1
    assert "1 rows cannot be used; the first: rows.jsonl, row 0" in caplog.text


def test_there_have_to_be_rows() -> None:
    none = Records("published_train")
    with pytest.raises(ClarilmError, match=r"inputs\.published_train is not given or empty"):
        read_published_rows(none, none, none)


def run(**changes: Records) -> dict[str, pd.DataFrame]:
    rows = [{"question": f"{word} number {at * 7919}", "clarification": C, "origin": "log"}
            for at, word in enumerate(WORDS)]  # fmt: skip
    pairs = [{"prompt": row["question"], "chosen": C, "rejected": A, "chosen_asks": 1, "rejected_asks": 0}
             for row in rows]  # fmt: skip
    tested = {"task": "Plan my holiday in Rome", "vague": True, "missing_details": []}
    lexical: dict[str, Any] = {"cosine": None}
    inputs = {
        "published_train": published(*rows, {"question": "Plan my holiday in Rome!", "clarification": C}),
        "published_preferences": published(*pairs, name="published_preferences"),
        "published_test": Records("published_test"),
        "in3_train": published(tested, {**tested, "task": rows[0]["question"]}, name="in3_train"),
        "in3_test": published(tested, name="in3_test"),
        "clamber": published({"question": "Who won?", "require_clarification": 1}, name="clamber"),
        "params:ofs.split": SplitOptions(test_questions=3, validation_questions=2),
        "params:ofs.clusters": ClusterRule(**lexical),
        "params:ofs.leakage": LeakageOptions(**lexical),
        "params:ofs.deduplication": NearDuplicateRule(**lexical),
        **changes,
    }
    outputs = SequentialRunner().run(
        create_pipeline(), DataCatalog({name: MemoryDataset(value) for name, value in inputs.items()})
    )
    return {name: dataset.load() for name, dataset in outputs.items()}


def test_the_pipeline_makes_the_tables_of_ofs() -> None:
    out = run()
    assert list(out["sft_train"].columns) == list(SFT_ROWS)
    assert list(out["dpo_train"].columns) == list(DPO_ROWS)
    assert list(out["our_test"].columns) == list(OUR_TEST)
    assert list(out["in3_train_clean"].columns) == list(IN3_TRAIN)
    assert [len(out[name]) for name in ("sft_train", "validation", "our_test", "dpo_train")] == [5, 2, 3, 5]
    assert set(out["sft_train"]["teacher"]) == {"published"}
    assert set(out["sft_train"]["origin"]) == {"log"}
    trained = set(out["sft_train"]["question"])
    assert set(out["dpo_train"]["question"]) == trained
    assert trained.isdisjoint(out["our_test"]["question"])
    assert trained.isdisjoint(out["validation"]["question"])
    assert "Plan my holiday in Rome!" not in trained
    assert list(out["leakage_summary"]["action"]) == ["dropped"]
    assert "Plan my holiday in Rome" not in set(out["in3_train_clean"]["question"])
    assert out["fm_log_adapter"].report["status"] == "skipped"


def test_published_test_rows_are_our_test_and_leak() -> None:
    asked = published({"question": "beta number 7919", "clarification": C}, name="published_test")
    out = run(published_test=asked)
    assert list(out["our_test"]["question"]) == ["beta number 7919"]
    assert "beta number 7919" not in set(out["sft_train"]["question"]) | set(out["dpo_train"]["question"])
    assert len(out["sft_train"]) + len(out["validation"]) == 9
