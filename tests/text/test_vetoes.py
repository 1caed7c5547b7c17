"""Words that keep facets apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.text.vetoes import OPPOSITES, veto


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("current job title", "desired job title", "current / desired"),
        ("Check-in time", "check-out time", "in / out"),
        ("travelling with kids", "travelling without kids", "- / without"),
        ("smoking room", "non-smoking room", "- / non"),
        ("minimum budgets", "maximum budget", "minimum / maximum"),
        ("version of Python 2", "version of Python 3", "2 / 3"),
        ("name", "first name", "- / 1"),
        ("two-bedroom flat", "3-bedroom flat", "2 / 3"),
        ("hotel in New York", "hotel in New Orleans", "york / orlean"),
        ("the JSON schema", "the YAML schema", "json / yaml"),
        ("sender's name", "recipient’s name", "sender / recipient"),
    ],
)
def test_facets_that_are_kept_apart(one: str, other: str, words: str) -> None:
    assert veto(one, other) == words
    assert veto(other, one) == " / ".join(reversed(words.split(" / ")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("duration of the trip", "length of the trip"),
        ("target audience", "intended audience"),
        ("start date", "the starting date"),
        ("two travellers", "2 travellers"),
        ("the 1st chapter", "first chapter"),
        ("Preferred Workout Plan", "Preferred Training Plan"),  # a heading's capitals are no names
        ("BUDGET RANGE", "PRICE RANGE"),
        ("JSON schema", "json schema"),
        ("screen size in New York", "size of the screen"),  # a name on one side only adds to it
        ("", ""),
    ],
)
def test_facets_that_are_not(one: str, other: str) -> None:
    assert veto(one, other) is None


def test_every_group_has_two_sides_of_lower_case_words() -> None:
    """A capital or a plural would never be met: words are compared folded."""
    from clarilm_kedro.text.normalise import facet_words

    for line in OPPOSITES:
        sides = [side.split() for side in line.split("|")]
        assert len(sides) > 1, line
        assert all(sides), line
        assert all(facet_words(word) == [word] for side in sides for word in side), line


_WORDS = st.lists(st.sampled_from([word for line in OPPOSITES for word in line.replace("|", " ").split()])).map(
    " ".join
)


@given(st.text() | _WORDS, st.text() | _WORDS)
def test_the_order_of_the_two_does_not_matter(one: str, other: str) -> None:
    found = veto(one, other)
    assert veto(other, one) == (None if found is None else " / ".join(reversed(found.split(" / "))))
    assert veto(one, one) is None
