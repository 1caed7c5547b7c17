"""The audit of extraction sees what is missing, what is too much, and what is named wrongly."""

from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
import pytest

from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.pipelines.audit.schemas import ScoringOptions
from clarilm_kedro.pipelines.audit.score_extraction import score_extraction
from clarilm_kedro.pipelines.cfd.schemas import CLARIFICATIONS
from clarilm_kedro.tables import table

OPTIONS = ScoringOptions(bootstrap=BootstrapOptions(resamples=500))
SESSIONS = {
    "session_id": ["a", "b", "c"],
    "chat_id": ["x-1", "x-2", "x-3"],
    "user_questions": [
        ["Buy a gift.", "It is for my aunt.", "Up to 30 euros."],
        ["Fix my CV.", "I am a nurse."],
        ["Hi"],
    ],
}


def gold(*steps: tuple[str, str, str, str]) -> Records:
    rows = [
        {"chat_id": chat, "question": first, "next_question": second, "facet": facet}
        for chat, first, second, facet in steps
    ]
    return Records("gold", [Record(number, row, "gold.jsonl") for number, row in enumerate(rows)])


GOLD = gold(
    ("x-1", "Buy a gift.", "It is for my aunt.", "recipient"),
    ("x-1", "It is for my aunt.", "Up to 30 euros.", "budget"),
    ("x-2", "Fix my  CV", "I am a nurse.", "job"),
    ("x-9", "In no session.", "At all.", "nothing"),
)


def found(*places: tuple[str, int, str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            **dict.fromkeys(CLARIFICATIONS, ""),
            "clarification_id": f"{session}{index}",
            "session_id": session,
            "window": 0,
            "index": index,
            "facet": facet,
            "clarifying_question": f"Which {facet}?",
        }
        for session, index, facet in places
    ]
    return table(rows, CLARIFICATIONS)


def score(sessions: ir.Table, clarifications: pd.DataFrame) -> tuple[dict[str, float], pd.DataFrame]:
    scores, wrong = score_extraction(ibis.memtable(SESSIONS), sessions, GOLD, clarifications, OPTIONS)
    return dict(zip(scores["metric"], scores["value"], strict=True)), wrong


def test_a_perfect_extraction_has_nothing_to_read() -> None:
    right = found(("a", 0, "the recipient"), ("a", 1, "budget"), ("b", 0, "job"))
    scores, wrong = score(ibis.memtable(SESSIONS), right)
    assert {name: scores[name] for name in ("precision", "recall", "f1", "facet_exact", "facet_cosine")} == {
        "precision": 1,
        "recall": 1,
        "f1": 1,
        "facet_exact": 1,
        "facet_cosine": 1,
    }
    assert wrong.empty


def test_ingestion_is_judged_by_itself() -> None:
    scores, _ = score(ibis.memtable(SESSIONS), found())
    assert scores["gold_in_sessions"] == 0.75


def test_missed_surplus_and_misnamed_ones_are_told_apart() -> None:
    given = found(("a", 0, "favourite colour"), ("b", 0, "job"), ("b", 1, "age"), ("c", 0, "name"))
    scores, wrong = score(ibis.memtable(SESSIONS), given)
    assert scores["precision"] == pytest.approx(2 / 4)
    assert scores["recall"] == pytest.approx(2 / 3)
    assert (scores["facet_exact"], scores["facet_cosine"]) == (0.5, 0.5)
    told = {(row["task"], row["item_id"]): (row["gold"], row["given"]) for row in wrong.to_dict("records")}
    assert told == {
        ("extraction", "a#1"): ("budget", ""),
        ("extraction", "b#1"): ("", "age"),
        ("extraction", "c#0"): ("", "name"),
        ("extraction_facet", "a#0"): ("recipient", "favourite colour"),
    }
    assert wrong["question"].iloc[0] == "It is for my aunt. -> Up to 30 euros."


def test_sessions_that_were_not_read_are_not_held_against_the_teacher() -> None:
    drawn = ibis.memtable({name: values[1:] for name, values in SESSIONS.items()})
    scores, wrong = score(drawn, found(("b", 0, "job")))
    assert (scores["precision"], scores["recall"]) == (1, 1)
    assert wrong.empty


def test_no_session_gives_no_score() -> None:
    nothing = ibis.memtable(SESSIONS).limit(0)
    scores, wrong = score_extraction(nothing, nothing, GOLD, found(), OPTIONS)
    assert (scores.loc[scores["task"] == "extraction", "n"] == 0).all()
    assert scores.loc[scores["task"] == "extraction", "value"].isna().all()
    assert wrong.empty
