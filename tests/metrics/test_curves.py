"""Decision curves against scikit-learn, hand-made values and the published IN3 tasks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from clarilm_kedro.metrics.curves import (
    CURVE_COLUMNS,
    SUMMARY_COLUMNS,
    CurveOptions,
    auroc,
    average_precision,
    brier,
    calibration_error,
    decision_curves,
    every_threshold,
    lowest_seed,
    reliability,
    sweep,
)
from report_rows import items, predictions

NAN = float("nan")
LABELLED = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0]), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({label for _, label in rows}) == 2)


def test_sweep_by_hand() -> None:
    """Labels 1 1 1 0 0 and P(ask) .9 .6 .2 .6 .1: at .6 TP 2, FP 1, FN 1, TN 1."""
    swept = sweep([0.9, 0.6, 0.2, 0.6, 0.1], [True, True, True, False, False], [0.0, 0.6, 1.0], CurveOptions())
    row = swept.iloc[1]
    assert row["ask_rate"] == pytest.approx(0.6)
    assert row["acc"] == pytest.approx(0.6)
    assert row["f1_pos"] == pytest.approx(2 / 3)
    assert row["f1_macro"] == pytest.approx((2 / 3 + 0.5) / 2)
    assert (row["tpr"], row["fpr"], row["precision"]) == pytest.approx((2 / 3, 0.5, 2 / 3))
    assert row["cost"] == pytest.approx((2 * 1 + 1 * 1) / 5)
    assert swept.iloc[0]["ask_rate"] == 1
    assert swept.iloc[2][["ask_rate", "precision", "cost"]].tolist() == pytest.approx([0, 1, 6 / 5])


@given(LABELLED)
def test_areas_equal_those_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    p, y = [row[0] for row in rows], [row[1] for row in rows]
    assert auroc(p, y) == pytest.approx(metrics.roc_auc_score(y, p))
    assert average_precision(p, y) == pytest.approx(metrics.average_precision_score(y, p))
    assert brier(p, y) == pytest.approx(metrics.brier_score_loss(y, p))


@given(LABELLED)
def test_points_equal_those_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    p, y = [row[0] for row in rows], [row[1] for row in rows]
    swept = sweep(p, y, every_threshold(p), CurveOptions())
    fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    np.testing.assert_allclose(swept["fpr"][::-1], fpr)
    np.testing.assert_allclose(swept["tpr"][::-1], tpr)
    precision, recall, _ = metrics.precision_recall_curve(y, p)
    np.testing.assert_allclose(swept["precision"], precision)
    np.testing.assert_allclose(swept["tpr"], recall)


def test_calibration_by_hand() -> None:
    p, y = [0.05, 0.15, 0.15, 1.0], [False, True, False, True]
    held = reliability(p, y, 10)
    assert held["n"].tolist() == [1, 2, 1]
    assert held["low"].tolist() == pytest.approx([0, 0.1, 0.9])
    assert held["share_needed"].tolist() == [0, 0.5, 1]
    assert calibration_error(p, y) == pytest.approx((1 * 0.05 + 2 * 0.35 + 0) / 4)
    assert calibration_error([0.5, 0.5], [True, False], 1) == 0


def test_a_system_with_p_ask_is_drawn_and_marked_at_its_threshold() -> None:
    frame = items(6)
    said = predictions(frame, {"clarilm": [0.1, 0.9, 0.8, 0.6, 0.7, 0.2]}, threshold=0.65)
    curves, bins, summary = decision_curves(frame, said, CurveOptions())
    assert list(curves.columns) == list(CURVE_COLUMNS)
    assert curves.loc[curves["used"], "threshold"].tolist() == [0.65]
    told = summary.iloc[0]
    assert (told["status"], told["n"], told["n_without_p_ask"]) == ("drawn", 6, 0)
    assert told["auroc"] == pytest.approx(7 / 8)
    assert told["acc"] == pytest.approx(5 / 6)
    assert told["cost"] == pytest.approx(2 / 6)
    assert told["min_cost"] == pytest.approx(1 / 6)
    assert told["min_cost_threshold"] == pytest.approx(0.2)
    assert told["trivial_cost"] == pytest.approx(2 / 6)
    assert bins["n"].sum() == 6


@pytest.mark.parametrize(
    ("p_ask", "needs", "reason"),
    [
        ([NAN] * 4, None, "It gives no P(ask)."),
        ([0.3] * 4, None, "P(ask) is 0.30 for every item."),
        ([0.1, 0.2, 0.3, 0.4], True, "All 4 items need a clarification."),
        ([0.1, 0.2, 0.3, 0.4], False, "All 4 items need none."),
    ],
)
def test_a_curve_is_skipped_with_a_reason(p_ask: list[float], needs: bool | None, reason: str) -> None:
    frame = items(4)
    if needs is not None:
        frame = frame.assign(needs_clarification=needs)
    curves, bins, summary = decision_curves(frame, predictions(frame, {"base": p_ask}), CurveOptions())
    assert curves.empty
    assert bins.empty
    assert summary[["status", "reason"]].to_numpy().tolist() == [["skipped", reason]]


def test_items_without_p_ask_are_counted_and_left_out() -> None:
    frame = items(4)
    said = predictions(frame, {"gpt-4o": [0.1, NAN, 0.8, 0.4]})
    _, _, summary = decision_curves(frame, said, CurveOptions())
    assert summary[["n", "n_without_p_ask", "status"]].to_numpy().tolist() == [[3, 1, "drawn"]]
    assert summary["auroc"].item() == 1


def test_a_long_curve_is_thinned_and_its_areas_are_not() -> None:
    n = 3000
    frame = items(n)
    p = list(np.random.default_rng(7).random(n))
    curves, _, summary = decision_curves(frame, predictions(frame, {"base": p}), CurveOptions(max_points=50))
    assert 50 <= len(curves) <= 52
    assert curves["used"].sum() == 1
    assert curves["ask_rate"].max() == 1
    assert curves["ask_rate"].min() == 0
    assert summary["auroc"].item() == pytest.approx(metrics.roc_auc_score(frame["needs_clarification"], p))


def test_the_lowest_seed_of_each_system_is_shown() -> None:
    frame = items(3)
    both = pd.concat([predictions(frame, {"a": [0.1, 0.2, 0.3]}, seed=seed) for seed in (2, 1)])
    assert set(lowest_seed(pd.concat([both, predictions(frame, {"b": [0.1] * 3})]))["seed"]) == {0, 1}


def test_nothing_predicted() -> None:
    curves, bins, summary = decision_curves(items(0), predictions(items(0), {}), CurveOptions())
    assert curves.empty
    assert bins.empty
    assert list(summary.columns) == list(SUMMARY_COLUMNS)


@pytest.mark.real_data
def test_the_curve_of_tf_idf_on_in3(real_data: Path) -> None:
    """TF-IDF of words and of characters within words on IN3's tasks, train rows that are test rows left out.

    The values were counted before this module was written, by another program.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    train, test = (
        [json.loads(line) for line in (real_data / "in3" / name).read_text("utf-8").split("\n") if line.strip()]
        for name in ("train.jsonl", "test.jsonl")
    )
    tested = {row["task"] for row in test}
    clean = [row for row in train if row["task"] not in tested]
    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
        ),
        LogisticRegression(C=1, max_iter=2000),
    )
    model.fit([row["task"] for row in clean], [row["vague"] for row in clean])
    p, y = model.predict_proba([row["task"] for row in test])[:, 1], [row["vague"] for row in test]
    assert round(100 * auroc(p, y), 2) == 92.87
    assert (round(calibration_error(p, y), 3), round(brier(p, y), 3)) == (0.113, 0.073)
    swept = sweep(p, y, [0.3, 0.5, 0.6, 0.7, 0.8], CurveOptions())
    assert (100 * swept["acc"]).round(2).tolist() == [87.96, 91.67, 91.67, 86.11, 77.78]
    assert (100 * swept["f1_macro"]).round(2).tolist() == [46.80, 71.27, 79.64, 75.54, 67.86]
    assert swept["fpr"].round(2).tolist() == [1, 0.69, 0.38, 0.15, 0.08]
    assert swept["cost"].round(3).tolist() == [0.12, 0.083, 0.12, 0.259, 0.435]
