"""How far judges agree with each other and with people, beyond what chance would give."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.judging.outcomes import HUMAN, LENIENT, MAJORITY
from clarilm_kedro.metrics.judging.verdicts import IDENTICAL, INVALID
from clarilm_kedro.options import Options
from clarilm_kedro.tables import records, table

ALL = "all"
#: One row per benchmark (and ``all``) and two judges; people are judges named ``human``.
AGREEMENT = {
    "benchmark": "str",
    "judge": "str",
    "other_judge": "str",
    "n": "int64",
    "agreement": "float64",
    "kappa": "float64",
    "warnings": "str",
}


class AgreementOptions(Options):
    """When agreement is worth reading."""

    min_pairs: int = Field(default=50, ge=1, description="Fewer pairs judged by both are warned of.")


def cohen_kappa(ours: Sequence[str], theirs: Sequence[str]) -> tuple[float, float]:
    """Agreement and Cohen's kappa of two judges over any number of classes.

    Kappa is (a - e) / (1 - e), with the share a of equal answers and the share e that two judges with these frequencies
    of answers reach by chance (Cohen 1960, "A coefficient of agreement for nominal scales").

    Args:
        ours: One judge's answers.
        theirs: The other's, same length.

    Returns:
        Agreement and kappa; both missing without answers. Where both always say the same one thing kappa is undefined
        and given as 0.
    """
    n = len(ours)
    if not n:
        return float("nan"), float("nan")
    agreement = sum(a == b for a, b in zip(ours, theirs, strict=True)) / n
    counts, others = Counter(ours), Counter(theirs)
    by_chance = sum(counts[answer] * others[answer] for answer in counts) / n**2
    return agreement, (agreement - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def judge_agreement(outcomes: pd.DataFrame, options: AgreementOptions) -> pd.DataFrame:
    """Compare every two judges on the pairs that both judged.

    Args:
        outcomes: Columns of :data:`clarilm_kedro.metrics.judging.outcomes.OUTCOMES`; strict outcomes are compared, and
            those of people, who judge one order. The majority is made of judges and compared with people only.
        options: When to warn.

    Returns:
        Columns of :data:`AGREEMENT`, over win, tie and lose; pairs that nobody was asked about and invalid ones are
        left out. Two judges without a pair in common have no row, so one judge alone gives no rows.
    """
    counted = outcomes[
        outcomes["aggregation"].ne(LENIENT) & outcomes["outcome"].ne(INVALID) & outcomes["order_1"].ne(IDENTICAL)
    ]
    said: dict[str, dict[str, str]] = {}
    where: dict[str, str] = {}
    unasked = set(outcomes.loc[outcomes["order_1"].eq(IDENTICAL), "pair_id"])
    for row in records(counted):
        if row["pair_id"] not in unasked:
            said.setdefault(row["judge"], {})[row["pair_id"]] = row["outcome"]
            where[row["pair_id"]] = row["benchmark"]
    rows = []
    for judge, other in combinations(sorted(said), 2):
        if MAJORITY in (judge, other) and not any(name.startswith(HUMAN) for name in (judge, other)):
            continue
        both = sorted(said[judge].keys() & said[other].keys())
        for benchmark in (ALL, *sorted({where[pair] for pair in both})):
            chosen = [pair for pair in both if benchmark in (ALL, where[pair])]
            if not chosen:
                continue
            agreement, kappa = cohen_kappa([said[judge][p] for p in chosen], [said[other][p] for p in chosen])
            few = f"fewer than {options.min_pairs} pairs" if len(chosen) < options.min_pairs else ""
            rows.append(
                {
                    "benchmark": benchmark,
                    "judge": judge,
                    "other_judge": other,
                    "n": len(chosen),
                    "agreement": agreement,
                    "kappa": kappa,
                    "warnings": few,
                }
            )
    return table(rows, AGREEMENT)
