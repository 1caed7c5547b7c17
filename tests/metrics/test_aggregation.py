"""The results table, from row scores made by hand."""

import numpy as np
import pytest

from clarilm_kedro.metrics.aggregation import RESULT_COLUMNS, results_table
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
