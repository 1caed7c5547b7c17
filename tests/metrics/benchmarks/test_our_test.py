"""Our-test in the one shape."""

import numpy as np
import pandas as pd

from clarilm_kedro.metrics.benchmarks.our_test import our_test_items
from clarilm_kedro.metrics.benchmarks.shape import COLUMNS


def test_rows_are_ordered_by_id_and_clear_ones_have_no_reference() -> None:
    rows = pd.DataFrame(
        {
            "item_id": ["b", "a"],
            "question": ["What is 2 plus 2?", "Recommend a film"],
            "needs_clarification": [False, True],
            "reference": ["4", "Which genre?"],
            "references": [
                np.array([], dtype=object),
                np.array(["Which genre?"], dtype=object),
            ],  # as Parquet gives them
            "facet": ["", "Genre"],
            "thought": ["A sum.", "Which kind of film?"],
            "teacher": ["t", "t"],
        }
    )
    items = our_test_items(rows)
    assert list(items["item_id"]) == ["a", "b"]
    assert list(items["references"]) == [["Which genre?"], []]
    assert list(items["facets"]) == [["Genre"], []]
    assert list(items["thought"]) == ["Which kind of film?", "A sum."]
    assert list(items["benchmark"]) == ["our_test"] * 2


def test_no_rows() -> None:
    empty = our_test_items(pd.DataFrame(columns=["item_id", "question", "needs_clarification", "references"]))
    assert list(empty.columns) == list(COLUMNS)
    assert empty.empty
