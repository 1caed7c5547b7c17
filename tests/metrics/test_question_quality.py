"""The worked examples of Token F1, the cleaning of model prefixes, and properties of the overlap."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.metrics.question_quality import (
    as_targets,
    clean_question,
    content_tokens,
    question_overlap,
    stop_words,
    token_overlap,
)

COFFEE = "Which city are you looking for coffee shops in?"
THREE = ["Which city?", "What is your budget?", "Do you prefer quiet places?"]


def test_stop_list_is_the_frozen_one() -> None:
    assert len(stop_words()) == 326
    assert {"the", "regarding", "n't", "\u2019ve"} <= stop_words()
    assert not {"describe", "find", "bill", "interest"} & stop_words()  # in scikit-learn's list only


def test_worked_example_of_one_reference() -> None:
    hypothesis = "Could you specify the city or location for the coffee shops?"
    assert content_tokens(COFFEE) == ["city", "looking", "coffee", "shops"]
    assert content_tokens(hypothesis) == ["specify", "city", "location", "coffee", "shops"]
    overlap = token_overlap(hypothesis, COFFEE)
    assert overlap.f1 == pytest.approx(6 / 9)
    assert (overlap.precision, overlap.recall) == pytest.approx((3 / 5, 3 / 4))


@pytest.mark.parametrize(("combine", "f1"), [("max", 0.5), ("mean", 1 / 3), ("concat", 0.5), ("first", 0.5)])
def test_worked_example_of_three_references(combine: str, f1: float) -> None:
    overlap = question_overlap("Could you tell me your budget and which city?", as_targets(THREE, combine), combine)  # type: ignore[arg-type]
    assert overlap.f1 == pytest.approx(f1)


def test_repeated_words_count_as_often_as_both_have_them() -> None:
    assert token_overlap("budget budget budget", "budget budget city").f1 == pytest.approx(4 / 6)


def test_empty_sides() -> None:
    assert token_overlap("", "").f1 == 1.0
    assert token_overlap("what is it", "who are you").f1 == 1.0  # stop words only, on both sides
    assert (token_overlap("", "city").f1, token_overlap("city", "the").f1) == (0.0, 0.0)


def test_tokens_of_other_scripts_apostrophes_and_underscores() -> None:
    assert content_tokens("Quel hôtel préférez-vous, l’été ?") == ["quel", "hôtel", "préférez", "vous", "l'été"]
    assert content_tokens("mother's file_name 4K") == ["mother's", "file", "4k"]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Clarifying question: \nCould you say which city?", "Could you say which city?"),
        ("Clarifying question: \n- Are you looking for a formula?", "Are you looking for a formula?"),
        ("Clarifying Question:\n======================\nWhich one?", "Which one?"),
        ("**Clarification question 1:** Which one?", "Which one?"),
        ("Follow-up question: Which one?", "Which one?"),
        ('"Which one?"', "Which one?"),
        ("1. Which one?\n2) How many?", "Which one? How many?"),
        ("Question: Which one?", "Which one?"),
        ("Is this question about cats: yes or no?", "Is this question about cats: yes or no?"),
        ("Which 2 cities?", "Which 2 cities?"),
        ("", ""),
        ('"', '"'),
    ],
)
def test_clean_question(text: str, clean: str) -> None:
    assert clean_question(text) == clean


@given(st.text(max_size=80), st.text(max_size=80))
def test_overlap_is_symmetric_and_bounded(a: str, b: str) -> None:
    one, other = token_overlap(a, b), token_overlap(b, a)
    assert one.f1 == pytest.approx(other.f1)
    assert one.precision == pytest.approx(other.recall)
    assert 0 <= one.f1 <= 1
    assert token_overlap(a, a).f1 == 1.0


@given(st.text(max_size=120))
def test_cleaning_twice_changes_no_content_token(text: str) -> None:
    assert set(content_tokens(clean_question(text))) <= set(content_tokens(text))


@pytest.mark.real_data
def test_clamber_shipped_questions_against_an_independent_count(real_data: Path) -> None:
    lines = (real_data / "clamber" / "clamber_sample.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(json.loads(line)) for line in lines if line.strip()]
    needing = [row for row in rows if row["require_clarification"]]
    scores = [
        question_overlap(clean_question(row["predict_clarifying_question"]), [row["clarifying_question"]]).f1
        for row in needing
    ]
    by_hand = [_f1_by_hand(row["predict_clarifying_question"], row["clarifying_question"]) for row in needing]
    assert scores == pytest.approx(by_hand)
    assert 0.19 < sum(scores) / len(scores) < 0.24  # 21.53 on all 1,601 needing rows of the published file


def _f1_by_hand(said: str, gold: str) -> float:
    """Count with loops instead of regular expressions; the cleaning is the forms that this one file holds."""
    if said.lower().startswith("clarifying question:"):
        said = said[len("clarifying question:") :]
    said = said.strip().removeprefix("1. ")
    a, b = Counter(_words_by_hand(said)), Counter(_words_by_hand(gold))
    common = sum(min(count, b[word]) for word, count in a.items())
    total = sum(a.values()) + sum(b.values())
    return 2 * common / total if total else 1.0


def _words_by_hand(text: str) -> list[str]:
    kept = "".join(each if each.isalnum() or each == "'" else " " for each in text.lower())
    words = [word.strip("'") for word in kept.split()]
    return [word for word in words if word and word not in stop_words()]
