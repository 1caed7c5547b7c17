"""Resampling against plain drawing of rows, and clusters."""

import numpy as np
import pytest

from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.metrics.necessity import confusion, necessity_scores
from clarilm_kedro.metrics.resampling import as_interval, draw_sums, mean_of, necessity_of, outcome_counts

OPTIONS = BootstrapOptions(resamples=4000)


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
    every = np.ones((80, 1), dtype=bool)
    counts = np.concatenate([outcome_counts(needs, asked[:, None], every) for asked in (a, b)], axis=1)
    sums = draw_sums(counts, OPTIONS)
    interval = as_interval(necessity_of(sums[:, :4], "f1_macro") - necessity_of(sums[:, 4:], "f1_macro"), OPTIONS)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.012)
    exact = [necessity_scores(confusion(needs, asked))["f1_macro"] for asked in (a, b)]
    assert interval.estimate == pytest.approx(exact[0] - exact[1])


def test_wilson_like_width_of_an_accuracy() -> None:
    right = (np.arange(108) < 98).astype(float)[:, None]
    interval = as_interval(draw_sums(right, OPTIONS)[:, 0] / 108, OPTIONS)
    assert interval.estimate == pytest.approx(98 / 108)
    assert (interval.low, interval.high) == pytest.approx((0.85, 0.96), abs=0.01)


def test_resamples_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random((50, 3))
    whole = draw_sums(values, BootstrapOptions(resamples=100))
    monkeypatch.setattr("clarilm_kedro.metrics.resampling._CELLS", 350)
    assert draw_sums(values, BootstrapOptions(resamples=100)) == pytest.approx(whole)


def test_a_cluster_is_drawn_as_a_whole() -> None:
    values = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    drawn = draw_sums(values, BootstrapOptions(resamples=50), clusters=["a", "a", "b"])[1:]
    assert {tuple(row) for row in drawn} == {(4.0, 0.0), (2.0, 1.0), (0.0, 2.0)}


def test_a_mean_over_nothing_is_zero() -> None:
    assert mean_of(np.array([[0.0, 0.0], [1.0, 2.0]])).tolist() == [0.0, 0.5]


def test_what_does_not_count_adds_nothing() -> None:
    counts = outcome_counts(np.array([True, False]), np.array([[True], [True]]), np.array([[True], [False]]))
    assert counts.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]
