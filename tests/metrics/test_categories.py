"""Results by category: groups, what is missing where a label does not occur, Wilson intervals."""

import numpy as np
import pandas as pd
import pytest

from clarilm_kedro.metrics.benchmarks.shape import items_frame
from clarilm_kedro.metrics.categories import CATEGORY_COLUMNS, CategoryOptions, category_results, wilson
from row_scores import NEEDS, recorded_assistants


def _categories() -> pd.DataFrame:
    """Items 0 to 94 need a question: what 0 to 49, whom 50 to 94; 95 to 105 clear without a subclass; two rare ones."""
    rows = []
    for i, need in enumerate(NEEDS):
        category = "MC" if i < 106 else f"rare {i}"
        rows.append(
            {
                "benchmark": "in3",
                "item_id": f"{i:03d}",
                "question": f"question {i}",
                "needs_clarification": bool(need),
                "references": ["Which?"] if need else [],
                "category": category,
                "subclass": "" if i >= 95 else ("what" if i < 50 else "whom"),
            }
        )
    return items_frame(rows)


def test_categories_with_their_n_and_only_the_metrics_they_can_have() -> None:
    found = category_results(recorded_assistants(), _categories(), CategoryOptions())
    assert list(found.columns) == list(CATEGORY_COLUMNS)
    ours = found[found["system"] == "clarilm"].set_index(["category", "subclass"])
    assert list(ours.index) == [("MC", ""), ("MC", "other"), ("MC", "what"), ("MC", "whom"), ("other", "")]
    assert ours["n"].to_list() == [106, 11, 50, 45, 2]
    assert ours["n_needed"].to_list() == [95, 0, 50, 45, 0]
    whole, clear, what = ours.loc[("MC", "")], ours.loc[("MC", "other")], ours.loc[("MC", "what")]
    assert whole["f1_macro"] > 0.5
    assert np.isnan([clear["f1_pos"], clear["tpr"], clear["f1_macro"], clear["tf"]]).all()
    assert clear["tnr"] == pytest.approx(10 / 11)
    assert (what["tpr"], what["acc"], what["f1_pos"]) == (1.0, 1.0, 1.0)
    assert np.isnan([what["tnr"], what["f1_macro"]]).all()
    assert what["tf"] == pytest.approx(0.5)
    assert (whole["acc_low"], whole["acc_high"]) == wilson(whole["acc"], 106)


def test_a_benchmark_without_categories_has_no_rows() -> None:
    bare = _categories().assign(category="", subclass="")
    assert category_results(recorded_assistants(), bare, CategoryOptions()).empty


def test_wilson() -> None:
    """98 of 108 gives [83.8, 94.9] and 2,055 of 3,202 gives [62.5, 65.8]: counted by another program."""
    assert [round(100 * bound, 1) for bound in wilson(98 / 108, 108)] == [83.8, 94.9]
    assert [round(100 * bound, 1) for bound in wilson(2055 / 3202, 3202)] == [62.5, 65.8]
    assert wilson(1.0, 1)[1] == 1
    assert wilson(0.0, 5)[0] == 0
    assert np.isnan(wilson(0.0, 0)).all()
