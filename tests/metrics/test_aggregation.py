"""The results table and its categories, from row scores made by hand."""

import numpy as np
import pandas as pd
import pytest

from clarilm_kedro.metrics.aggregation import (
    CATEGORY_COLUMNS,
    RESULT_COLUMNS,
    CategoryOptions,
    category_results,
    results_table,
)
from clarilm_kedro.metrics.benchmarks.shape import items_frame
from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.metrics.scoring import ROW_SCORE_COLUMNS
from clarilm_kedro.tables import table
from row_scores import MISTRAL, NEEDS, recorded_assistants, scores_of

OPTIONS = BootstrapOptions(resamples=500)


def test_results() -> None:
    results = results_table(recorded_assistants(), {("in3", "clarilm"): 0.4}, {"clarilm": "t"}, "hash", OPTIONS)
    assert tuple(results.columns) == RESULT_COLUMNS
    assert list(results["system"]) == ["always-ask", "base", "clarilm"]
    ours = results.set_index("system").loc["clarilm"]
    # The recorded Mistral-Interact on IN3: 95.37 / 97.38 / 88.69.
    assert [round(100 * ours[name], 2) for name in ("acc", "f1_pos", "f1_macro")] == [95.37, 97.38, 88.69]
    assert (ours["n"], ours["n_unparsed"], ours["n_needed"], ours["n_both"]) == (108, 1, 95, 93)
    assert ours["tf"] == pytest.approx(0.5 * 93 / 95)
    assert ours["bert"] == pytest.approx(0.8 * 93 / 95)
    assert (ours["tf_both"], ours["bert_both"]) == pytest.approx((0.5, 0.8))
    assert (ours["tf_gold_text"], ours["bert_gold_text"]) == pytest.approx((0.5, 0.8))
    assert (ours["tf_all_rows"], ours["n_all"]) == (pytest.approx(0.5 * 95 / 108), 108)
    assert (ours["n_seeds"], ours["n_facets"]) == (1, 0)
    assert np.isnan([ours["acc_sd"], ours["tf_sd"], ours["facet_recall_exact"]]).all()
    assert (ours["tf_precision"], ours["tf_recall"]) == pytest.approx((0.4 * 93 / 95, 0.6 * 93 / 95))
    assert ours["f1_macro_low"] < ours["f1_macro"] < ours["f1_macro_high"]
    assert ours["acc_low"] < ours["acc"] < ours["acc_high"]
    assert list(results["teacher"]) == ["none", "none", "t"]
    assert ours["threshold"] == 0.4
    assert np.isnan(results["threshold"].iloc[0])
    bar = results.set_index("system").loc["always-ask"]
    assert [round(100 * bar[name], 2) for name in ("acc", "f1_pos", "f1_macro")] == [87.96, 93.60, 46.80]


def test_recorded_gpt_4_on_in3() -> None:
    results = results_table(recorded_assistants(), {}, {}, "hash", OPTIONS).set_index("system")
    scores = [round(100 * results.loc["base", name], 2) for name in ("acc", "f1_pos", "f1_macro", "tpr", "tnr")]
    assert scores == [85.19, 91.01, 74.45, 85.26, 84.62]


def test_no_rows() -> None:
    empty = table([], ROW_SCORE_COLUMNS)
    assert results_table(empty, {}, {}, "hash", OPTIONS).empty
    assert tuple(results_table(empty, {}, {}, "hash", OPTIONS).columns) == RESULT_COLUMNS


def test_all_rows_dropped() -> None:
    scores = recorded_assistants()
    scores.loc[scores["metric"] == "correct", "value"] = np.nan
    results = results_table(scores, {}, {}, "hash", OPTIONS)
    assert (results["n"] == 0).all()
    assert results["f1_macro_low"].isna().all()


def test_several_seeds_are_averaged_and_their_spread_is_given() -> None:
    other = MISTRAL ^ (np.arange(108) % 10 == 1)
    rows = [
        *scores_of("clarilm", NEEDS, MISTRAL),
        *scores_of("clarilm", NEEDS, other, seed=5, values={"token_f1": 0.7}),
    ]
    both = results_table(table(rows, ROW_SCORE_COLUMNS), {}, {}, "hash", OPTIONS).iloc[0]
    each = [(asked == NEEDS).mean() for asked in (MISTRAL, other)]
    assert both["acc"] == pytest.approx(np.mean(each))
    assert both["acc_sd"] == pytest.approx(np.std(each, ddof=1))
    assert (both["n"], both["n_seeds"], both["n_unparsed"], both["n_needed"]) == (108, 2, 2, 190)
    asked = [0.5 * MISTRAL[:95].mean(), 0.7 * other[:95].mean()]
    assert (both["tf"], both["tf_sd"]) == pytest.approx((np.mean(asked), np.std(asked, ddof=1)))


def test_one_class_only_cannot_get_more_than_half_of_macro_f1() -> None:
    needs = np.ones(5, dtype=bool)
    only = results_table(table(scores_of("base", needs, needs), ROW_SCORE_COLUMNS), {}, {}, "hash", OPTIONS).iloc[0]
    assert (only["acc"], only["f1_pos"], only["f1_macro"], only["tnr"]) == (1.0, 1.0, 0.5, 0.0)


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
    found = category_results(recorded_assistants(), _categories(), CategoryOptions(resamples=200))
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


def test_a_benchmark_without_categories_has_no_rows() -> None:
    bare = _categories().assign(category="", subclass="")
    assert category_results(recorded_assistants(), bare, CategoryOptions()).empty
