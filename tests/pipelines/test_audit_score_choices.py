"""The audit of decisions: filter and annotation."""

from typing import Any

import pandas as pd
import pytest

from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.pipelines.audit.schemas import FILTER_QUESTIONS, QUESTIONS, ScoringOptions
from clarilm_kedro.pipelines.audit.score_choices import score_annotation, score_question_filter
from clarilm_kedro.tables import table

OPTIONS = ScoringOptions(bootstrap=BootstrapOptions(resamples=500))


def question(number: int, *, vague: bool) -> dict[str, Any]:
    return {
        "question_id": f"q{number}",
        "question": f"Question {number}?",
        "origin": "audit",
        "split": "audit",
        "intent": "i",
        "needs_clarification": vague,
        "gold_facets": ["budget", "destination"],
        "gold_questions": ["How much?", "Where to?"],
    }


ASKED = table([question(number, vague=number < 4) for number in range(8)], QUESTIONS)


def offer(**offered: list[str]) -> pd.DataFrame:
    rows = [
        {"question_id": question_id, "candidate_id": facet, "kind": "ask" if facet else "answer", "facet": facet}
        for question_id, facets in offered.items()
        for facet in (*facets, "")
    ]
    return pd.DataFrame(rows, columns=["question_id", "candidate_id", "kind", "facet"])


def choice(number: int, facet: str) -> dict[str, Any]:
    return {
        "question_id": f"q{number}",
        "choice_kind": "ask" if facet else "answer",
        "facet": facet,
        "text": "What was chosen",
        "thought": "because",
    }


BOTH = ["the budget", "destination"]
OFFERED = offer(**{f"q{number}": ["destination"] if number == 3 else BOTH for number in range(8)})
CHOICES = pd.DataFrame(
    [
        choice(0, "the budget"),  # right
        choice(1, "destination"),  # asks, but for the second best
        choice(2, ""),  # answers what needs asking
        choice(3, "destination"),  # the best was not among them
        choice(4, ""),
        choice(5, ""),
        choice(6, "destination"),  # asks needlessly; question 7 failed
    ]
)


def values(scores: pd.DataFrame, subset: str) -> dict[str, tuple[float, int]]:
    rows = scores[scores["subset"] == subset].to_dict("records")
    return {row["metric"]: (row["value"], row["n"]) for row in rows}


def test_decisions_and_choices_are_judged_apart() -> None:
    scores, wrong = score_annotation(ASKED, OFFERED, CHOICES, offer(), CHOICES.iloc[:0], OPTIONS)
    own = values(scores, "own_candidates")
    assert own["accuracy"] == (pytest.approx(5 / 7), 7)
    assert own["annotated"] == (pytest.approx(7 / 8), 8)
    assert own["best_facet_offered_exact"] == (pytest.approx(3 / 4), 4)
    assert own["best_facet_chosen_exact"] == (pytest.approx(1 / 3), 3)
    assert own["best_facet_chosen_cosine"] == (pytest.approx(1 / 3), 3)
    assert [(row["task"], row["item_id"], row["gold"], row["given"]) for row in wrong.to_dict("records")] == [
        ("annotation/own_candidates", "q2", "ask", "answer"),
        ("annotation/own_candidates", "q6", "answer", "ask"),
        ("annotation_facet/own_candidates", "q1", "budget", "destination"),
    ]
    assert set(wrong["text"]) == {"What was chosen | because"}
    nothing = values(scores, "gold_candidates")
    assert nothing["annotated"] == (0, 8)
    assert nothing["accuracy"][1] == 0


def test_kappa_of_an_annotator_who_always_asks_is_zero() -> None:
    always = pd.DataFrame([choice(number, "the budget") for number in range(8)])
    scores, _ = score_annotation(ASKED, OFFERED, always, OFFERED, always, OPTIONS)
    assert values(scores, "gold_candidates")["accuracy"] == (0.5, 8)
    assert values(scores, "gold_candidates")["kappa"] == (0, 8)


def test_the_filter_is_judged_on_what_it_judged() -> None:
    asked = table(
        [
            {"question_id": name, "question": name, "session_id": "", "source": "gold", "stands_alone": name < "c"}
            for name in "abcd"
        ],
        FILTER_QUESTIONS,
    )
    judged = pd.DataFrame({"question_id": ["a", "b", "c"], "keep": [True, False, False], "reason": ["r", "why", "r"]})
    scores, wrong = score_question_filter(asked, judged, OPTIONS)
    found = values(scores, "all")
    assert found["accuracy"] == (pytest.approx(2 / 3), 3)
    assert found["judged"] == (0.75, 4)
    [row] = wrong.to_dict("records")
    assert (row["item_id"], row["gold"], row["given"], row["text"]) == ("b", "keep", "reject", "why")
