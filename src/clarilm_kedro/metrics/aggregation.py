"""The results table and its break-up by category, as group-bys over row scores (:mod:`clarilm_kedro.metrics.scoring`).

Question quality is given under four policies, which rank systems differently, each with the number of rows behind it:

- ``tf``, ``bert`` (gold_zero, the headline): items that need a clarification; 0 where the system did not ask, so that
  asking rarely does not pay. Over ``n_needed``.
- ``tf_both``, ``bert_both`` (both): those of them that the system asked. Over ``n_both``.
- ``tf_gold_text``, ``bert_gold_text`` (gold_text): all of them, whatever the reply says. Over ``n_needed``.
- ``tf_all_rows``, ``bert_all_rows`` (all_rows): every item, 0 where no clarification is needed. Over ``n_all``.
"""

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.bootstrap import BootstrapOptions, FloatArray, sums_intervals
from clarilm_kedro.metrics.necessity import METRICS
from clarilm_kedro.metrics.outcomes import Outcomes, System, outcomes_by_benchmark
from clarilm_kedro.metrics.resampling import necessity_of
from clarilm_kedro.tables import records, table

OTHER = "other"

_TEXTS = ("benchmark", "system", "teacher", "bertscore")
_COUNTS = ("n", "n_unparsed", "n_needed", "n_both", "n_all", "n_facets", "n_seeds")
RESULT_COLUMNS = (
    "benchmark", "system", "n", "n_unparsed", "acc", "f1_pos", "f1_macro", "bal_acc", "mcc", "tpr", "tnr", "ask_rate",
    "tf", "bert", "f1_macro_low", "f1_macro_high", "acc_low", "acc_high", "tf_precision", "tf_recall", "n_needed",
    "tf_both", "bert_both", "n_both", "tf_gold_text", "bert_gold_text", "tf_all_rows", "bert_all_rows", "n_all",
    "facet_recall_exact", "facet_recall_cosine", "n_facets", "n_seeds", "acc_sd", "f1_macro_sd", "tf_sd", "bert_sd",
    "threshold", "teacher", "bertscore",
)  # fmt: skip
CATEGORY_COLUMNS = {
    "benchmark": "str", "system": "str", "category": "str", "subclass": "str", "n": "int64", "n_needed": "int64",
    "acc": "float64", "acc_low": "float64", "acc_high": "float64", "f1_pos": "float64", "f1_macro": "float64",
    "tpr": "float64", "tnr": "float64", "ask_rate": "float64", "tf": "float64", "bert": "float64",
}  # fmt: skip
_BOUNDED = ("f1_macro", "acc")
_QUALITY = {
    "tf": "token_f1",
    "bert": "bertscore_f1",
    "tf_precision": "token_precision",
    "tf_recall": "token_recall",
    "tf_gold_text": "token_f1_text",
    "bert_gold_text": "bertscore_f1_text",
    "facet_recall_exact": "facet_recall_exact",
    "facet_recall_cosine": "facet_recall_cosine",
}


class CategoryOptions(BootstrapOptions):
    """How results are broken up."""

    min_items: int = Field(
        default=10, ge=1, description="A category or subclass with fewer items goes into 'other'; so do unnamed ones."
    )


def results_table(
    row_scores: pd.DataFrame,
    thresholds: Mapping[tuple[str, str], float],
    teachers: Mapping[str, str],
    bertscore: str,
    options: BootstrapOptions,
) -> pd.DataFrame:
    """Aggregate row scores.

    Args:
        row_scores: One score per system, seed, item and metric.
        thresholds: (benchmark, system) -> the threshold on P(ask) that was used; systems without one are left out.
        teachers: system -> the teacher of the data it was trained on; ``none`` where it is left out.
        bertscore: What the BERTScore values depend on.
        options: How the intervals are drawn.

    Returns:
        One row per benchmark and system with :data:`RESULT_COLUMNS`; fractions 0..1. A system with several seeds has
        its mean over them, ``*_sd`` is the sample standard deviation over seeds, and ``n_unparsed``, ``n_needed`` and
        the like count rows of all seeds. A mean over no row is missing, and so is the spread of one seed.
        ``facet_recall_*``: share of the gold facets that the question asks for
        (:mod:`clarilm_kedro.metrics.asked_facets`), 0 where it did not ask, over ``n_facets``.
    """
    rows = []
    for benchmark, outcomes in outcomes_by_benchmark(row_scores):
        for name, done in outcomes.systems.items():
            rows.append(
                {
                    "benchmark": benchmark,
                    "system": name,
                    **_necessity(outcomes, name, options),
                    **_quality(outcomes, done),
                    "n_seeds": len(done.seeds),
                    "threshold": thresholds.get((benchmark, name), np.nan),
                    "teacher": teachers.get(name, "none"),
                    "bertscore": bertscore,
                }
            )
    types = dict.fromkeys(RESULT_COLUMNS, "float64") | dict.fromkeys(_TEXTS, "str") | dict.fromkeys(_COUNTS, "int64")
    return table(rows, types)


def category_results(row_scores: pd.DataFrame, benchmarks: pd.DataFrame, options: CategoryOptions) -> pd.DataFrame:
    """Aggregate row scores by the benchmark's own categories and subclasses.

    Args:
        row_scores: One score per system, seed, item and metric.
        benchmarks: The items, with their category and subclass.
        options: The smallest group, and how intervals are drawn.

    Returns:
        One row per benchmark, system, category and subclass ("" is the category as a whole) with
        :data:`CATEGORY_COLUMNS`. A metric that needs a class that the group does not have is missing: F1+ and TPR
        without an item that needs a clarification, TNR without one that needs none, macro F1 without either.
        Benchmarks without categories have no rows.
    """
    groups = item_groups(benchmarks, options.min_items)
    rows = []
    for benchmark, outcomes in outcomes_by_benchmark(row_scores):
        where = {item: row for row, item in enumerate(outcomes.items)}
        for (category, subclass), items in groups.get(benchmark, {}).items():
            part = outcomes.taken(np.array([where[item] for item in items]))
            n_needed = int(part.needs.sum())
            for name, done in part.systems.items():
                scores = _necessity(part, name, options)
                missing = [*(["f1_pos", "tpr", "f1_macro"] if n_needed == 0 else [])]
                missing += ["tnr", "f1_macro"] if n_needed == len(items) else []
                rows.append(
                    {
                        "benchmark": benchmark,
                        "system": name,
                        "category": category,
                        "subclass": subclass,
                        **scores,
                        **dict.fromkeys(missing, np.nan),
                        **{metric: _mean(done, _QUALITY[metric]) for metric in ("tf", "bert")},
                        "n_needed": n_needed,
                    }
                )
    return table(rows, CATEGORY_COLUMNS)


def item_groups(benchmarks: pd.DataFrame, min_items: int) -> dict[str, dict[tuple[str, str], list[str]]]:
    """Group items by category, and by category and subclass.

    Args:
        benchmarks: The items.
        min_items: A smaller group goes into :data:`OTHER` of its level.

    Returns:
        Benchmark -> (category, subclass or "" for all of it) -> item ids; nothing for a benchmark without categories,
        and no subclasses where a category has none.
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
    """Group by a level; nothing where it names nothing or would only repeat the whole."""
    named: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        named.setdefault(item[level] or OTHER, []).append(item)
    if set(named) == {OTHER}:
        return {}
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, members in named.items():
        groups.setdefault(name if len(members) >= min_items else OTHER, []).extend(members)
    return groups


def _necessity(outcomes: Outcomes, name: str, options: BootstrapOptions) -> dict[str, float]:
    done = outcomes.systems[name]
    counts = outcomes.counts(name)
    by_seed = counts.sum(axis=0)
    spread = {f"{metric}_sd": _spread(necessity_of(by_seed.reshape(-1, 4), metric)) for metric in _BOUNDED}
    bounds = {f"{metric}_{end}": np.nan for metric in _BOUNDED for end in ("low", "high")}
    if counts.any():
        for metric, interval in zip(_BOUNDED, sums_intervals(counts, _bounded_scores, options), strict=True):
            bounds |= {f"{metric}_low": interval.low, f"{metric}_high": interval.high}
    return {
        "n": int(done.counted.any(axis=1).sum()),
        "n_unparsed": int((~done.parsed).sum()),
        **{metric: float(necessity_of(by_seed, metric)) for metric in METRICS},
        **bounds,
        **spread,
    }


def _bounded_scores(sums: FloatArray, _: int) -> FloatArray:
    return np.stack([necessity_of(sums, metric) for metric in _BOUNDED], axis=-1)


def _quality(outcomes: Outcomes, done: System) -> dict[str, float]:
    applies = ~np.isnan(done.values.get("token_f1", np.full(done.asked.shape, np.nan)))
    clear = ~outcomes.needs[:, None] & done.counted
    n_needed, n_all = int(applies.sum()), int((applies | clear).sum())
    facets = done.values.get("facet_recall_exact")
    scores = {name: _mean(done, metric) for name, metric in _QUALITY.items()}
    return {
        **scores,
        **{f"{name}_both": _mean(done, _QUALITY[name], asked_only=True) for name in ("tf", "bert")},
        **{
            f"{name}_all_rows": scores[f"{name}_gold_text"] * n_needed / n_all if n_needed else np.nan
            for name in ("tf", "bert")
        },
        **{f"{name}_sd": _spread(_by_seed(done, _QUALITY[name])) for name in ("tf", "bert")},
        "n_needed": n_needed,
        "n_both": int((applies & done.asked).sum()),
        "n_all": n_all,
        "n_facets": 0 if facets is None else int((~np.isnan(facets)).sum()),
    }


def _mean(done: System, metric: str, *, asked_only: bool = False) -> float:
    """Mean over items and seeds; missing where there is none."""
    values = done.values.get(metric)
    if values is None:
        return np.nan
    taken = values[~np.isnan(values) & (done.asked | (not asked_only))]
    return float(taken.mean()) if len(taken) else np.nan


def _by_seed(done: System, metric: str) -> FloatArray:
    values = done.values.get(metric)
    if values is None or np.isnan(values).all(axis=0).any():
        return np.full(len(done.seeds), np.nan)
    means: FloatArray = np.nanmean(values, axis=0)
    return means


def _spread(by_seed: FloatArray) -> float:
    return float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else np.nan
