"""The tables of a judging: results per opponent and judge, and win rates by length ratio."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.metrics.judging.outcomes import LENIENT
from clarilm_kedro.metrics.judging.statistics import CREDIT, length_controlled, sign_test, win_rate
from clarilm_kedro.metrics.judging.verdicts import IDENTICAL, INVALID, LOSE, TIE, WIN
from clarilm_kedro.metrics.mcnemar import holm
from clarilm_kedro.metrics.outcomes import BENCHMARKS, SYSTEMS, ordered
from clarilm_kedro.tables import records, table

logger = logging.getLogger(__name__)

#: One row per benchmark, opponent, judge and aggregation; docs/judge.md says what each column means.
RESULTS = {
    "benchmark": "str",
    "system": "str",
    "other": "str",
    "judge": "str",
    "aggregation": "str",
    "n": "int64",
    "win": "int64",
    "tie": "int64",
    "lose": "int64",
    "invalid": "int64",
    "identical": "int64",
    "win_rate": "float64",
    "low": "float64",
    "high": "float64",
    "p_sign": "float64",
    "p_sign_holm": "float64",
    "flip_rate": "float64",
    "order_consistent": "float64",
    "slot1_rate": "float64",
    "invalid_share": "float64",
    "length_controlled": "float64",
    "warnings": "str",
}
#: One row per benchmark, opponent, judge and bucket; ``from_ratio`` <= (words of the system + 1) / (words of the
#: opponent + 1) < ``to_ratio``.
LENGTHS = {
    "benchmark": "str",
    "system": "str",
    "other": "str",
    "judge": "str",
    "aggregation": "str",
    "from_ratio": "float64",
    "to_ratio": "float64",
    "n": "int64",
    "win_rate": "float64",
}
_GROUP = ["judge", "aggregation", "benchmark", "other"]
_DECIDED = (WIN, TIE, LOSE)


class ResultOptions(BootstrapOptions):
    """How intervals are drawn, and what a judge is warned of for."""

    max_flip_rate: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="A larger share of reversed verdicts is warned of (one judge, one opponent).",
    )
    slot1_low: float = Field(
        default=0.4, ge=0, le=1, description="A smaller share of verdicts for reply A is warned of."
    )
    slot1_high: float = Field(
        default=0.6, ge=0, le=1, description="A larger share of verdicts for reply A is warned of."
    )
    length_buckets: tuple[float, ...] = Field(
        default=(0.5, 0.8, 1.25, 2.0), description="Borders of the length ratio, rising."
    )


def judge_results(outcomes: pd.DataFrame, options: ResultOptions) -> pd.DataFrame:
    """Sum outcomes up.

    Args:
        outcomes: Columns of :data:`clarilm_kedro.metrics.judging.outcomes.OUTCOMES`.
        options: Intervals and warnings.

    Returns:
        Columns of :data:`RESULTS`; no rows without outcomes. ``p_sign_holm`` corrects over the benchmarks and opponents
        of one judge and aggregation. What cannot be known is missing: the win rate where every pair is invalid,
        anything about orders where one order was judged, slot 1 where no verdict was decided.
    """
    rows = [
        {**keys, "system": group["system"].iloc[0], **_summary(group, options)} for keys, group in _groups(outcomes)
    ]
    results = table(rows, RESULTS)
    for _, same in results.groupby(["judge", "aggregation"]):
        results.loc[same.index, "p_sign_holm"] = holm(list(same["p_sign"]))
    _tell(results)
    return results


def length_table(outcomes: pd.DataFrame, options: ResultOptions) -> pd.DataFrame:
    """Give the win rate by how long the system's replies are beside its opponent's.

    Args:
        outcomes: Columns of :data:`clarilm_kedro.metrics.judging.outcomes.OUTCOMES`.
        options: The borders.

    Returns:
        Columns of :data:`LENGTHS`, over valid pairs; buckets without pairs have no row.
    """
    borders = [0.0, *options.length_buckets, np.inf]
    rows: list[dict[str, Any]] = []
    for keys, group in _groups(outcomes[outcomes["outcome"].isin(_DECIDED)]):
        place = np.digitize(np.exp(_log_ratios(group)), options.length_buckets)
        credit = group["outcome"].map(CREDIT).to_numpy(dtype=float)
        rows += [
            {
                **keys,
                "system": group["system"].iloc[0],
                "from_ratio": borders[bucket],
                "to_ratio": borders[bucket + 1],
                "n": int((place == bucket).sum()),
                "win_rate": float(credit[place == bucket].mean()),
            }
            for bucket in sorted(set(place.tolist()))
        ]
    return table(rows, LENGTHS)


def _tell(results: pd.DataFrame) -> None:
    """Log a line per result, strict outcomes only; warnings are about verdicts, which aggregations have in common."""
    for row in records(results[results["aggregation"].ne(LENIENT)]):
        who = f"{row['system']} against {row['other']} on {row['benchmark']}, {row['judge']}"
        counts = f"{row['win']} won, {row['tie']} tied, {row['lose']} lost, {row['invalid']} invalid"
        p_value = "< 0.001" if row["p_sign"] < 0.001 else f"{row['p_sign']:.3f}"
        logger.info("%s: %s; win rate %.3f, sign test p %s.", who, counts, row["win_rate"], p_value)
        if row["warnings"]:
            logger.warning("%s: %s.", who, row["warnings"])


def _groups(outcomes: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """One judge, aggregation, benchmark and opponent at a time, benchmarks and systems as in the results table."""
    found = {tuple(map(str, key)): group for key, group in outcomes.groupby(_GROUP)}
    benchmarks = ordered([key[2] for key in found], BENCHMARKS)
    others = ordered([key[3] for key in found], SYSTEMS)
    for key in sorted(found, key=lambda key: (key[0], key[1], benchmarks.index(key[2]), others.index(key[3]))):
        yield dict(zip(_GROUP, key, strict=True)), found[key]


def _summary(group: pd.DataFrame, options: ResultOptions) -> dict[str, Any]:
    outcomes = list(group["outcome"])
    counts = {outcome: outcomes.count(outcome) for outcome in (*_DECIDED, INVALID)}
    rate = win_rate(outcomes, options)
    orders = _orders(group)
    shares = {
        "invalid_share": counts[INVALID] / len(group),
        "length_controlled": length_controlled(outcomes, list(_log_ratios(group))),
    }
    return {
        "n": len(group),
        **counts,
        "identical": int((group["order_1"] == IDENTICAL).sum()),
        "win_rate": rate.estimate,
        "low": rate.low,
        "high": rate.high,
        "p_sign": sign_test(counts[WIN], counts[LOSE]),
        "p_sign_holm": np.nan,
        **orders,
        **shares,
        "warnings": "; ".join(_warnings(orders, options)),
    }


def _orders(group: pd.DataFrame) -> dict[str, float]:
    """How far the verdict hangs on the order, over the pairs that were judged in both."""
    both = group[group["order_1"].isin(_DECIDED) & group["order_2"].isin(_DECIDED)]
    decided = int(group["decided"].sum())
    first, second = both["order_1"], both["order_2"]
    reversed_ = (first != second) & (first != TIE) & (second != TIE)
    return {
        "flip_rate": float(reversed_.mean()) if len(both) else np.nan,
        "order_consistent": float((first == second).mean()) if len(both) else np.nan,
        "slot1_rate": int(group["slot1"].sum()) / decided if decided else np.nan,
    }


def _warnings(orders: dict[str, float], options: ResultOptions) -> Iterator[str]:
    if np.isnan(orders["flip_rate"]):
        return  # seen in one order, a liking for a place cannot be told from a liking for what stands there
    if orders["flip_rate"] > options.max_flip_rate:
        yield f"{orders['flip_rate']:.0%} of the verdicts turn round with the order"
    if orders["slot1_rate"] < options.slot1_low or orders["slot1_rate"] > options.slot1_high:
        yield f"{orders['slot1_rate']:.0%} of the decided verdicts are for the reply shown first"


def _log_ratios(group: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Log length ratio in words; one is added, so that an empty reply has a length ratio too."""
    return np.log((group["words_system"].to_numpy() + 1) / (group["words_other"].to_numpy() + 1))
