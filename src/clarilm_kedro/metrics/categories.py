"""Results by category and subclass, which a benchmark's mean hides."""

from itertools import groupby
from math import nan, sqrt
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.necessity import METRICS
from clarilm_kedro.metrics.outcomes import System, outcomes_by_benchmark
from clarilm_kedro.metrics.resampling import necessity_of
from clarilm_kedro.options import Options
from clarilm_kedro.tables import records, table

OTHER = "other"
CATEGORY_COLUMNS = {
    "benchmark": "str", "system": "str", "category": "str", "subclass": "str", "n": "int64", "n_needed": "int64",
    "acc": "float64", "acc_low": "float64", "acc_high": "float64", "f1_pos": "float64", "f1_macro": "float64",
    "tpr": "float64", "tnr": "float64", "ask_rate": "float64", "tf": "float64", "bert": "float64",
}  # fmt: skip
_QUALITY = {"tf": "token_f1", "bert": "bertscore_f1"}


class CategoryOptions(Options):
    """How items are grouped."""

    min_items: int = Field(
        default=10, ge=1, description="A category or subclass with fewer items goes into 'other'; so do unnamed ones."
    )


def category_results(row_scores: pd.DataFrame, benchmarks: pd.DataFrame, options: CategoryOptions) -> pd.DataFrame:
    """Aggregate row scores by the benchmark's own categories and subclasses.

    Args:
        row_scores: One score per system, seed, item and metric.
        benchmarks: The items, with their category and subclass.
        options: The smallest group.

    Returns:
        One row per benchmark, system, category and subclass ("" is the category as a whole) with
        :data:`CATEGORY_COLUMNS`; means over the seeds, accuracy with its 95 % Wilson interval over the items. A metric
        that needs a class that the group does not have is missing: F1+ and TPR without an item that needs a
        clarification, TNR without one that needs none, macro F1 without either. Benchmarks without categories have no
        rows.
    """
    groups = item_groups(benchmarks, options.min_items)
    rows = []
    for benchmark, outcomes in outcomes_by_benchmark(row_scores):
        where = {item: row for row, item in enumerate(outcomes.items)}
        for (category, subclass), items in groups.get(benchmark, {}).items():
            part = outcomes.taken(np.array([where[item] for item in items]))
            named = {"benchmark": benchmark, "category": category, "subclass": subclass}
            for name, done in part.systems.items():
                sums = part.counts(name).sum(axis=0)
                scores = {metric: float(necessity_of(sums, metric)) for metric in METRICS}
                rows.append({**named, "system": name, **scores, **_of_group(part.needs, done, scores["acc"])})
    return table(rows, CATEGORY_COLUMNS)


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Give the Wilson score interval of a share (Wilson 1927); it stays inside [0, 1] also for small n.

    Args:
        share: Observed share.
        n: Observations; none gives missing bounds.
        z: Normal quantile, 1.96 for 95 %.
    """
    if not n:
        return nan, nan
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def item_groups(benchmarks: pd.DataFrame, min_items: int) -> dict[str, dict[tuple[str, str], list[str]]]:
    """Group items by category, and by category and subclass.

    Args:
        benchmarks: The items.
        min_items: A smaller group goes into :data:`OTHER` of its level.

    Returns:
        Benchmark -> (category, subclass or "" for all of it) -> item ids; nothing for a benchmark without categories
        of that size, and no subclasses where a category has none.
    """
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for benchmark, rows in groupby(sorted(records(benchmarks), key=itemgetter("benchmark")), itemgetter("benchmark")):
        items = list(rows)
        groups: dict[tuple[str, str], list[str]] = {}
        for category, members in _split(items, "category", min_items).items():
            groups[category, ""] = [each["item_id"] for each in members]
            for subclass, some in _split(members, "subclass", min_items).items():
                groups[category, subclass] = [each["item_id"] for each in some]
        if groups:
            found[str(benchmark)] = dict(sorted(groups.items()))
    return found


def _split(items: list[dict[str, Any]], level: str, min_items: int) -> dict[str, list[dict[str, Any]]]:
    """Group by a level; nothing where all groups are too small or unnamed, so that one group would repeat the whole."""
    named: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        named.setdefault(item[level] or OTHER, []).append(item)
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, members in named.items():
        groups.setdefault(name if len(members) >= min_items else OTHER, []).extend(members)
    return {} if set(groups) == {OTHER} else groups


def _of_group(needs: "np.ndarray[Any, np.dtype[np.bool_]]", done: System, acc: float) -> dict[str, float]:
    """Sizes, the interval of accuracy, question quality, and what a group with one label does not have."""
    n, n_needed = int(done.counted.any(axis=1).sum()), int(needs.sum())
    low, high = wilson(acc, n)
    missing = ["f1_pos", "tpr", "f1_macro"] if n_needed == 0 else []
    missing += ["tnr", "f1_macro"] if n_needed == len(needs) else []
    return {
        "n": n,
        "n_needed": n_needed,
        "acc_low": low,
        "acc_high": high,
        **{metric: done.mean(value) for metric, value in _QUALITY.items()},
        **dict.fromkeys(missing, nan),
    }
