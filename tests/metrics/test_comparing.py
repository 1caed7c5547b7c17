"""Comparisons of systems, from row scores made by hand."""

import numpy as np
import pandas as pd
import pytest

from clarilm_kedro.metrics.benchmarks.shape import items_frame
from clarilm_kedro.metrics.categories import CategoryOptions
from clarilm_kedro.metrics.comparing import (
    CATEGORY_COMPARISON_COLUMNS,
    COIN,
    COMPARISON_COLUMNS,
    ComparisonOptions,
    category_comparisons,
    comparison_matrix,
    comparisons,
)
from clarilm_kedro.metrics.scoring import ROW_SCORE_COLUMNS
from clarilm_kedro.tables import table
from row_scores import GPT_4, MISTRAL, NEEDS, recorded_assistants, scores_of

OPTIONS = ComparisonOptions(resamples=500)


def test_comparisons() -> None:
    compared = comparisons(recorded_assistants(), OPTIONS)
    assert list(compared.columns) == list(COMPARISON_COLUMNS)
    assert list(zip(compared["system"], compared["other"], strict=True)) == [
        ("clarilm", "always-ask"),
        ("clarilm", "base"),
        ("base", COIN),
        ("clarilm", COIN),
    ]
    against_base = compared.iloc[1]
    assert 100 * against_base["acc_diff"] == pytest.approx(10.19, abs=5e-3)
    assert 100 * against_base["f1_macro_diff"] == pytest.approx(88.69 - 74.45, abs=0.01)
    assert against_base["only_system_right"] - against_base["only_other_right"] == 11
    assert against_base["mcnemar_p_holm"] >= against_base["mcnemar_p"]
    coin = compared.iloc[3]
    assert coin["f1_macro_low"] > 0.2
    assert np.isnan(coin["acc_diff"])
    assert np.isnan(coin["mcnemar_p"])
    assert pd.isna(coin["only_system_right"])


def test_without_the_compared_system_only_coins_are_left() -> None:
    scores = recorded_assistants()
    compared = comparisons(scores[scores["system"] != "clarilm"], OPTIONS)
    assert list(compared["other"]) == [COIN]


def test_question_quality_is_compared_on_the_same_items() -> None:
    against = comparisons(recorded_assistants(), OPTIONS).set_index("other").loc["base"]
    assert against["tf_diff"] == pytest.approx(0.5 * (93 - 81) / 95)
    assert 0 < against["tf_low"] < against["tf_diff"] < against["tf_high"]
    assert against["bert_diff"] == pytest.approx(0.8 * (93 - 81) / 95)


def test_published_difference_of_accuracy_and_its_interval() -> None:
    """Mistral-Interact against GPT-4 on IN3: +10.19 points, about [3.7, 17.6], 14 to 3 items, p = 0.0127."""
    needs = np.ones(108, dtype=bool)
    ours = np.array([True] * 89 + [True] * 14 + [False] * 3 + [False] * 2)
    theirs = np.array([True] * 89 + [False] * 14 + [True] * 3 + [False] * 2)
    rows = [*scores_of("clarilm", needs, ours), *scores_of("base", needs, theirs)]
    found = comparisons(table(rows, ROW_SCORE_COLUMNS), ComparisonOptions()).set_index("other").loc["base"]
    assert 100 * found["acc_diff"] == pytest.approx(10.19, abs=5e-3)
    assert (100 * found["acc_low"], 100 * found["acc_high"]) == pytest.approx((3.7, 17.6), abs=0.95)
    assert (found["only_system_right"], found["only_other_right"]) == (14, 3)
    assert found["mcnemar_p"] == pytest.approx(0.0127, abs=5e-5)


def test_matrix_holds_every_pair_once_whatever_the_order_of_rows() -> None:
    scores = recorded_assistants()
    found = comparison_matrix(scores, OPTIONS)
    assert list(zip(found["system"], found["other"], strict=True)) == [
        ("base", "always-ask"),
        ("clarilm", "always-ask"),
        ("clarilm", "base"),
    ]
    pd.testing.assert_frame_equal(found, comparison_matrix(scores.iloc[::-1], OPTIONS))
    one = comparisons(scores, OPTIONS).set_index("other").loc["base"]
    two = found.set_index(["system", "other"]).loc[("clarilm", "base")]
    assert one[["acc_diff", "acc_low", "acc_high"]].equals(two[["acc_diff", "acc_low", "acc_high"]])
    assert (found["mcnemar_p_holm"] >= found["mcnemar_p"]).all()


def test_templates_drawn_as_a_whole_widen_the_interval() -> None:
    scores = recorded_assistants()
    alone = {("in3", f"{i:03d}"): f"{i:03d}" for i in range(108)}
    tens = {key: cluster[:2] for key, cluster in alone.items()}
    items, same, whole = (
        comparisons(scores, OPTIONS, clusters).set_index("other").loc["base"] for clusters in (None, alone, tens)
    )
    assert items.equals(same)
    assert whole["acc_diff"] == pytest.approx(items["acc_diff"])
    assert whole["acc_high"] - whole["acc_low"] > 1.5 * (items["acc_high"] - items["acc_low"])


def test_several_seeds_count_by_their_majority() -> None:
    wrong = ~NEEDS
    rows = [
        *scores_of("clarilm", NEEDS, NEEDS),
        *scores_of("clarilm", NEEDS, NEEDS, seed=1),
        *scores_of("clarilm", NEEDS, wrong, seed=2),
        *scores_of("base", NEEDS, wrong),
    ]
    found = comparisons(table(rows, ROW_SCORE_COLUMNS), OPTIONS).set_index("other").loc["base"]
    assert (found["only_system_right"], found["only_other_right"]) == (108, 0)
    assert found["acc_diff"] == pytest.approx(2 / 3)


def test_dropped_replies_are_left_out_for_both() -> None:
    scores = recorded_assistants()
    lost = (scores["system"] == "base") & (scores["item_id"] < "010") & (scores["metric"] == "correct")
    scores.loc[lost, "value"] = np.nan
    found = comparisons(scores, OPTIONS).set_index("other")
    assert (found.loc["base", "n"], found.loc["always-ask", "n"]) == (98, 98)
    scores.loc[scores["metric"] == "correct", "value"] = np.nan
    assert comparisons(scores, OPTIONS)["n"].eq(0).all()


def test_categories_are_compared_each_by_itself() -> None:
    items = items_frame(
        [
            {
                "benchmark": "in3",
                "item_id": f"{i:03d}",
                "question": f"question {i}",
                "needs_clarification": bool(need),
                "references": [],
                "category": "first" if i < 50 else "second",
                "subclass": "",
            }
            for i, need in enumerate(NEEDS)
        ]
    )
    found = category_comparisons(recorded_assistants(), items, OPTIONS, CategoryOptions())
    assert list(found.columns) == list(CATEGORY_COMPARISON_COLUMNS)
    against = found[found["other"] == "base"].set_index("category")
    assert against["n"].to_dict() == {"first": 50, "second": 58}
    right = [(asked == NEEDS)[50:].sum() for asked in (MISTRAL, GPT_4)]
    assert against.loc["second", "acc_diff"] == pytest.approx((right[0] - right[1]) / 58)
    assert against.loc["first", "acc_diff"] == 0


def test_no_rows_to_compare() -> None:
    empty = table([], ROW_SCORE_COLUMNS)
    assert list(comparisons(empty, OPTIONS).columns) == list(COMPARISON_COLUMNS)
    assert comparison_matrix(empty, OPTIONS).empty
