"""Facet recall in the audit and by source."""

from typing import Any

import pandas as pd
import pytest

from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.pipelines.audit.schemas import IN3_TASKS, QUESTIONS, ScoringOptions
from clarilm_kedro.pipelines.audit.score_facets import ranked_facets, score_facets, score_recall
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.tables import table

OPTIONS = ScoringOptions(bootstrap=BootstrapOptions(resamples=500))
COLUMNS = ["question_id", "rank", "facet"]


def candidates(*rows: tuple[str, int, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def question(name: str, *, vague: bool, facets: list[str]) -> dict[str, Any]:
    return {
        "question_id": name,
        "question": name,
        "origin": "audit",
        "split": "audit",
        "intent": "i",
        "needs_clarification": vague,
        "gold_facets": facets,
        "gold_questions": facets,
    }


TASK = {"question_id": "t", "question": "Plan", "source": "in3_test", "details": ["Budget", "Dates"]}
TASKS = table([{**TASK, "importances": [3, 1]}], IN3_TASKS)


def value(scores: pd.DataFrame, **where: str) -> float:
    for name, wanted in where.items():
        scores = scores[scores[name] == wanted]
    [found] = scores["value"]
    return float(found)


def test_facets_are_taken_in_the_order_of_their_ranks() -> None:
    rows = candidates(("a", 2, "third"), ("b", 0, "other"), ("a", 0, "first"), ("a", 1, "second"))
    assert ranked_facets(rows) == {"a": ["first", "second", "third"], "b": ["other"]}
    tied = rows.assign(rank=0, candidate_id=["2", "1", "3", "1"])
    assert ranked_facets(tied)["a"] == ["second", "third", "first"]


def test_only_vague_questions_have_facets_to_find_and_a_failed_one_finds_none() -> None:
    questions = table(
        [
            question("a", vague=True, facets=["size", "price"]),
            question("b", vague=True, facets=["size"]),
            question("c", vague=False, facets=["size"]),
        ],
        QUESTIONS,
    )
    scores, lost = score_facets(questions, TASKS, candidates(("a", 0, "the price"), ("t", 0, "dates")), OPTIONS)
    assert value(scores, task="facets", metric="recall_at_1_exact") == pytest.approx((1 / 2 + 0) / 2)
    assert value(scores, task="in3_facets", subset="all", metric="recall_at_3_exact") == 0.5
    assert value(scores, task="in3_facets", subset="importance_3", metric="recall_at_3_exact") == 0
    assert value(scores, task="in3_facets", subset="importance_1", metric="recall_at_3_exact") == 1
    assert "importance_2" not in set(scores["subset"])
    assert {(row["task"], row["item_id"], row["gold"], row["given"]) for row in lost.to_dict("records")} == {
        ("facets", "a", "size", "the price"),
        ("facets", "b", "size", ""),
        ("in3_facets", "t", "Budget", "dates"),
    }


def test_recall_is_given_by_source_on_questions_that_have_gold() -> None:
    gold = Records("gold", [Record(0, {"question": "Buy a bike!", "facets": ["size", "price"]}, "gold.jsonl")])
    name = question_identity("buy a bike")
    log, llm = candidates((name, 0, "price")), candidates((name, 0, "colour"), (name, 1, "size"))
    fused = candidates((name, 0, "price"), (name, 1, "colour"), (name, 2, "size"))
    of_in3 = candidates(("t", 0, "budget"))
    found = score_recall(
        pd.DataFrame({"question_id": [name, "another"]}), log, llm, fused, gold, TASKS, of_in3, of_in3, of_in3, OPTIONS
    )
    assert set(found["n"]) == {1}
    for source, recall in {"log": 0.5, "llm": 0.5, "fused": 1.0}.items():
        where = {"benchmark": "sample_world", "source": source, "metric": "recall_at_3_exact"}
        assert value(found, **where) == recall
    assert value(found, benchmark="in3", source="log", subset="importance_3", metric="recall_at_1_exact") == 1
    none = score_recall(
        pd.DataFrame({"question_id": ["another"]}), log, llm, fused, gold, TASKS.iloc[:0], log, llm, fused, OPTIONS
    )
    assert none.empty
