"""Windows and the checks on extracted clarifications."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.pipelines.cfd.extraction import (
    Demonstrations,
    complaint,
    is_question,
    shown_questions,
    windows,
)
from clarilm_kedro.pipelines.cfd.schemas import ExtractedClarification

GOOD = {
    "first": 0,
    "second": 1,
    "question": "Suggest a tent.",
    "clarifying_question": "For how many people?",
    "clarified_question": "Suggest a tent for two.",
    "facet": "number of people",
}


@given(st.integers(0, 200), st.integers(2, 40))
def test_every_consecutive_pair_lies_in_exactly_one_window(n_questions: int, size: int) -> None:
    cut = windows(n_questions, size)
    pairs = [(first, first + 1) for window in cut for first in window[:-1]]
    assert pairs == [(first, first + 1) for first in range(n_questions - 1)]
    assert all(2 <= len(window) <= size for window in cut)


SHOWN = {0: "Suggest a tent.", 1: "For two people, I meant.", 2: "Thanks!"}
NONE = Demonstrations(())


@pytest.fixture(scope="module")
def prompt(project: Path) -> str:
    return (project / "src/clarilm_kedro/prompts/extraction.jinja").read_text(encoding="utf-8")


def say(shown: dict[int, str], demonstrations: Demonstrations, **change: Any) -> str | None:
    return complaint(ExtractedClarification(**{**GOOD, **change}), shown, 12, demonstrations)


def test_a_good_instance_passes(prompt: str) -> None:
    assert say(SHOWN, Demonstrations.of(prompt)) is None
    rewritten = {"question": "Please recommend me camping gear.", "clarified_question": "Ein Zelt für zwei Personen."}
    assert say(SHOWN, Demonstrations.of(prompt), **rewritten) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"second": 2}, "not consecutive"),
        ({"first": 1, "second": 0}, "not consecutive"),
        ({"first": 7, "second": 8}, "window 0 to 2"),
        ({"first": -1, "second": 0}, "window 0 to 2"),
        ({"facet": "a b c d e f g h i j k l m"}, "more than 12 words"),
        ({"facet": "x" * 200}, "more than 180 characters"),
        ({"facet": "  "}, "an empty facet"),
        ({"facet": "?!"}, "an empty facet"),
        ({"question": " "}, "an empty question"),
        ({"clarified_question": "suggest a TENT!"}, "both questions are the same"),
        ({"clarifying_question": "Tell me how many."}, "not a question"),
        ({"clarifying_question": "?"}, "not a question"),
    ],
)
def test_a_bad_instance_is_rejected_with_its_reason(change: dict[str, Any], reason: str) -> None:
    assert reason in str(say(SHOWN, NONE, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"question": "Can you suggest a book for my nephew?"},
        {"question": "can you suggest a book for my little nephew"},
        {"clarifying_question": "Which units should the recipe use?"},
        {"clarified_question": "When does the maritime museum in Hamburg open?"},
        {"question": "Explain what a mutex is.", "clarified_question": "And why is a spinlock faster for short waits?"},
        {"question": "Find me a cheap flight to Oslo in May."},
    ],
)
def test_a_copy_of_any_demonstration_is_rejected(prompt: str, change: dict[str, Any]) -> None:
    assert say(SHOWN, Demonstrations.of(prompt), **change) == "a copy of a demonstration"


def test_a_user_may_ask_what_a_demonstration_asks(prompt: str) -> None:
    shown = {0: "When does the museum open?", 1: "The maritime museum in Hamburg."}
    change = {
        "question": "When does the museum open?",
        "clarifying_question": "Which museum do you mean?",
        "clarified_question": "When does the maritime museum in Hamburg open?",
        "facet": "which museum",
    }
    assert say(shown, Demonstrations.of(prompt), **change) is None


def test_the_prompt_has_three_positive_and_four_negative_demonstrations(prompt: str) -> None:
    """Positive ones have q_i, c, q_i+1 and a facet of up to four words, negative ones two questions (Figure 3)."""
    assert prompt.count("\nExample ") == 3
    assert prompt.count("\nNegative example ") == 4
    quoted = [line for line in prompt.split("\n") if line.startswith(("q_i", "q_{i+1}", "c:"))]
    texts = Demonstrations.of(prompt).texts
    assert len(quoted) == 3 * 3 + 4 * 2
    assert len(texts) >= len(quoted)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("Which one?", True),
        ("“Which one?”", True),
        ("哪一个？", True),
        ("Tell me", False),
        ("? no", False),
        ("??", False),
    ],
)
def test_what_counts_as_a_question(text: str, asks: bool) -> None:
    assert is_question(text) is asks


def test_a_window_shows_its_questions_cut_and_under_their_own_index() -> None:
    assert shown_questions(["a", "bcd", "e"], range(1, 3), 2) == {1: "bc", 2: "e"}
