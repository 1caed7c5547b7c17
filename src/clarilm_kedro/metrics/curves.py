"""Decision curves: what another threshold on P(ask) would do, and how far P(ask) can be taken at its word.

A system asks where P(ask) is at least its threshold. The threshold that was used is fitted on validation rows
(:mod:`clarilm_kedro.finetuning.calibration`); the curves here are over test items and are looked at, never tuned on:
the cheapest threshold they show is what hindsight would have chosen.

Definitions:
    ROC, PR: one point per distinct P(ask); the area under the ROC curve is by trapezoids, which equals the
        Mann-Whitney statistic with ties as halves; the area under the PR curve is average precision, the sum of
        precision times the step in recall (scikit-learn's ``average_precision_score``: trapezoids are too optimistic).
    ECE: expected calibration error over equally wide bins, sum of n_bin / n * |mean P(ask) - share that needs it|
        (Naeini et al. 2015, Guo et al. 2017).
    Brier: mean of (P(ask) - label)^2.
    Cost: (cost_missed * FN + cost_needless * FP) / n, in units of one needless question if that costs 1.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.necessity import scores_of_counts
from clarilm_kedro.metrics.outcomes import BENCHMARKS, SYSTEMS, ordered
from clarilm_kedro.options import Options
from clarilm_kedro.tables import table

FloatArray = npt.NDArray[np.float64]
Probabilities = Sequence[float] | FloatArray
Labels = Sequence[bool] | npt.NDArray[np.bool_]

_KEY = {"benchmark": "str", "system": "str"}
_SWEPT = ("threshold", "ask_rate", "acc", "f1_pos", "f1_macro", "tpr", "fpr", "precision", "cost")
#: Columns of the table of curves: the sweep's, and whether this threshold is the one that was used.
CURVE_COLUMNS = {**_KEY, **dict.fromkeys(_SWEPT, "float64"), "used": "bool"}
#: Columns of the table of bins: the bin's bounds, rows, mean P(ask) and share that needs a clarification.
RELIABILITY_COLUMNS = {
    **_KEY,
    **dict.fromkeys(("low", "high"), "float64"),
    "n": "int64",
    **dict.fromkeys(("mean_p_ask", "share_needed"), "float64"),
}
_NUMBERS = (
    "share_needed", "auroc", "pr_auc", "ece", "brier", "threshold", "ask_rate", "acc", "f1_macro", "cost",
    "min_cost", "min_cost_threshold", "trivial_cost",
)  # fmt: skip
#: Columns of the summary, documented at :func:`decision_curves`.
SUMMARY_COLUMNS = {
    **_KEY,
    "seed": "int64",
    "n": "int64",
    "n_without_p_ask": "int64",
    "status": "str",
    "reason": "str",
    **dict.fromkeys(_NUMBERS, "float64"),
}


class CurveOptions(Options):
    """How decisions are swept and priced."""

    cost_missed: float = Field(default=2.0, ge=0, description="Price of a needed question that is not asked.")
    cost_needless: float = Field(default=1.0, ge=0, description="Price of a needless question.")
    bins: int = Field(default=10, ge=1, description="Equally wide bins of P(ask) for reliability and ECE.")
    max_points: int = Field(
        default=200, ge=2, description="Thresholds kept per curve; areas are computed from all of them."
    )


def lowest_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep each system's rows of its lowest seed, so that a picture shows one draw of a system and not a mixture.

    Args:
        rows: Columns system, seed and others.
    """
    return rows[rows["seed"] == rows.groupby("system")["seed"].transform("min")]


def sweep(
    p_ask: Probabilities, needs: Labels, thresholds: Sequence[float] | FloatArray, options: CurveOptions
) -> pd.DataFrame:
    """Decide at every threshold and score the decisions.

    Args:
        p_ask: Probability of asking per item.
        needs: Gold labels.
        thresholds: Ask where P(ask) is at least this.
        options: Prices.

    Returns:
        One row per threshold with ``threshold, ask_rate, acc, f1_pos, f1_macro, tpr, fpr, precision, cost``. Where
        nothing is asked, precision is 1, as scikit-learn ends its PR curve.
    """
    p, y, at = np.asarray(p_ask, dtype=float), np.asarray(needs, dtype=bool), np.asarray(thresholds, dtype=float)
    positives, negatives = np.sort(p[y]), np.sort(p[~y])
    tp = len(positives) - np.searchsorted(positives, at)
    fp = len(negatives) - np.searchsorted(negatives, at)
    fn, tn = len(positives) - tp, len(negatives) - fp
    scores = scores_of_counts(tp, fp, fn, tn)
    asked = tp + fp
    columns = {
        "threshold": at,
        **{name: scores[name] for name in ("ask_rate", "acc", "f1_pos", "f1_macro", "tpr")},
        "fpr": np.where(len(negatives) > 0, 1 - scores["tnr"], 0.0),
        "precision": np.where(asked > 0, tp / np.maximum(asked, 1), 1.0),
        "cost": (options.cost_missed * fn + options.cost_needless * fp) / max(len(p), 1),
    }
    return pd.DataFrame(columns)[list(_SWEPT)]


def every_threshold(p_ask: Probabilities) -> FloatArray:
    """Give every threshold that decides differently, ascending: the distinct probabilities, and one above them all."""
    return np.append(np.unique(np.asarray(p_ask, dtype=float)), np.inf)


def auroc(p_ask: Probabilities, needs: Labels) -> float:
    """Area under the ROC curve; both labels must occur."""
    points = sweep(p_ask, needs, every_threshold(p_ask), CurveOptions())
    return float(np.trapezoid(points["tpr"][::-1], points["fpr"][::-1]))


def average_precision(p_ask: Probabilities, needs: Labels) -> float:
    """Area under the PR curve by steps; both labels must occur."""
    points = sweep(p_ask, needs, every_threshold(p_ask), CurveOptions())
    steps = -np.diff(points["tpr"].to_numpy())
    return float((steps * points["precision"].to_numpy()[:-1]).sum())


def reliability(p_ask: Probabilities, needs: Labels, bins: int) -> pd.DataFrame:
    """Compare P(ask) with how often a clarification was needed, in equally wide bins.

    Args:
        p_ask: Probability of asking per item.
        needs: Gold labels.
        bins: Number of bins over [0, 1]; a bin holds its lower bound, the last one also 1.

    Returns:
        One row per bin that holds items: low, high, n, mean_p_ask, share_needed.
    """
    p, y = np.asarray(p_ask, dtype=float), np.asarray(needs, dtype=float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    held = np.unique(place)
    counts = np.bincount(place, minlength=bins)[held]
    return pd.DataFrame(
        {
            "low": held / bins,
            "high": (held + 1) / bins,
            "n": counts,
            "mean_p_ask": np.bincount(place, weights=p, minlength=bins)[held] / counts,
            "share_needed": np.bincount(place, weights=y, minlength=bins)[held] / counts,
        }
    )


def calibration_error(p_ask: Probabilities, needs: Labels, bins: int = 10) -> float:
    """Expected calibration error."""
    held = reliability(p_ask, needs, bins)
    return float((held["n"] * (held["mean_p_ask"] - held["share_needed"]).abs()).sum() / held["n"].sum())


def brier(p_ask: Probabilities, needs: Labels) -> float:
    """Mean squared distance of P(ask) from the label."""
    return float(np.mean((np.asarray(p_ask, dtype=float) - np.asarray(needs, dtype=float)) ** 2))


def decision_curves(
    benchmarks: pd.DataFrame, predictions: pd.DataFrame, options: CurveOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Draw up every system's curves; with several seeds those of its lowest.

    Args:
        benchmarks: The items, for their labels.
        predictions: One row per system and item, with ``p_ask`` and the ``threshold`` that was used.
        options: Prices, bins and points.

    Returns:
        Three tables, a curve's rows under benchmark and system: the curves (:data:`CURVE_COLUMNS`, one row per
        threshold), the bins of reliability (:data:`RELIABILITY_COLUMNS`), and the summary
        (:data:`SUMMARY_COLUMNS`), which has a row also where no curve is drawn: ``status`` is then ``skipped`` and
        ``reason`` says why. ``n`` are items with P(ask), ``n_without_p_ask`` those without; ``ask_rate, acc, f1_macro,
        cost`` are at the ``threshold`` that was used; ``min_cost`` is the least cost on the curve, at
        ``min_cost_threshold``, known only with hindsight; ``trivial_cost`` is that of always or never asking, whichever
        is less. Fractions are 0..1.
    """
    rows = lowest_seed(predictions).merge(
        benchmarks[["benchmark", "item_id", "needs_clarification"]], on=["benchmark", "item_id"]
    )
    groups = {(str(key[0]), str(key[1])): group for key, group in rows.groupby(["benchmark", "system"])}
    swept, binned, told = [], [], []
    for benchmark in ordered([name for name, _ in groups], BENCHMARKS):
        for system in ordered([name for at, name in groups if at == benchmark], SYSTEMS):
            key = {"benchmark": benchmark, "system": system}
            curve, bins, summary = _one_system(groups[benchmark, system], options)
            swept += [{**key, **row} for row in curve.to_dict("records")]
            binned += [{**key, **row} for row in bins.to_dict("records")]
            told.append({**key, **summary})
    return table(swept, CURVE_COLUMNS), table(binned, RELIABILITY_COLUMNS), table(told, SUMMARY_COLUMNS)


def _one_system(rows: pd.DataFrame, options: CurveOptions) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, object]]:
    known = rows[rows["p_ask"].notna()]
    p, y = known["p_ask"].to_numpy(dtype=float), known["needs_clarification"].to_numpy(dtype=bool)
    told: dict[str, object] = {
        **dict.fromkeys(_NUMBERS, np.nan),
        "seed": int(rows["seed"].iloc[0]),
        "n": len(known),
        "n_without_p_ask": len(rows) - len(known),
        "status": "drawn",
        "reason": _reason_to_skip(p, y),
    }
    if told["reason"]:
        return pd.DataFrame(), pd.DataFrame(), {**told, "status": "skipped"}
    used = float(known["threshold"].iloc[0])
    all_points = sweep(p, y, every_threshold(p), options)
    cheapest = all_points.iloc[int(all_points["cost"].to_numpy().argmin())]
    told |= {
        "share_needed": float(y.mean()),
        "auroc": auroc(p, y),
        "pr_auc": average_precision(p, y),
        "ece": calibration_error(p, y, options.bins),
        "brier": brier(p, y),
        "min_cost": float(cheapest["cost"]),
        "min_cost_threshold": float(min(cheapest["threshold"], 1.0)),
        "trivial_cost": float(min(options.cost_needless * (1 - y.mean()), options.cost_missed * y.mean())),
    }
    if not np.isnan(used):
        at_used = sweep(p, y, [used], options).iloc[0]
        told |= {name: float(at_used[name]) for name in ("threshold", "ask_rate", "acc", "f1_macro", "cost")}
    curve = sweep(p, y, _shown_thresholds(p, used, options.max_points), options)
    return curve.assign(used=curve["threshold"] == used), reliability(p, y, options.bins), told


def _reason_to_skip(p: FloatArray, y: npt.NDArray[np.bool_]) -> str:
    if not len(p):
        return "It gives no P(ask)."
    if y.all() or not y.any():
        return f"All {len(y)} items {'need a clarification' if y.all() else 'need none'}."
    if p.min() == p.max():
        return f"P(ask) is {p[0]:.2f} for every item."
    return ""


def _shown_thresholds(p: FloatArray, used: float, limit: int) -> FloatArray:
    """Thin the thresholds evenly over the items, and keep both ends and the one that was used."""
    values = np.unique(p)
    if len(values) > limit:
        values = np.unique(np.quantile(p, np.linspace(0, 1, limit), method="nearest"))
    above = np.nextafter(values[-1], 2.0)
    return np.unique([*values, above, *([] if np.isnan(used) else [used])])
