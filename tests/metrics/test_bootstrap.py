"""Intervals against plain resampling of rows, the published pair, and the coin against enumeration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarilm_kedro.metrics.bootstrap import (
    BootstrapOptions,
    Interval,
    coin_f1_macro,
    difference_to_coin,
    metric_interval,
    paired_difference,
    sums_intervals,
)
from clarilm_kedro.metrics.necessity import confusion, necessity_scores

OPTIONS = BootstrapOptions()


def _published_pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """108 IN3 items: 103 right against 92 right, 14 only the first, 3 only the second (labels do not matter here)."""
    right_a = np.array([True] * 89 + [True] * 14 + [False] * 3 + [False] * 2)
    right_b = np.array([True] * 89 + [False] * 14 + [True] * 3 + [False] * 2)
    needs = np.ones(108, dtype=bool)
    return needs, right_a, right_b


def test_published_accuracy_difference_on_in3() -> None:
    interval = paired_difference(*_published_pair(), "acc", OPTIONS)
    assert 100 * interval.estimate == pytest.approx(10.19, abs=5e-3)
    assert (100 * interval.low, 100 * interval.high) == pytest.approx((3.7, 17.6), abs=0.05)


def test_equals_resampling_of_rows() -> None:
    rng = np.random.default_rng(0)
    needs = rng.random(80) < 0.6
    a, b = needs ^ (rng.random(80) < 0.2), needs ^ (rng.random(80) < 0.35)
    differences = []
    for _ in range(3000):
        drawn = rng.integers(0, 80, 80)
        scores = [necessity_scores(confusion(needs[drawn], asked[drawn]))["f1_macro"] for asked in (a, b)]
        differences.append(scores[0] - scores[1])
    low, high = np.percentile(differences, [2.5, 97.5])
    interval = paired_difference(needs, a, b, "f1_macro", OPTIONS)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.012)


def test_wilson_like_width_of_an_accuracy() -> None:
    needs = np.ones(108, dtype=bool)
    interval = metric_interval(needs, np.arange(108) < 98, "acc", OPTIONS)
    assert interval.estimate == pytest.approx(98 / 108)
    assert (interval.low, interval.high) == pytest.approx((0.85, 0.96), abs=0.01)


def test_same_seed_same_interval_whatever_the_order_of_rows() -> None:
    needs, a, b = _published_pair()
    shuffled = np.random.default_rng(1).permutation(108)
    assert paired_difference(needs, a, b, "acc", OPTIONS) == paired_difference(
        needs[shuffled], a[shuffled], b[shuffled], "acc", OPTIONS
    )
    other = paired_difference(needs, a, b, "f1_macro", BootstrapOptions(seed=8, resamples=100))
    assert other != paired_difference(needs, a, b, "f1_macro", BootstrapOptions(seed=9, resamples=100))


def test_a_system_against_itself_differs_by_nothing() -> None:
    needs, a, _ = _published_pair()
    interval = paired_difference(needs, a, a, "f1_macro", OPTIONS)
    assert (interval.estimate, interval.low, interval.high) == (0, 0, 0)


@given(st.integers(1, 7), st.data())
@settings(max_examples=25, deadline=None)
def test_coin_equals_enumeration_of_all_its_outcomes(n: int, data: st.DataObject) -> None:
    positives = data.draw(st.integers(0, n))
    asked = data.draw(st.integers(0, n))
    needs = np.arange(n) < positives
    rate = asked / n
    expected = sum(
        rate ** sum(outcome)
        * (1 - rate) ** (n - sum(outcome))
        * necessity_scores(confusion(needs, np.array(outcome)))["f1_macro"]
        for outcome in product([False, True], repeat=n)
    )
    assert coin_f1_macro([positives], [asked], n)[0] == pytest.approx(expected)


def test_always_asking_is_its_own_coin() -> None:
    needs = np.arange(108) < 95
    interval = difference_to_coin(needs, np.ones(108, dtype=bool), OPTIONS)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0, 0, 0))


def test_a_system_that_knows_when_to_ask_clears_the_coin_and_one_that_guesses_does_not() -> None:
    needs = np.arange(200) < 120
    knows = needs ^ (np.arange(200) % 5 == 0)
    guesses = np.arange(200) % 5 < 3
    assert difference_to_coin(needs, knows, OPTIONS).low > 0.2
    assert difference_to_coin(needs, guesses, OPTIONS).low < 0


def test_coin_of_a_large_benchmark_is_quick() -> None:
    needs = np.arange(3202) % 2 == 0
    interval = difference_to_coin(needs, np.arange(3202) % 4 == 0, OPTIONS)
    assert interval.low < interval.estimate < interval.high


def test_intervals_of_sums_are_those_of_the_metric_whatever_the_order() -> None:
    options = BootstrapOptions(resamples=4000, seed=3)
    values = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0], [0.0, 1.0]] * 20)
    both = sums_intervals(values, lambda sums, n: sums / n, options)
    assert [each.estimate for each in both] == pytest.approx(values.mean(axis=0))
    error = values.std(axis=0) / np.sqrt(len(values))
    for interval, spread in zip(both, error, strict=True):
        assert interval.estimate - interval.low == pytest.approx(1.96 * spread, rel=0.1)
        assert interval.high - interval.estimate == pytest.approx(1.96 * spread, rel=0.1)
    assert sums_intervals(values[::-1], lambda sums, n: sums / n, options) == both
    one = sums_intervals(np.ones((1, 1)), lambda sums, n: sums / n, options)
    assert one == [Interval(1.0, 1.0, 1.0)]
