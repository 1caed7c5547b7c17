"""Resamples of a benchmark's items on which all systems are judged together (paired bootstrap).

Every metric of a table is a function of sums over items: outcome counts give the necessity metrics, sums of scores and
of scored items give means. So a resample needs only these sums, all systems see the same drawn items, and any two of
them can be compared without drawing again. Items that stand for one another (questions made from one template) can be
drawn as a whole (cluster bootstrap, Field & Welsh 2007). Intervals are percentile intervals (Efron & Tibshirani 1993,
chapter 13).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clarilm_kedro.metrics.bootstrap import BootstrapOptions, FloatArray, Interval
from clarilm_kedro.metrics.necessity import BoolArray, ratio, scores_of_counts

_CELLS = 4_000_000  # of drawn weights in memory at once


def draw_sums(per_item: FloatArray, options: BootstrapOptions, clusters: Sequence[str] | None = None) -> FloatArray:
    """Sum columns over the items at hand and over every resample of them.

    Args:
        per_item: What each item adds, of shape [items, columns]; at least one item. The order of items decides which
            random numbers they get, so callers sort them.
        options: Resamples and seed.
        clusters: Items of one cluster are drawn together, as often as one another; None draws items.

    Returns:
        Array of shape [1 + resamples, columns]; the first row is the items at hand.
    """
    units = per_item
    if clusters is not None:
        names, member_of = np.unique(np.asarray(clusters), return_inverse=True)
        units = np.zeros((len(names), per_item.shape[1]))
        np.add.at(units, member_of, per_item)
    n = len(units)
    rng = np.random.default_rng(options.seed)
    sums = [units.sum(axis=0, keepdims=True)]
    at_once = max(1, _CELLS // n)
    for start in range(0, options.resamples, at_once):
        count = min(at_once, options.resamples - start)
        drawn = rng.integers(0, n, size=(count, n)) + n * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        sums.append(weights @ units)
    return np.concatenate(sums)


def outcome_counts(needs: BoolArray, asked: BoolArray, counted: BoolArray) -> FloatArray:
    """Code decisions as what they add to the four outcomes.

    Args:
        needs: Gold labels, of shape [items].
        asked: Decisions, of shape [items, seeds].
        counted: Which decisions count, same shape; the others add nothing.

    Returns:
        Array of shape [items, seeds * 4]: for every seed true positives, false positives, false negatives, true
        negatives.
    """
    gold = needs[:, None]
    outcomes = np.stack([gold & asked, ~gold & asked, gold & ~asked, ~gold & ~asked], axis=-1) & counted[..., None]
    return outcomes.reshape(len(needs), -1).astype(float)


def necessity_of(sums: FloatArray, metric: str) -> FloatArray:
    """Score a system on sums of :func:`outcome_counts`.

    Args:
        sums: Of shape [..., seeds * 4].
        metric: A name of :data:`clarilm_kedro.metrics.necessity.METRICS`.

    Returns:
        The mean over the seeds, of shape [...].
    """
    by_seed = sums.reshape(*sums.shape[:-1], -1, 4)
    scores: FloatArray = scores_of_counts(*np.moveaxis(by_seed, -1, 0))[metric].mean(axis=-1)
    return scores


def mean_of(sums: FloatArray) -> FloatArray:
    """Divide sums of scores by the number of scored items.

    Args:
        sums: Of shape [..., 2], the scores and the items; 0 items give 0.
    """
    return ratio(sums[..., 0], sums[..., 1])


def as_interval(scores: npt.ArrayLike, options: BootstrapOptions) -> Interval:
    """Read an estimate and its percentile interval off scores.

    Args:
        scores: Of the items at hand first, then of every resample.
        options: The coverage.
    """
    values = np.asarray(scores, dtype=float)
    tail = 100 * (1 - options.confidence) / 2
    low, high = np.percentile(values[1:], [tail, 100 - tail])
    return Interval(float(values[0]), float(low), float(high))
