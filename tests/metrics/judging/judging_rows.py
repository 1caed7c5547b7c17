"""Rows for the tests of judging."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.metrics.judging.outcomes import pair_outcomes
from clarilm_kedro.metrics.judging.pairs import PAIRS
from clarilm_kedro.metrics.judging.verdicts import JUDGEMENTS, judgement
from clarilm_kedro.tables import records, table

NOBODY = table([], JUDGEMENTS)


def pair(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A pair of two different questions about an item that needs one."""
    blank: dict[str, Any] = {
        "pair_id": f"p{number:04}",
        "benchmark": "in3",
        "item_id": f"in3-{number:04}",
        "system": "clarilm",
        "other": "base",
        "context": "",
        "question": f"Find recipe {number}",
        "text_system": f"Which dish is recipe {number} for?",
        "text_other": "Could you say more?",
        "asked_system": True,
        "asked_other": True,
        "identical": False,
        "needs_clarification": True,
        "references": ["Which dish?"],
        "facets": [],
        "category": "",
        "subclass": "",
    }
    return blank | changes


def pairs(n: int, **changes: Any) -> pd.DataFrame:
    return table([pair(number, **changes) for number in range(n)], PAIRS)


def judged(given: pd.DataFrame, verdicts: Iterable[tuple[str, ...]], judge: str = "j") -> pd.DataFrame:
    """Judgements of the pairs in their order; one verdict per order, "" where none came."""
    rows: list[Mapping[str, Any]] = [
        judgement(each, judge, order, verdict)
        for each, both in zip(records(given), verdicts, strict=True)
        for order, verdict in enumerate(both, start=1)
        if verdict
    ]
    return table(rows, JUDGEMENTS)


def outcomes(verdicts: list[tuple[str, ...]], judge: str = "j", **changes: Any) -> pd.DataFrame:
    given = pairs(len(verdicts), **changes)
    return pair_outcomes(given, judged(given, verdicts, judge), NOBODY)
