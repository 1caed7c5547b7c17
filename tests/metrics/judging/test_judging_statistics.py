import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.metrics.judging.statistics import length_controlled, sign_test, win_rate

FEW = BootstrapOptions(resamples=500)


def test_the_sign_test_of_45_wins_30_ties_and_25_losses() -> None:
    assert sign_test(45, 25) == pytest.approx(0.022, abs=5e-4)


@pytest.mark.parametrize(("n", "wins", "decided"), [(100, 44, 70), (200, 83, 140), (500, 194, 350)])
def test_what_it_takes_to_be_significant(n: int, wins: int, decided: int) -> None:
    """Research/evaluation, section 5: with 30 % ties 62.9 %, 59.3 % and 55.4 % of the decided pairs."""
    assert decided == 0.7 * n
    assert sign_test(wins, decided - wins) < 0.05 < sign_test(wins - 1, decided - wins + 1)


@given(st.integers(0, 200), st.integers(0, 200))
def test_it_is_the_exact_binomial_test_and_symmetric(wins: int, losses: int) -> None:
    assert sign_test(wins, losses) == sign_test(losses, wins)
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_a_tie_is_half_a_win_and_invalid_pairs_do_not_count() -> None:
    found = win_rate(["win", "tie", "tie", "lose", "tie", "invalid"], FEW)
    assert found.estimate == 0.5
    assert found.low < 0.5 < found.high


def test_the_interval_of_a_known_case() -> None:
    """A mean of 0/1 over 100 items: the normal interval is 0.6 +- 1.96 * sqrt(0.24 / 100)."""
    found = win_rate(["win"] * 60 + ["lose"] * 40, BootstrapOptions(resamples=20_000))
    assert (found.low, found.high) == pytest.approx((0.504, 0.696), abs=0.011)


@pytest.mark.parametrize("outcomes", [[], ["invalid", "invalid"]])
def test_without_a_valid_pair_there_is_no_win_rate(outcomes: list[str]) -> None:
    found = win_rate(outcomes, FEW)
    assert np.isnan([found.estimate, found.low, found.high]).all()
    assert np.isnan(length_controlled(outcomes, [0.1] * len(outcomes)))


def test_a_judge_that_goes_by_length_alone_finds_equal_systems_equal() -> None:
    """The longer reply wins always; the system is longer in three quarters of the pairs."""
    ratios = [place / 10 for place in range(-10, 31) if place]
    outcomes = ["win" if ratio > 0 else "lose" for ratio in ratios]
    assert win_rate(outcomes, FEW).estimate == 0.75
    assert length_controlled(outcomes, ratios) == pytest.approx(0.5, abs=0.05)


def test_the_rate_at_equal_length_is_found_again() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0.7, 1.0, 20_000)
    wins = rng.random(len(x)) < 1 / (1 + np.exp(-(0.4 + 1.5 * x)))
    found = length_controlled(["win" if each else "lose" for each in wins], list(x))
    assert found == pytest.approx(1 / (1 + np.exp(-0.4)), abs=0.015)


@pytest.mark.parametrize("outcome", ["win", "tie", "lose"])
def test_where_length_changes_nothing_it_is_the_win_rate(outcome: str) -> None:
    rate = {"win": 1.0, "tie": 0.5, "lose": 0.0}[outcome]
    assert length_controlled([outcome] * 4, [-1.0, 0.0, 1.0, 2.0]) == pytest.approx(rate)
    assert length_controlled(["win", outcome], [0.0, 0.0]) == pytest.approx((1 + rate) / 2)


def test_a_value_at_equal_length_is_not_guessed() -> None:
    assert np.isnan(length_controlled(["win", "lose"], [0.2, 0.9]))
    assert np.isnan(length_controlled(["win", "lose"], [-0.2, -0.9]))


pairs = st.lists(st.tuples(st.sampled_from(["win", "tie", "lose"]), st.floats(-4, 4)), min_size=1, max_size=30)


@given(pairs)
def test_exchanging_the_systems_turns_every_rate_round(given_: list[tuple[str, float]]) -> None:
    swap = {"win": "lose", "tie": "tie", "lose": "win"}
    outcomes, ratios = [outcome for outcome, _ in given_], [ratio for _, ratio in given_]
    swapped = [swap[outcome] for outcome in outcomes]
    ours, theirs = win_rate(outcomes, FEW), win_rate(swapped, FEW)
    assert ours.estimate == pytest.approx(1 - theirs.estimate)
    controlled = length_controlled(outcomes, ratios)
    assert length_controlled(swapped, [-ratio for ratio in ratios]) == pytest.approx(
        1 - controlled, nan_ok=True, abs=1e-6
    )
    assert np.isnan(controlled) or 0 <= controlled <= 1
