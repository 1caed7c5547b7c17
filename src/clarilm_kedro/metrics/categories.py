"""Results by category and subclass, which a benchmark's mean hides."""

from math import sqrt

import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.aggregation import BENCHMARKS, SYSTEMS, ordered
from clarilm_kedro.metrics.curves import lowest_seed
from clarilm_kedro.metrics.necessity import confusion, necessity_scores
from clarilm_kedro.options import Options
from clarilm_kedro.tables import table

OTHER = "other"
#: Columns of the table, documented at :func:`category_scores`.
CATEGORY_COLUMNS = {
    **dict.fromkeys(("benchmark", "system", "level", "group"), "str"),
    **dict.fromkeys(("n", "n_needed"), "int64"),
    **dict.fromkeys(("acc", "acc_low", "acc_high", "tpr", "tnr", "f1_macro"), "float64"),
}


class CategoryOptions(Options):
    """How items are grouped."""

    max_groups: int = Field(
        default=12, ge=1, description="Groups per benchmark and level; the smaller ones are joined to 'other'."
    )


def category_scores(benchmarks: pd.DataFrame, row_scores: pd.DataFrame, options: CategoryOptions) -> pd.DataFrame:
    """Score every system on every category and subclass; with several seeds on its lowest.

    Args:
        benchmarks: The items with their category and subclass.
        row_scores: Row scores; the metric ``correct`` is read.
        options: How many groups a benchmark has at most (IN3 has 48 categories on 108 items).

    Returns:
        One row per benchmark, system, level (``category`` or ``subclass``) and group, the largest group first and
        ``other`` last; ``n`` items of which ``n_needed`` need a clarification, accuracy with its 95 % Wilson interval,
        true positive and true negative rate, macro F1; fractions 0..1. Macro F1 and a rate are missing where a label
        does not occur, as in CLAMBER's subclasses. Benchmarks without a grouping have no rows.
    """
    decided = lowest_seed(row_scores[(row_scores["metric"] == "correct") & row_scores["value"].notna()])
    rows = []
    for benchmark in ordered(list(benchmarks["benchmark"]), BENCHMARKS):
        items = benchmarks[benchmarks["benchmark"] == benchmark]
        told = decided[decided["benchmark"] == benchmark]
        for level in ("category", "subclass"):
            groups = _groups(items, level, options.max_groups)
            for system in ordered(list(told["system"]), SYSTEMS) if groups else ():
                theirs = told[told["system"] == system]
                of_item = theirs["item_id"].map(groups)
                for group in dict.fromkeys(groups.values()):
                    scored = _scores(theirs[of_item == group])
                    rows.append({"benchmark": benchmark, "system": system, "level": level, "group": group, **scored})
    return table([row for row in rows if row["n"]], CATEGORY_COLUMNS)


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Give the Wilson score interval of a share (Wilson 1927); it stays inside [0, 1] also for small n.

    Args:
        share: Observed share.
        n: Observations, at least one.
        z: Normal quantile, 1.96 for 95 %.
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _groups(items: pd.DataFrame, level: str, limit: int) -> dict[str, str]:
    """Name every item's group, in the order of the groups; none where the benchmark has none."""
    names = items["category"] if level == "category" else items["category"] + " / " + items["subclass"]
    named = items[level] != ""
    sizes = names[named].value_counts()
    order = sorted(sizes.index, key=lambda name: (-sizes[name], name))
    kept = order if len(order) <= limit else order[: limit - 1] if limit > 1 else []
    of_item = {
        item: name if name in kept else OTHER for item, name in zip(items["item_id"][named], names[named], strict=True)
    }
    place = {name: i for i, name in enumerate([*kept, OTHER])}
    return dict(sorted(of_item.items(), key=lambda pair: (place[pair[1]], pair[0])))


def _scores(rows: pd.DataFrame) -> dict[str, float]:
    n, needed = len(rows), int(rows["needs_clarification"].sum())
    scores = necessity_scores(confusion(rows["needs_clarification"].to_numpy(), rows["asked"].to_numpy()))
    low, high = wilson(scores["acc"], n) if n else (float("nan"), float("nan"))
    missing = float("nan")
    return {
        "n": n,
        "n_needed": needed,
        "acc": scores["acc"],
        "acc_low": low,
        "acc_high": high,
        "tpr": scores["tpr"] if needed else missing,
        "tnr": scores["tnr"] if needed < n else missing,
        "f1_macro": scores["f1_macro"] if 0 < needed < n else missing,
    }
