"""Normal forms of questions and facets."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarilm_kedro.text.normalise import facet_words, normalise_facet, normalise_question


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("When does it open?", "when does it open"),
        ("Cafe\u0301, please!", "café please"),
        ("  two\n\tlines ", "Two lines."),
        ("ＦＵＬＬ width", "full width"),
        ("2 + 2 = ?", "2 2"),
    ],
)
def test_questions_that_count_as_equal(one: str, other: str) -> None:
    assert normalise_question(one) == normalise_question(other)


@pytest.mark.parametrize(("one", "other"), [("What is C++?", "What is C#?"), ("What is C?", "What is C#?")])
def test_questions_that_differ(one: str, other: str) -> None:
    assert normalise_question(one) != normalise_question(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("specifying the brand", "brand"),
        ("The user's budget", "budget"),
        ("skill level of the user’s child", "skill level of child"),
        ("which devices", "device"),
        ("Specific travel dates", "travel date"),
        ("your preferred language", "the language"),
        ("the child's age", "child age"),
        ("purpose of the trip", "purpose of trip"),
    ],
)
def test_facets_that_count_as_equal(one: str, other: str) -> None:
    assert normalise_facet(one) == normalise_facet(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("check-in time", "check-out time"),
        ("current job title", "desired job title"),
        ("gas", "ga"),
        ("the", "a"),
        ("C++ version", "C# version"),
        ("vitamin A", "vitamin"),
        ("user interface language", "interface language"),
        ("desired type of bread", "bread"),
    ],
)
def test_facets_that_differ(one: str, other: str) -> None:
    assert normalise_facet(one) != normalise_facet(other)


def test_the_words_of_a_facet_keep_what_its_normal_form_drops() -> None:
    assert facet_words("The preferred check-in times") == ["the", "preferred", "check", "in", "time"]


_LIKELY = st.lists(
    st.sampled_from(
        ["the", "user's", "users’", "a", "an", "which", "specifics", "preferred", "C++", "dates", "s", "'s"]
    )
).map(" ".join)


@given(st.text() | _LIKELY)
@example("USER' THE")
def test_normal_forms_are_idempotent(text: str) -> None:
    assert normalise_question(normalise_question(text)) == normalise_question(text)
    assert normalise_facet(normalise_facet(text)) == normalise_facet(text)
