from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.calibration import Objective, fit_threshold

SCORERS = {
    "f1_macro": lambda y, asked: f1_score(y, asked, average="macro", zero_division=0, labels=[False, True]),
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "cost": lambda y, asked: -(2 * (y & ~asked).sum() + (~y & asked).sum()) / len(y),
}
rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1), st.booleans()),
    min_size=2,
    max_size=30,
).filter(lambda pairs: 0 < sum(need for _, need in pairs) < len(pairs))


def test_a_separable_curve_gets_the_middle_of_its_gap() -> None:
    fitted = fit_threshold([0.1, 0.2, 0.6, 0.9], [False, False, True, True])
    assert fitted.status == "fitted"
    assert fitted.threshold == pytest.approx(0.4)
    assert (fitted.score, fitted.auc, fitted.n) == (1.0, 1.0, 4)


def test_shifted_probabilities_are_what_calibration_is_for() -> None:
    """Every row above one half: at 0.5 the system always asks, though it ranks perfectly."""
    fitted = fit_threshold([0.7, 0.75, 0.95, 0.99], [False, False, True, True])
    assert fitted.threshold == pytest.approx(0.85)
    assert fitted.score_at_half == pytest.approx(1 / 3)
    assert fitted.score == 1.0


def test_of_equal_scores_the_widest_gap_wins() -> None:
    # Asking from 0.2, or from 0.8: both accuracies are 3/4; the gap below 0.8 is the wider one.
    fitted = fit_threshold([0.1, 0.2, 0.3, 0.8], [False, True, False, True], "accuracy")
    assert fitted.score == 0.75
    assert fitted.threshold == pytest.approx(0.55)


def test_of_equally_wide_gaps_the_one_nearest_one_half_wins() -> None:
    fitted = fit_threshold([0.2, 0.4, 0.6, 0.8], [True, False, True, False], "balanced_accuracy")
    assert fitted.threshold == pytest.approx(0.5)


@settings(deadline=None)
@given(rows, st.sampled_from(get_args(Objective)))
def test_no_threshold_scores_better(pairs: list[tuple[float, bool]], objective: Objective) -> None:
    p, y = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    fitted = fit_threshold(p, y, objective)
    score = SCORERS[objective]
    assert fitted.score == pytest.approx(score(y, p >= fitted.threshold))
    candidates = [*p, *((np.sort(p)[1:] + np.sort(p)[:-1]) / 2), 0.0]
    assert fitted.score >= max(score(y, p >= t) for t in candidates) - 1e-9
    assert fitted.auc == pytest.approx(roc_auc_score(y, p))
    assert fitted.score_at_half == pytest.approx(score(y, p >= 0.5))
    for point in fitted.curve:
        assert point["score"] == pytest.approx(score(y, p >= point["threshold"]))
        assert point["ask_rate"] == pytest.approx((p >= point["threshold"]).mean())


@given(rows, st.randoms())
def test_row_order_does_not_matter(pairs: list[tuple[float, bool]], random: object) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (fit_threshold(*zip(*each, strict=True)) for each in (pairs, shuffled))
    assert one.threshold == other.threshold


@pytest.mark.parametrize(
    ("p", "y", "reason"),
    [
        ([], [], "0 validation rows are fewer than the 4"),
        ([0.2, 0.4], [True, False], "2 validation rows are fewer than the 4"),
        ([0.2] * 5, [True] * 5, "all 5 validation rows need a clarification"),
        ([0.2] * 5, [False] * 5, "all 5 validation rows need none"),
    ],
)
def test_what_cannot_be_fitted_is_skipped_with_a_reason(p: list[float], y: list[bool], reason: str) -> None:
    skipped = fit_threshold(p, y, min_examples=4)
    assert skipped.status == "skipped"
    assert reason in skipped.reason
    assert skipped.threshold == 0.5
    assert skipped.as_json()["score"] is None


@pytest.mark.parametrize("p", [[0.1, float("nan")], [0.1, 1.5]])
def test_broken_probabilities_are_an_error(p: list[float]) -> None:
    with pytest.raises(ClarilmError, match="not numbers between 0 and 1"):
        fit_threshold(p, [True, False])


def test_lengths_must_agree() -> None:
    with pytest.raises(ClarilmError, match="1 probabilities were given for 2 rows"):
        fit_threshold([0.1], [True, False])


def test_the_price_of_a_missed_question_moves_the_threshold() -> None:
    p, needs = [0.1, 0.3, 0.4, 0.6, 0.9], [False, True, False, False, True]
    dear = fit_threshold(p, needs, "cost", cost_missed=10.0, cost_needless=1.0)
    cheap = fit_threshold(p, needs, "cost", cost_missed=1.0, cost_needless=10.0)
    assert dear.threshold < 0.3
    assert cheap.threshold > 0.6
    assert dear.score == pytest.approx(-2 / 5)
    assert cheap.score == pytest.approx(-1 / 5)
