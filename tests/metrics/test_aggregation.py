"""The results table and the comparisons, from row scores made by hand."""

import numpy as np
import pandas as pd
import pytest

from clarilm_kedro.metrics.aggregation import (
    COIN,
    COMPARISON_COLUMNS,
    RESULT_COLUMNS,
    ComparisonOptions,
    comparisons,
    ordered,
    results_table,
)
from clarilm_kedro.metrics.scoring import ROW_SCORE_COLUMNS
from clarilm_kedro.tables import table

OPTIONS = ComparisonOptions(resamples=500)


def _scores(system: str, needs: np.ndarray, asked: np.ndarray, benchmark: str = "in3") -> list[dict[str, object]]:
    rows = []
    for i, (need, ask) in enumerate(zip(needs, asked, strict=True)):
        known = {
            "benchmark": benchmark,
            "system": system,
            "seed": 0,
            "item_id": f"{i:03d}",
            "needs_clarification": bool(need),
            "asked": bool(ask),
            "parsed": i != 0,
        }
        rows.append({**known, "metric": "correct", "value": float(need == ask)})
        if need:
            for metric, value in (
                ("token_f1", 0.5),
                ("token_precision", 0.4),
                ("token_recall", 0.6),
                ("bertscore_f1", 0.8),
            ):
                rows.append({**known, "metric": metric, "value": value if ask else 0.0})
    return rows


NEEDS = np.arange(108) < 95
MISTRAL = np.where(np.arange(108) < 93, True, np.arange(108) >= 105)  # TP 93 FN 2 FP 3 TN 10
GPT_4 = np.where(np.arange(108) < 81, True, np.arange(108) >= 106)  # TP 81 FN 14 FP 2 TN 11


def _row_scores() -> pd.DataFrame:
    rows = [
        *_scores("clarilm", NEEDS, MISTRAL),
        *_scores("base", NEEDS, GPT_4),
        *_scores("always-ask", NEEDS, np.ones(108, dtype=bool)),
    ]
    return table(rows, ROW_SCORE_COLUMNS)


def test_results() -> None:
    results = results_table(_row_scores(), {("in3", "clarilm"): 0.4}, {"clarilm": "t"}, "hash", OPTIONS)
    assert tuple(results.columns) == RESULT_COLUMNS
    assert list(results["system"]) == ["always-ask", "base", "clarilm"]
    ours = results.set_index("system").loc["clarilm"]
    # The recorded Mistral-Interact on IN3: 95.37 / 97.38 / 88.69.
    assert [round(100 * ours[name], 2) for name in ("acc", "f1_pos", "f1_macro")] == [95.37, 97.38, 88.69]
    assert (ours["n"], ours["n_unparsed"], ours["n_needed"], ours["n_both"]) == (108, 1, 95, 93)
    assert ours["tf"] == pytest.approx(0.5 * 93 / 95)
    assert ours["bert"] == pytest.approx(0.8 * 93 / 95)
    assert (ours["tf_both"], ours["bert_both"]) == pytest.approx((0.5, 0.8))
    assert (ours["tf_precision"], ours["tf_recall"]) == pytest.approx((0.4 * 93 / 95, 0.6 * 93 / 95))
    assert ours["f1_macro_low"] < ours["f1_macro"] < ours["f1_macro_high"]
    assert ours["acc_low"] < ours["acc"] < ours["acc_high"]
    assert list(results["teacher"]) == ["none", "none", "t"]
    assert ours["threshold"] == 0.4
    assert np.isnan(results["threshold"].iloc[0])
    bar = results.set_index("system").loc["always-ask"]
    assert [round(100 * bar[name], 2) for name in ("acc", "f1_pos", "f1_macro")] == [87.96, 93.60, 46.80]


def test_recorded_gpt_4_on_in3() -> None:
    results = results_table(_row_scores(), {}, {}, "hash", OPTIONS).set_index("system")
    scores = [round(100 * results.loc["base", name], 2) for name in ("acc", "f1_pos", "f1_macro", "tpr", "tnr")]
    assert scores == [85.19, 91.01, 74.45, 85.26, 84.62]


def test_comparisons() -> None:
    compared = comparisons(_row_scores(), OPTIONS)
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
    scores = _row_scores()
    compared = comparisons(scores[scores["system"] != "clarilm"], OPTIONS)
    assert list(compared["other"]) == [COIN]


def test_no_rows() -> None:
    empty = table([], ROW_SCORE_COLUMNS)
    assert results_table(empty, {}, {}, "hash", OPTIONS).empty
    assert tuple(results_table(empty, {}, {}, "hash", OPTIONS).columns) == RESULT_COLUMNS
    assert list(comparisons(empty, OPTIONS).columns) == list(COMPARISON_COLUMNS)


def test_all_rows_dropped() -> None:
    scores = _row_scores()
    scores.loc[scores["metric"] == "correct", "value"] = np.nan
    results = results_table(scores, {}, {}, "hash", OPTIONS)
    assert (results["n"] == 0).all()
    assert results["f1_macro_low"].isna().all()
    assert comparisons(scores, OPTIONS)["n"].eq(0).all()


def test_order_of_names() -> None:
    assert ordered(["z", "clarilm", "base", "a", "base"], ["base", "clarilm"]) == ["base", "clarilm", "a", "z"]
