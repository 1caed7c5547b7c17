"""The results table and the comparisons, as group-bys over row scores (:mod:`clarilm_kedro.metrics.scoring`)."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.bootstrap import (
    BootstrapOptions,
    Interval,
    difference_to_coin,
    metric_interval,
    paired_difference,
)
from clarilm_kedro.metrics.mcnemar import discordant, holm, mcnemar_exact
from clarilm_kedro.metrics.necessity import confusion, necessity_scores
from clarilm_kedro.tables import table

BENCHMARKS = ("our_test", "in3", "clamber")
#: The fine-tuned systems of the paper's Table 2, and ClariLM before DPO.
TRAINED = ("sft-in3", "sft-ql", "sft-full", "clarilm-sft", "clarilm")
SYSTEMS = (*BARS, "base", *TRAINED)
COIN = "coin at its ask rate"

_TEXTS = ("benchmark", "system", "teacher", "bertscore")
_COUNTS = ("n", "n_unparsed", "n_needed", "n_both")
RESULT_COLUMNS = (
    "benchmark", "system", "n", "n_unparsed", "acc", "f1_pos", "f1_macro", "bal_acc", "mcc", "tpr", "tnr", "ask_rate",
    "tf", "bert", "f1_macro_low", "f1_macro_high", "acc_low", "acc_high", "tf_precision", "tf_recall", "n_needed",
    "tf_both", "bert_both", "n_both", "threshold", "teacher", "bertscore",
)  # fmt: skip
COMPARISON_COLUMNS = {
    "benchmark": "str", "system": "str", "other": "str", "n": "int64",
    "f1_macro_diff": "float64", "f1_macro_low": "float64", "f1_macro_high": "float64",
    "acc_diff": "float64", "acc_low": "float64", "acc_high": "float64",
    "only_system_right": "Int64", "only_other_right": "Int64", "mcnemar_p": "float64", "mcnemar_p_holm": "float64",
}  # fmt: skip


class ComparisonOptions(BootstrapOptions):
    """Which system is compared, and how intervals are drawn."""

    system: str = Field(default="clarilm", description="The system that is compared with every other one.")


def results_table(
    row_scores: pd.DataFrame,
    thresholds: Mapping[tuple[str, str], float],
    teachers: Mapping[str, str],
    bertscore: str,
    options: BootstrapOptions,
) -> pd.DataFrame:
    """Aggregate row scores.

    Args:
        row_scores: One score per system, item and metric.
        thresholds: (benchmark, system) -> the threshold on P(ask) that was used; systems without one are left out.
        teachers: system -> the teacher of the data it was trained on; ``none`` where it is left out.
        bertscore: What the BERTScore values depend on.
        options: How the intervals are drawn.

    Returns:
        One row per benchmark and system with :data:`RESULT_COLUMNS`; fractions 0..1. ``tf`` and ``bert`` are means over
        the ``n_needed`` items that need a clarification and have a reference, 0 where the system did not ask;
        ``tf_both`` and ``bert_both`` over those ``n_both`` of them that it asked. A mean over no item is missing.
    """
    rows = []
    for (benchmark, system), scores in _by_system(row_scores).items():
        rows.append(
            {
                "benchmark": benchmark,
                "system": system,
                **_necessity(scores[scores["metric"] == "correct"], options),
                **_quality(scores[scores["metric"] != "correct"]),
                "threshold": thresholds.get((benchmark, system), np.nan),
                "teacher": teachers.get(system, "none"),
                "bertscore": bertscore,
            }
        )
    types = dict.fromkeys(RESULT_COLUMNS, "float64") | dict.fromkeys(_TEXTS, "str") | dict.fromkeys(_COUNTS, "int64")
    return table(rows, types)


def comparisons(row_scores: pd.DataFrame, options: ComparisonOptions) -> pd.DataFrame:
    """Compare one system with every other on the same items, and every language model with a coin.

    Args:
        row_scores: One score per system, item and metric.
        options: The system and how intervals are drawn.

    Returns:
        One row per benchmark and pair with :data:`COMPARISON_COLUMNS`: ``system`` minus ``other`` in macro F1 and
        accuracy with paired bootstrap intervals, and the exact McNemar p, also after Holm over the table. A row whose
        ``other`` is :data:`COIN` holds macro F1 minus the expected macro F1 of a coin that asks as often as the system
        does; it has no accuracy and no McNemar test.
    """
    decisions = {key: _decisions(scores) for key, scores in _by_system(row_scores).items()}
    rows = []
    for (benchmark, other), theirs in decisions.items():
        ours = decisions.get((benchmark, options.system))
        if ours is not None and other != options.system:
            rows.append(
                {"benchmark": benchmark, "system": options.system, "other": other, **_pair(ours, theirs, options)}
            )
    for (benchmark, system), ours in decisions.items():
        if system not in BARS and len(ours):
            over = difference_to_coin(ours["needs_clarification"].to_numpy(), ours["asked"].to_numpy(), options)
            rows.append(
                {"benchmark": benchmark, "system": system, "other": COIN, "n": len(ours), **_named("f1_macro", over)}
            )
    compared = pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)).astype(COMPARISON_COLUMNS)
    tested = compared["mcnemar_p"].notna()
    compared.loc[tested, "mcnemar_p_holm"] = holm(list(compared.loc[tested, "mcnemar_p"]))
    return compared


def ordered(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Bring names into the order of the known ones; others follow by name."""
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))


def _by_system(row_scores: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    groups = {(str(key[0]), str(key[1])): rows for key, rows in row_scores.groupby(["benchmark", "system"])}
    benchmarks = ordered([key[0] for key in groups], BENCHMARKS)
    systems = ordered([key[1] for key in groups], SYSTEMS)
    return {key: groups[key] for key in product(benchmarks, systems) if key in groups}


def _decisions(scores: pd.DataFrame) -> pd.DataFrame:
    """Label and decision of the items that count, by item id."""
    correct = scores[(scores["metric"] == "correct") & scores["value"].notna()]
    return correct.set_index("item_id")[["needs_clarification", "asked"]].sort_index()


def _necessity(correct: pd.DataFrame, options: BootstrapOptions) -> dict[str, float]:
    counted = correct[correct["value"].notna()]
    needs, asked = counted["needs_clarification"].to_numpy(), counted["asked"].to_numpy()
    bounds: dict[str, float] = {}
    for metric in ("f1_macro", "acc") if len(counted) else ():
        interval = metric_interval(needs, asked, metric, options)
        bounds |= {f"{metric}_low": interval.low, f"{metric}_high": interval.high}
    return {
        "n": len(counted),
        "n_unparsed": int((~correct["parsed"]).sum()),
        **dict.fromkeys(("f1_macro_low", "f1_macro_high", "acc_low", "acc_high"), np.nan),
        **bounds,
        **necessity_scores(confusion(needs, asked)),
    }


def _quality(scores: pd.DataFrame) -> dict[str, float]:
    by_metric = dict(list(scores.groupby("metric")))
    empty = scores.iloc[:0]

    def mean(metric: str, asked_only: bool = False) -> float:
        rows = by_metric.get(metric, empty)
        rows = rows[rows["asked"]] if asked_only else rows
        return float(rows["value"].mean()) if len(rows) else np.nan

    token_f1 = by_metric.get("token_f1", empty)
    return {
        "tf": mean("token_f1"),
        "bert": mean("bertscore_f1"),
        "tf_precision": mean("token_precision"),
        "tf_recall": mean("token_recall"),
        "n_needed": len(token_f1),
        "tf_both": mean("token_f1", asked_only=True),
        "bert_both": mean("bertscore_f1", asked_only=True),
        "n_both": int(token_f1["asked"].sum()),
    }


def _pair(ours: pd.DataFrame, theirs: pd.DataFrame, options: BootstrapOptions) -> dict[str, float | None]:
    both = ours.join(theirs["asked"].rename("other"), how="inner")
    if both.empty:
        return {"n": 0}
    needs, a, b = both["needs_clarification"].to_numpy(), both["asked"].to_numpy(), both["other"].to_numpy()
    only_ours, only_theirs = discordant(needs == a, needs == b)
    return {
        "n": len(both),
        **_named("f1_macro", paired_difference(needs, a, b, "f1_macro", options)),
        **_named("acc", paired_difference(needs, a, b, "acc", options)),
        "only_system_right": only_ours,
        "only_other_right": only_theirs,
        "mcnemar_p": mcnemar_exact(only_ours, only_theirs),
    }


def _named(metric: str, interval: Interval) -> dict[str, float]:
    return {f"{metric}_diff": interval.estimate, f"{metric}_low": interval.low, f"{metric}_high": interval.high}
