"""Small tables of items, predictions and row scores for the tests of figures and of the browser."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.metrics.benchmarks.shape import items_frame
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS, ROW_SCORE_COLUMNS
from clarilm_kedro.tables import records, table

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202eabc\u202c \u2028\u2029 "
    "\U0001f469\u200d\U0001f680 \u05e9\u05dc\u05d5\u05dd & &lt;b&gt;"
)


def items(n: int, benchmark: str = "in3", **changes: Any) -> pd.DataFrame:
    """Items of which two of three need a clarification; every second one is of category Food."""
    return items_frame(
        [
            {
                "benchmark": benchmark,
                "item_id": f"{benchmark}-{i}",
                "question": f"Question {i}",
                "needs_clarification": i % 3 > 0,
                "references": ["Which one?", "When?"] if i % 3 else [],
                "importances": [3, 1] if i % 3 else [],
                "facets": ["Kind"] if i % 3 else [],
                "category": "Food" if i % 2 else "Travel",
                "subclass": "",
                "thought": f"Thought {i}.",
                **changes,
            }
            for i in range(n)
        ]
    )


def predictions(
    frame: pd.DataFrame, p_ask: Mapping[str, Sequence[float]], threshold: float = 0.5, seed: int = 0
) -> pd.DataFrame:
    """Predictions by system, each with its P(ask) per item; a system without one asks nothing."""
    return table(
        [
            {
                "benchmark": item["benchmark"],
                "system": system,
                "seed": seed,
                "item_id": item["item_id"],
                "text": f"Reply of {system} to {item['item_id']}",
                "asked": p >= threshold,
                "p_ask": p,
                "question": "",
                "parsed": True,
                "threshold": float("nan") if math.isnan(p) else threshold,
            }
            for system, given in p_ask.items()
            for item, p in zip(records(frame), given, strict=True)
        ],
        PREDICTION_COLUMNS,
    )


def row_scores(frame: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    """Whether each decision is right, and a Token F1 of 0.25 where a question was needed."""
    needs = dict(zip(frame["item_id"], frame["needs_clarification"], strict=True))
    rows = [
        {**row, "needs_clarification": needs[row["item_id"]], "metric": metric, "value": value}
        for row in records(said)
        for metric, value in [
            ("correct", float(row["asked"] == needs[row["item_id"]])),
            *([("token_f1", 0.25 * row["asked"])] if needs[row["item_id"]] else []),
        ]
    ]
    return table(rows, ROW_SCORE_COLUMNS)
