"""Rows of scores, each with its bootstrap interval."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clarilm_kedro.metrics.agreement import decision_scores
from clarilm_kedro.metrics.bootstrap import Interval, sums_intervals
from clarilm_kedro.metrics.facet_recall import FacetLists, mean_recalls
from clarilm_kedro.pipelines.audit.schemas import ScoringOptions

#: Name of the subset that is the whole.
ALL = "all"


def scored(
    task: str,
    subset: str,
    metrics: Sequence[str],
    per_item: Sequence[Sequence[float]],
    score: Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]],
    options: ScoringOptions,
) -> list[dict[str, Any]]:
    """Score items by metrics that are functions of sums over them.

    Args:
        task: What is judged.
        subset: Which part of it.
        metrics: Names of what ``score`` gives.
        per_item: What each item adds to the sums.
        score: As for :func:`clarilm_kedro.metrics.bootstrap.sums_intervals`.
        options: Intervals.

    Returns:
        One row per metric (columns of :data:`clarilm_kedro.pipelines.audit.schemas.SCORES`); where there is no item,
        rows with n = 0 and no value.
    """
    if not per_item:
        return [_row(task, subset, metric, 0, Interval(np.nan, np.nan, np.nan)) for metric in metrics]
    intervals = sums_intervals(per_item, score, options.bootstrap)
    return [
        _row(task, subset, metric, len(per_item), interval) for metric, interval in zip(metrics, intervals, strict=True)
    ]


def means(
    task: str, subset: str, metrics: Sequence[str], values: Sequence[Sequence[float]], options: ScoringOptions
) -> list[dict[str, Any]]:
    """Average each metric over the items; arguments and result as for :func:`scored`."""
    return scored(task, subset, metrics, values, lambda sums, n: sums / n, options)


def decisions(
    task: str, subset: str, pairs: Sequence[tuple[bool, bool]], options: ScoringOptions
) -> list[dict[str, Any]]:
    """Score two-way decisions by accuracy and kappa; ``pairs`` holds what gold says and what was said."""
    cells = [[yes and said, not yes and said, yes and not said, not yes and not said] for yes, said in pairs]
    return scored(
        task,
        subset,
        ("accuracy", "kappa"),
        cells,
        lambda sums, _: decision_scores(*np.moveaxis(sums, -1, 0)),
        options,
    )


def recalls(task: str, subset: str, lists: Iterable[FacetLists], options: ScoringOptions) -> list[dict[str, Any]]:
    """Score facet lists by recall at every k, exact and cosine."""
    return [
        _row(task, subset, f"recall_at_{recall.k}_{recall.sense}", recall.n, recall.interval)
        for recall in mean_recalls(lists, options.matching, options.bootstrap)
    ]


def _row(task: str, subset: str, metric: str, n: int, interval: Interval) -> dict[str, Any]:
    return {
        "task": task,
        "subset": subset,
        "metric": metric,
        "value": interval.estimate,
        "n": n,
        "low": interval.low,
        "high": interval.high,
    }
