"""Which system is better, and is the difference more than chance: paired bootstrap, exact McNemar, Holm.

All systems of a benchmark are judged on the same drawn items. McNemar's test counts items that exactly one system has
right; with several seeds a system has an item right where most of its seeds have.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.bootstrap import BootstrapOptions, FloatArray, Interval, difference_to_coin
from clarilm_kedro.metrics.categories import CategoryOptions, item_groups
from clarilm_kedro.metrics.mcnemar import discordant, holm, mcnemar_exact
from clarilm_kedro.metrics.outcomes import Outcomes, System, outcomes_by_benchmark
from clarilm_kedro.metrics.resampling import as_interval, draw_sums, mean_of, necessity_of
from clarilm_kedro.tables import table
from clarilm_kedro.text.similarity import NearDuplicateRule

COIN = "coin at its ask rate"
_MEASURES = ("f1_macro", "acc", "tf", "bert")
_VALUES = {"tf": "token_f1", "bert": "bertscore_f1"}
_TEST_COLUMNS = {
    "only_system_right": "Int64", "only_other_right": "Int64", "mcnemar_p": "float64", "mcnemar_p_holm": "float64",
}  # fmt: skip
COMPARISON_COLUMNS = {
    "benchmark": "str",
    "system": "str",
    "other": "str",
    "n": "int64",
    **{f"{measure}_{part}": "float64" for measure in _MEASURES for part in ("diff", "low", "high")},
    **_TEST_COLUMNS,
}
CATEGORY_COMPARISON_COLUMNS = {
    "benchmark": "str", "system": "str", "other": "str", "category": "str", "subclass": "str", "n": "int64",
    "acc_diff": "float64", "acc_low": "float64", "acc_high": "float64", **_TEST_COLUMNS,
}  # fmt: skip


class ComparisonOptions(BootstrapOptions):
    """Which system is compared, and how intervals are drawn."""

    system: str = Field(default="clarilm", description="The system that is compared with every other one.")
    unit: Literal["item", "template"] = Field(
        default="item",
        description="What is drawn: items, or whole clusters of near-duplicate questions (made from one template).",
    )
    templates: NearDuplicateRule = Field(
        default=NearDuplicateRule.model_validate({"jaccard": 0.6, "cosine": 0.9, "band_from": 0.4}),
        description="Which questions are taken to be made from one template.",
    )


def comparisons(
    row_scores: pd.DataFrame, options: ComparisonOptions, clusters: Mapping[tuple[str, str], str] | None = None
) -> pd.DataFrame:
    """Compare one system with every other on the same items, and every language model with a coin.

    Args:
        row_scores: One score per system, seed, item and metric.
        options: The system and how intervals are drawn.
        clusters: (benchmark, item id) -> cluster, where whole clusters are drawn; None draws items.

    Returns:
        One row per benchmark and pair with :data:`COMPARISON_COLUMNS`: ``system`` minus ``other`` in macro F1,
        accuracy, Token F1 and BERTScore (policy gold_zero) with paired bootstrap intervals, and the exact McNemar p,
        also after Holm over the table. A row whose ``other`` is :data:`COIN` holds macro F1 minus the expected macro F1
        of a coin that asks as often as the system does, with its first seed and drawn by items; it has nothing else.
    """
    rows = []
    for benchmark, outcomes in outcomes_by_benchmark(row_scores):
        others = [name for name in outcomes.systems if name != options.system]
        pairs = [(options.system, other) for other in others] if options.system in outcomes.systems else []
        rows += _pairs(benchmark, outcomes, pairs, options, clusters)
        for name, done in outcomes.systems.items():
            first = done.counted[:, 0]
            if name not in BARS and first.any():
                over = difference_to_coin(outcomes.needs[first], done.asked[first, 0], options)
                rows.append(
                    {
                        "benchmark": benchmark,
                        "system": name,
                        "other": COIN,
                        "n": int(first.sum()),
                        **_named("f1_macro", over),
                    }
                )
    return _with_holm(rows, COMPARISON_COLUMNS)


def comparison_matrix(
    row_scores: pd.DataFrame, options: ComparisonOptions, clusters: Mapping[tuple[str, str], str] | None = None
) -> pd.DataFrame:
    """Compare every system with every other.

    Args:
        row_scores: One score per system, seed, item and metric.
        options: How intervals are drawn.
        clusters: As for :func:`comparisons`.

    Returns:
        One row per benchmark and unordered pair with :data:`COMPARISON_COLUMNS`, Holm over the whole table, which
        makes it stricter than :func:`comparisons`.
    """
    rows = []
    for benchmark, outcomes in outcomes_by_benchmark(row_scores):
        pairs = [(later, earlier) for earlier, later in combinations(outcomes.systems, 2)]
        rows += _pairs(benchmark, outcomes, pairs, options, clusters)
    return _with_holm(rows, COMPARISON_COLUMNS)


def category_comparisons(
    row_scores: pd.DataFrame, benchmarks: pd.DataFrame, options: ComparisonOptions, groups: CategoryOptions
) -> pd.DataFrame:
    """Compare one system with every other within each category and subclass.

    Args:
        row_scores: One score per system, seed, item and metric.
        benchmarks: The items, with their category and subclass.
        options: The system and how intervals are drawn; items are drawn.
        groups: The smallest group.

    Returns:
        One row per benchmark, other system, category and subclass ("" is the category as a whole) with
        :data:`CATEGORY_COMPARISON_COLUMNS`, Holm over the whole table.
    """
    by_benchmark = item_groups(benchmarks, groups.min_items)
    rows = []
    for benchmark, outcomes in outcomes_by_benchmark(row_scores):
        if options.system not in outcomes.systems:
            continue
        where = {item: row for row, item in enumerate(outcomes.items)}
        for (category, subclass), items in by_benchmark.get(benchmark, {}).items():
            part = outcomes.taken(np.array([where[item] for item in items]))
            pairs = [(options.system, other) for other in part.systems if other != options.system]
            rows += [
                {**row, "category": category, "subclass": subclass}
                for row in _pairs(benchmark, part, pairs, options, None)
            ]
    return _with_holm(rows, CATEGORY_COMPARISON_COLUMNS)


def _pairs(
    benchmark: str,
    outcomes: Outcomes,
    pairs: Sequence[tuple[str, str]],
    options: BootstrapOptions,
    clusters: Mapping[tuple[str, str], str] | None,
) -> list[dict[str, object]]:
    """Compare pairs of systems on one drawing of the items that all of them decided."""
    names = sorted({name for pair in pairs for name in pair})
    if not names:
        return []
    decided = np.logical_and.reduce([outcomes.systems[name].counted.all(axis=1) for name in names])
    if not decided.any():
        return [{**_nothing(), "benchmark": benchmark, "system": a, "other": b} for a, b in pairs]
    part = outcomes.taken(np.flatnonzero(decided))
    columns = {name: _columns(part, name) for name in names}
    drawn = draw_sums(
        np.concatenate(list(columns.values()), axis=1),
        options,
        None if clusters is None else [clusters[benchmark, item] for item in part.items],
    )
    ends = np.cumsum([each.shape[1] for each in columns.values()])
    sums = dict(zip(names, np.split(drawn, ends[:-1], axis=1), strict=True))
    scores = {name: _scores(sums[name]) for name in names}
    right = {name: part.systems[name].right(part.needs) for name in names}
    return [
        {
            "benchmark": benchmark,
            "system": a,
            "other": b,
            "n": len(part.items),
            **_differences(scores[a], scores[b], options),
            **_tested(*discordant(right[a], right[b])),
        }
        for a, b in pairs
    ]


def _columns(part: Outcomes, name: str) -> FloatArray:
    """Outcome counts, then of Token F1 and BERTScore the mean over seeds and whether the item has one."""
    qualities = [_sum_and_count(part.systems[name], metric) for metric in _VALUES.values()]
    return np.concatenate([part.counts(name), *qualities], axis=1)


def _sum_and_count(done: System, metric: str) -> FloatArray:
    values = done.values.get(metric, np.full(done.asked.shape, np.nan))
    there = ~np.isnan(values).max(axis=1)
    means = np.where(there, np.nan_to_num(values).mean(axis=1), 0.0)
    return np.stack([means, there.astype(float)], axis=1)


def _scores(sums: FloatArray) -> dict[str, FloatArray]:
    """The measures of the items at hand and of every resample; no entry where nothing was scored."""
    outcomes, token_f1, bertscore = sums[:, :-4], sums[:, -4:-2], sums[:, -2:]
    scores = {metric: necessity_of(outcomes, metric) for metric in ("f1_macro", "acc")}
    return scores | {name: mean_of(each) for name, each in (("tf", token_f1), ("bert", bertscore)) if each[0, 1]}


def _differences(
    ours: Mapping[str, FloatArray], theirs: Mapping[str, FloatArray], options: BootstrapOptions
) -> dict[str, float]:
    found = dict(_NO_DIFFERENCES)
    for measure in ours.keys() & theirs.keys():
        found |= _named(measure, as_interval(ours[measure] - theirs[measure], options))
    return found


_NO_DIFFERENCES = {f"{measure}_{part}": np.nan for measure in _MEASURES for part in ("diff", "low", "high")}


def _nothing() -> dict[str, object]:
    return {"n": 0, **_NO_DIFFERENCES, "only_system_right": None, "only_other_right": None, "mcnemar_p": np.nan}


def _tested(only_ours: int, only_theirs: int) -> dict[str, float]:
    return {
        "only_system_right": only_ours,
        "only_other_right": only_theirs,
        "mcnemar_p": mcnemar_exact(only_ours, only_theirs),
    }


def _named(measure: str, interval: Interval) -> dict[str, float]:
    return {f"{measure}_diff": interval.estimate, f"{measure}_low": interval.low, f"{measure}_high": interval.high}


def _with_holm(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> pd.DataFrame:
    full = [{**_nothing(), "mcnemar_p_holm": np.nan, **row} for row in rows]
    compared = table(full, columns)
    tested = compared["mcnemar_p"].notna()
    compared.loc[tested, "mcnemar_p_holm"] = holm(list(compared.loc[tested, "mcnemar_p"]))
    return compared
