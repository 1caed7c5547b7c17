"""Our-test: rows held out from the annotated questions before anything was trained on them (paper section 4.2)."""

import pandas as pd

from clarilm_kedro.metrics.benchmarks.shape import items_frame

NAME, TITLE = "our_test", "Our-test"


def our_test_items(our_test: pd.DataFrame) -> pd.DataFrame:
    """Bring Our-test into the one shape.

    Args:
        our_test: Columns item_id, question, needs_clarification, references (list; the clarifying question if needed),
            facet (the one that the reasoning model chose, "" if none), thought (what it thought, "" if not known).

    Returns:
        A benchmark table, ordered by item id.
    """
    rows = our_test.sort_values("item_id").to_dict("records")
    return items_frame(
        [
            {
                "benchmark": NAME,
                "item_id": row["item_id"],
                "question": row["question"],
                "needs_clarification": row["needs_clarification"],
                "references": list(row["references"]) if row["needs_clarification"] else [],
                "facets": [row["facet"]] if row["needs_clarification"] and row["facet"] else [],
                "category": "",
                "subclass": "",
                "thought": row["thought"],
            }
            for row in rows
        ]
    )
