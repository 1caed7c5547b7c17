"""Intervals of sums, and the coin against enumeration of all its outcomes."""

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
    sums_intervals,
)
from clarilm_kedro.metrics.necessity import confusion, necessity_scores

OPTIONS = BootstrapOptions()


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
