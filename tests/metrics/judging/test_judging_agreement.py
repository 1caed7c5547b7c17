import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from clarilm_kedro.metrics.judging.agreement import AGREEMENT, AgreementOptions, cohen_kappa, judge_agreement
from clarilm_kedro.metrics.judging.outcomes import pair_outcomes
from clarilm_kedro.tables import records, table
from metrics.judging.judging_rows import NOBODY, judged, outcomes, pair, pairs

SAID = {"win": ("A", "B"), "tie": ("tie", "tie"), "lose": ("B", "A")}


def test_kappa_over_three_classes() -> None:
    # 6 of 10 alike; by chance (5 * 4 + 3 * 3 + 2 * 3) / 100 = 0.35.
    ours = ["win"] * 5 + ["tie"] * 3 + ["lose"] * 2
    theirs = ["win", "win", "win", "tie", "lose", "tie", "tie", "win", "lose", "lose"]
    assert theirs.count("win") == 4
    agreement, kappa = cohen_kappa(ours, theirs)
    assert agreement == 0.7
    assert kappa == pytest.approx((0.7 - 0.35) / 0.65)


def test_kappa_without_answers_is_missing_and_of_one_class_0() -> None:
    assert np.isnan(cohen_kappa([], [])).all()
    assert cohen_kappa(["tie"] * 3, ["tie"] * 3) == (1.0, 0.0)


answers = st.lists(st.tuples(*[st.sampled_from(["win", "tie", "lose"])] * 2), min_size=1, max_size=40)


@given(answers)
def test_it_is_scikit_learns_kappa(said: list[tuple[str, str]]) -> None:
    ours, theirs = [a for a, _ in said], [b for _, b in said]
    if len({*ours, *theirs}) > 1:
        assert cohen_kappa(ours, theirs)[1] == pytest.approx(cohen_kappa_score(ours, theirs))
    assert cohen_kappa(ours, theirs) == pytest.approx(cohen_kappa(theirs, ours))


def test_judges_and_people_are_compared_on_what_both_judged() -> None:
    given_ = pd.concat([pairs(3), pairs(1, pair_id="c", benchmark="clamber")], ignore_index=True)
    one = judged(given_, [SAID["win"], SAID["tie"], SAID["lose"], SAID["win"]], "one")
    two = judged(given_, [SAID["win"], SAID["tie"], ("invalid", "A"), SAID["lose"]], "two")
    person = judged(given_, [("A",), ("", "A"), (), ()], "human")
    found = judge_agreement(pair_outcomes(given_, pd.concat([one, two]), person), AgreementOptions())
    assert list(found.columns) == list(AGREEMENT)
    seen = {
        (row["judge"], row["other_judge"], row["benchmark"]): (row["n"], row["agreement"]) for row in records(found)
    }
    assert seen["one", "two", "all"] == (3, 2 / 3)
    assert seen["one", "two", "in3"] == (2, 1.0)
    assert seen["one", "two", "clamber"] == (1, 0.0)
    assert seen["human", "one", "all"] == (2, 0.5)
    assert seen["human", "majority", "all"] == (2, 0.5)
    assert ("majority", "one", "all") not in seen
    assert set(found["warnings"]) == {"fewer than 50 pairs"}


def test_pairs_that_nobody_was_asked_about_do_not_count() -> None:
    given_ = table([pair(0, identical=True), pair(1)], dict.fromkeys(pair(), "object"))
    both = [("identical", "identical"), SAID["win"]]
    person = judged(given_, [("tie",), ("A",)], "human")
    found = judge_agreement(pair_outcomes(given_, judged(given_, both), person), AgreementOptions(min_pairs=1))
    assert set(found["n"]) == {1}
    assert set(found["warnings"]) == {""}


def test_one_judge_alone_agrees_with_nobody() -> None:
    assert judge_agreement(outcomes([SAID["win"]]), AgreementOptions()).empty
    assert judge_agreement(pair_outcomes(pairs(0), NOBODY, NOBODY), AgreementOptions()).empty
