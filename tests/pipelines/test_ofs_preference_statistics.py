"""Counts of chosen replies and what they hide."""

import pandas as pd
import pytest

from clarilm_kedro.pipelines.ofs.preference_statistics import summarise_preferences
from clarilm_kedro.pipelines.ofs.preferences import build_preferences
from clarilm_kedro.pipelines.ofs.schemas import VOTES, PreferenceOptions
from clarilm_kedro.tables import table
from pipelines.test_ofs_preferences import tables


def votes(*rows: tuple[str, list[str], str]) -> pd.DataFrame:
    blank = {
        "vote": 0,
        "seed": 7,
        "thought": "",
        "read_as": "json",
        "teacher": "t",
        "prompt_sha": "",
        "request_key": "",
    }
    return table(
        [{"question_id": question, "shown": shown, "choice_id": choice} | blank for question, shown, choice in rows],
        VOTES,
    )


def summary() -> "pd.Series[float]":
    annotations, candidates = tables((1, "city", "train"), (2, "budget", "train"), (3, "answer", "test"))
    cast = votes(
        ("q1", ["city", "answer"], "city"),
        ("q2", ["budget", "answer", "city", "time"], "budget"),
        ("q3", ["city", "answer"], "answer"),
    )
    pairs = build_preferences(annotations, candidates, PreferenceOptions())
    found = summarise_preferences(annotations, cast, candidates, pairs)
    return found.set_index(["section", "group", "measure"])["value"]


def test_sources_are_counted_and_both_is_a_source_of_its_own() -> None:
    found = summary()
    assert dict(found["chosen_of_questions"].xs("count", level="measure")) == {"answer": 1, "both": 1, "llm": 1}
    assert found["chosen_of_pairs"].xs("count", level="measure").sum() == 5
    assert found["chosen_of_pairs"].xs("share", level="measure").sum() == pytest.approx(1)


def test_win_rates_are_per_candidate_offered() -> None:
    rates = summary()["win_rate"].xs("chosen_per_offered", level="measure")
    assert dict(rates) == {
        "answer": pytest.approx(1 / 3),
        "both": pytest.approx(1 / 3),
        "llm": pytest.approx(1 / 3),
        "log": 0,
    }


def test_places_are_compared_with_what_chance_would_give() -> None:
    found = summary()["position"]
    assert found["place_01", "share"] == pytest.approx(2 / 3)
    assert found["place_01", "expected"] == pytest.approx((1 / 2 + 1 / 4 + 1 / 2) / 3)
    assert found.xs("share", level="measure").sum() == pytest.approx(1)
    assert found.xs("expected", level="measure").sum() == pytest.approx(1)


def test_length_gap_and_balance() -> None:
    found = summary()
    assert found["length_gap", "clarify_over_answer", "words"] == pytest.approx(((2 - 4) + (4 - 4)) / 2)
    assert found["balance", "all", "ask_share"] == pytest.approx(2 / 3)
    assert found["balance", "test", "ask_share"] == 0
    assert found["agreement", "all", "unanimous"] == 1


def test_nothing_gives_an_empty_table() -> None:
    annotations, candidates = tables()
    pairs = build_preferences(annotations, candidates, PreferenceOptions())
    assert summarise_preferences(annotations, votes(), candidates, pairs).empty
