from itertools import product

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.metrics.judging.outcomes import AGGREGATIONS, OUTCOMES, combine, majority, pair_outcomes
from clarilm_kedro.metrics.judging.pairs import PAIRS
from clarilm_kedro.metrics.judging.rule import RULE_JUDGE, rule_judgements
from clarilm_kedro.metrics.judging.verdicts import INVALID, outcome_of
from clarilm_kedro.tables import table
from metrics.judging.judging_rows import NOBODY, judged, outcomes, pairs

EXAMPLE = [("A", "B"), ("A", "A"), ("tie", "tie"), ("B", "A"), ("A", "tie")]


def test_the_worked_example() -> None:
    found = outcomes(EXAMPLE)
    by_aggregation = {key: list(rows["outcome"]) for key, rows in found.groupby("aggregation")}
    assert by_aggregation["strict"] == ["win", "tie", "tie", "lose", "tie"]
    assert by_aggregation["lenient"] == ["win", "tie", "tie", "lose", "win"]
    strict = found[found["aggregation"] == "strict"]
    assert (strict["order_1"] == strict["order_2"]).sum() == 3
    assert (strict["slot1"].sum(), strict["decided"].sum()) == (5, 7)


@pytest.mark.parametrize(
    ("first", "second", "strict", "lenient"),
    [
        ("win", "win", "win", "win"),
        ("win", "tie", "tie", "win"),
        ("win", "lose", "tie", "tie"),
        ("tie", "tie", "tie", "tie"),
        ("tie", "lose", "tie", "lose"),
        ("lose", "lose", "lose", "lose"),
        ("win", "invalid", "invalid", "invalid"),
        ("", "win", "invalid", "invalid"),
    ],
)
def test_two_orders_make_one_outcome_whichever_comes_first(first: str, second: str, strict: str, lenient: str) -> None:
    for one, other in ((first, second), (second, first)):
        assert combine(one, other, "strict") == strict
        assert combine(one, other, "lenient") == lenient


verdicts = st.sampled_from(["A", "B", "tie", "invalid"])
SWAPPED = {"win": "lose", "lose": "win", "tie": "tie", "invalid": "invalid"}


@given(verdicts, verdicts, st.sampled_from(AGGREGATIONS))
def test_exchanging_the_systems_exchanges_wins_and_losses(first: str, second: str, aggregation: str) -> None:
    """The same calls seen from the opponent: what was order 1 is order 2."""
    ours = combine(outcome_of(first, 1), outcome_of(second, 2), aggregation)
    theirs = combine(outcome_of(second, 1), outcome_of(first, 2), aggregation)
    assert theirs == SWAPPED[ours]


@given(st.lists(st.sampled_from(list(SWAPPED)), max_size=6))
def test_a_majority_is_symmetric_and_needs_more_than_half(votes: list[str]) -> None:
    assert majority([SWAPPED[vote] for vote in votes]) == SWAPPED[majority(votes)]
    assert majority(votes[::-1]) == majority(votes)
    valid = [vote for vote in votes if vote != INVALID]
    if majority(votes) not in ("tie", INVALID):
        assert 2 * valid.count(majority(votes)) > len(valid)
    assert (majority(votes) == INVALID) is (not valid)


def test_a_judge_that_always_says_a_makes_nothing_but_ties() -> None:
    found = outcomes([("A", "A")] * 6)
    assert set(found["outcome"]) == {"tie"}
    assert (found["order_1"] == "win").all()
    assert (found["order_2"] == "lose").all()
    assert (found["slot1"] == found["decided"]).all()


def test_what_is_missing_or_unreadable_is_invalid_and_no_tie() -> None:
    found = outcomes([("A", "invalid"), ("", ""), ("tie", ""), ("A", "B")])
    strict = found[found["aggregation"] == "strict"]
    assert list(strict["outcome"]) == ["invalid", "invalid", "invalid", "win"]
    assert list(strict["order_2"]) == ["invalid", "", "", "win"]


def test_identical_replies_tie_and_nothing_was_decided() -> None:
    found = outcomes([("identical", "identical")])
    assert set(found["outcome"]) == {"tie"}
    assert set(found["order_1"]) == {"identical"}
    assert found["decided"].sum() == 0


def test_the_majority_is_that_of_the_models_and_the_rule_has_no_vote() -> None:
    given_ = pairs(3)
    one = judged(given_, [("A", "B"), ("A", "B"), ("invalid", "A")], "one")
    two = judged(given_, [("A", "B"), ("B", "A"), ("invalid", "A")], "two")
    alone = pair_outcomes(given_, pd.concat([one, rule_judgements(given_)]), NOBODY)
    assert set(alone["judge"]) == {"one", RULE_JUDGE}
    found = pair_outcomes(given_, pd.concat([one, two, rule_judgements(given_)]), NOBODY)
    voted = found[(found["judge"] == "majority") & (found["aggregation"] == "strict")]
    assert list(voted["outcome"]) == ["win", "tie", "invalid"]
    three = judged(given_, [("B", "A")] * 3, "three")
    found = pair_outcomes(given_, pd.concat([one, two, three]), NOBODY)
    voted = found[(found["judge"] == "majority") & (found["aggregation"] == "strict")]
    assert list(voted["outcome"]) == ["win", "lose", "lose"]


def test_a_person_judges_one_order_and_only_what_was_labelled() -> None:
    given_ = pairs(3)
    people = judged(given_, [("A",), ("", "A"), ()], "human")
    found = pair_outcomes(given_, NOBODY, people)
    assert list(found["outcome"]) == ["win", "lose"]
    assert set(found["aggregation"]) == {"single"}


def test_no_rows_give_a_typed_table() -> None:
    found = pair_outcomes(table([], PAIRS), NOBODY, NOBODY)
    assert found.empty
    assert list(found.columns) == list(OUTCOMES)


@given(st.permutations(list(product(("A", "B", "tie"), repeat=2))))
def test_the_order_of_rows_does_not_matter(order: list[tuple[str, ...]]) -> None:
    given_ = pairs(len(order))
    rows = judged(given_, order)
    pd.testing.assert_frame_equal(pair_outcomes(given_, rows, NOBODY), pair_outcomes(given_[::-1], rows[::-1], NOBODY))
