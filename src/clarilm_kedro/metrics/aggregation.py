"""The results table, a group-by over row scores (:mod:`clarilm_kedro.metrics.scoring`).

Question quality is given under four policies, which rank systems differently, each with the number of rows behind it:

- ``tf``, ``bert`` (gold_zero, the headline): items that need a clarification; 0 where the system did not ask, so that
  asking rarely does not pay. Over ``n_needed``.
- ``tf_both``, ``bert_both`` (both): those of them that the system asked. Over ``n_both``.
- ``tf_gold_text``, ``bert_gold_text`` (gold_text): all of them, whatever the reply says. Over ``n_needed``.
- ``tf_all_rows``, ``bert_all_rows`` (all_rows): every item, 0 where no clarification is needed. Over ``n_all``.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from clarilm_kedro.metrics.bootstrap import BootstrapOptions, FloatArray, sums_intervals
from clarilm_kedro.metrics.necessity import METRICS
from clarilm_kedro.metrics.outcomes import Outcomes, System, outcomes_by_benchmark
from clarilm_kedro.metrics.resampling import necessity_of
from clarilm_kedro.tables import table

_TEXTS = ("benchmark", "system", "teacher", "bertscore")
_COUNTS = ("n", "n_unparsed", "n_needed", "n_both", "n_all", "n_facets", "n_seeds")
RESULT_COLUMNS = (
    "benchmark", "system", "n", "n_unparsed", "acc", "f1_pos", "f1_macro", "bal_acc", "mcc", "tpr", "tnr", "ask_rate",
    "tf", "bert", "f1_macro_low", "f1_macro_high", "acc_low", "acc_high", "tf_precision", "tf_recall", "n_needed",
    "tf_both", "bert_both", "n_both", "tf_gold_text", "bert_gold_text", "tf_all_rows", "bert_all_rows", "n_all",
    "facet_recall_exact", "facet_recall_cosine", "n_facets", "n_seeds", "acc_sd", "f1_macro_sd", "tf_sd", "bert_sd",
    "threshold", "teacher", "bertscore",
)  # fmt: skip
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
    scores = {name: done.mean(metric) for name, metric in _QUALITY.items()}
    return {
        **scores,
        **{f"{name}_both": done.mean(_QUALITY[name], asked_only=True) for name in ("tf", "bert")},
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


def _by_seed(done: System, metric: str) -> FloatArray:
    values = done.values.get(metric)
    if values is None or np.isnan(values).all(axis=0).any():
        return np.full(len(done.seeds), np.nan)
    means: FloatArray = np.nanmean(values, axis=0)
    return means


def _spread(by_seed: FloatArray) -> float:
    return float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else np.nan
