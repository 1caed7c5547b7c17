"""Bootstrap over items: intervals for metrics that are sums over them, and for what a system has over a coin.

Drawing n items with replacement and counting how often each combination of values occurs is the same as one multinomial
draw over their shares, so a resample costs a few numbers instead of n, and the order of rows cannot matter. Intervals
are percentile intervals (Efron & Tibshirani 1993, chapter 13). Where systems are compared with each other
:mod:`clarilm_kedro.metrics.resampling` draws items for all of them together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from clarilm_kedro.metrics.necessity import BoolArray, ratio, scores_of_counts
from clarilm_kedro.options import Options

Labels = Sequence[bool] | BoolArray
FloatArray = npt.NDArray[np.float64]


class BootstrapOptions(Options):
    """How intervals are drawn."""

    resamples: int = Field(default=10_000, ge=1, description="Bootstrap resamples over the items of a benchmark.")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Coverage of the percentile interval.")
    seed: int = Field(default=7, description="Seed of the resamples.")


@dataclass(frozen=True)
class Interval:
    """An estimate on the items at hand and its percentile interval.

    Attributes:
        estimate: The value without resampling.
        low: Lower bound.
        high: Upper bound.
    """

    estimate: float
    low: float
    high: float


def difference_to_coin(needs: Labels, asked: Labels, options: BootstrapOptions) -> Interval:
    """Interval of macro F1 minus what a coin with the system's own ask rate is expected to get on the same items.

    A system that only knows how often to ask, and not when, has an expected difference of 0. The coin's rate and its
    expected score are taken anew on every resample.

    Args:
        needs: Gold labels, at least one item.
        asked: Decisions, same length.
        options: Resamples, coverage, seed.
    """
    y, p = np.asarray(needs, dtype=bool), np.asarray(asked, dtype=bool)
    cells = np.bincount(2 * y.astype(int) + p, minlength=4)  # tn, fp, fn, tp
    n = int(cells.sum())
    resampled = np.random.default_rng(options.seed).multinomial(n, cells / n, size=options.resamples)
    over = [_over_coin(counts) for counts in (cells[None, :], resampled)]
    tail = 100 * (1 - options.confidence) / 2
    low, high = np.percentile(over[1], [tail, 100 - tail])
    return Interval(float(over[0][0]), float(low), float(high))


def sums_intervals(
    per_item: npt.ArrayLike, score: Callable[[FloatArray, int], FloatArray], options: BootstrapOptions
) -> list[Interval]:
    """Intervals of metrics that are functions of sums over items: means, precision and recall, kappa.

    An item may hold several numbers that belong together (a session's right, found and wanted pairs), so that what
    errs together is drawn together.

    Args:
        per_item: What each item adds to the sums, of shape [items, columns]; at least one item.
        score: Gives the metrics, of shape [..., metrics], for sums of shape [..., columns] and the number of items.
        options: Resamples, coverage, seed.

    Returns:
        One interval per metric.
    """
    cells, counts = np.unique(np.asarray(per_item, dtype=float), axis=0, return_counts=True)
    n = int(counts.sum())
    resampled = np.random.default_rng(options.seed).multinomial(n, counts / n, size=options.resamples)
    tail = 100 * (1 - options.confidence) / 2
    low, high = np.percentile(score(resampled @ cells, n), [tail, 100 - tail], axis=0)
    estimates = score(counts @ cells, n)
    return [Interval(*map(float, each)) for each in zip(estimates, low, high, strict=True)]


def coin_f1_macro(n_positive: Sequence[int] | npt.NDArray[np.int_], n_asked: npt.ArrayLike, n: int) -> FloatArray:
    """Expected macro F1 of a coin that asks each of n items with probability ``n_asked / n``.

    Given that the coin asks K items, the number of them that need it is hypergeometric with mean K * P / n, and F1 is
    linear in it: E[F1+ | K] = 2 (P / n) K / (P + K), likewise for the other class. What remains is one sum over
    K ~ Binomial(n, rate), done once per distinct pair of (P, rate).

    Args:
        n_positive: Items that need a clarification (P), one per resample.
        n_asked: Items that the system asks, one per resample.
        n: Items per resample.

    Returns:
        Expected macro F1, one per resample.
    """
    from scipy.stats import binom

    positives, where_p = np.unique(np.asarray(n_positive), return_inverse=True)
    asks, where_a = np.unique(np.asarray(n_asked), return_inverse=True)
    k = np.arange(n + 1, dtype=float)
    weights = binom.pmf(k[None, :], n, asks[:, None] / n)  # [asks, n + 1]
    p = positives[:, None].astype(float)
    f1_pos = ratio(2 * p / n * k, p + k)
    f1_neg = ratio(2 * (n - p) / n * (n - k), (n - p) + (n - k))
    expected: FloatArray = weights @ ((f1_pos + f1_neg) / 2).T  # [asks, positives]
    return expected[where_a, where_p]


def _over_coin(counts: npt.NDArray[np.int_]) -> FloatArray:
    """Macro F1 minus that of the coin, per row of the four counts tn, fp, fn, tp."""
    tn, fp, fn, tp = counts.T
    return scores_of_counts(tp, fp, fn, tn)["f1_macro"] - coin_f1_macro(fn + tp, fp + tp, int(counts[0].sum()))
