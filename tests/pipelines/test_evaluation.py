"""The evaluation pipeline's nodes on a few rows."""

from pathlib import Path

import pandas as pd
from evaluation_slice import clamber_rows, in3_rows, our_test_rows, sft_rows

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.baselines import BaselineOptions
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS
from clarilm_kedro.pipelines.evaluation import nodes
from clarilm_kedro.pipelines.evaluation.prediction import predict_bars, predictions, threshold_of
from clarilm_kedro.pipelines.evaluation.schemas import BenchmarkOptions, DecodingOptions
from clarilm_kedro.pipelines.training.rows import IN3_TESTED


def test_collect_benchmarks_limits_the_public_ones_only() -> None:
    broken = Records("clamber", [*clamber_rows(8).rows, Record(8, {"question": "x"}, "clamber.jsonl")])
    items, rejected = nodes.collect_benchmarks(our_test_rows(6), BenchmarkOptions(limit=4), in3_rows(8), broken)
    assert items.groupby("benchmark").size().to_dict() == {"our_test": 6, "in3": 4, "clamber": 4}
    assert items.loc[items["benchmark"] == "in3", "needs_clarification"].sum() == 3
    assert list(rejected["reason"]) == ["bad_label"]
    assert list(rejected["position"]) == [8]


def test_bars() -> None:
    items, _ = nodes.collect_benchmarks(our_test_rows(6), BenchmarkOptions(), in3_rows(8), clamber_rows(8))
    said = predict_bars(items, sft_rows(20), sft_rows(8, first=20), BaselineOptions())
    assert list(said.columns) == list(PREDICTION_COLUMNS)
    by_system = dict(list(said.groupby("system")))
    assert set(by_system) == {"always-ask", "never-ask", "random", "echo", "tf-idf"}
    assert by_system["always-ask"]["asked"].all()
    assert not by_system["never-ask"]["asked"].any()
    assert (by_system["never-ask"]["question"] == "").all()
    assert (by_system["random"]["p_ask"] == 0.5).all()
    learnt = by_system["tf-idf"]
    assert (learnt["asked"] == (learnt["p_ask"] >= learnt["threshold"])).all()
    ours = learnt[learnt["benchmark"] == "our_test"].merge(items, on=["benchmark", "item_id"])
    assert (ours["asked"] == ours["needs_clarification"]).all()
    shuffled = predict_bars(items.iloc[::-1], sft_rows(20).iloc[::-1], sft_rows(8, first=20), BaselineOptions())
    pd.testing.assert_frame_equal(said, shuffled)


def test_bars_without_training_rows() -> None:
    items, _ = nodes.collect_benchmarks(our_test_rows(4), BenchmarkOptions(), Records(), Records())
    said = predict_bars(items, sft_rows(0), sft_rows(0), BaselineOptions())
    assert set(said["system"]) == {"always-ask", "never-ask", "random", "echo"}
    assert (said.loc[said["system"] == "random", "p_ask"] == 0.5).all()


def test_threshold() -> None:
    assert threshold_of("base", {"base": {"threshold": 0.2}}) == 0.2
    assert threshold_of("base", {"base": {"threshold": None}}) == 0.5
    assert threshold_of("clarilm", {}) == 0.5


def test_skipped_adapter_predicts_nothing(tiny_base: BaseModelSpec) -> None:
    items, _ = nodes.collect_benchmarks(our_test_rows(4), BenchmarkOptions(), Records(), Records())
    skipped = TrainedAdapter.skipped("too few")
    said = nodes.predict_node("clarilm")(tiny_base, skipped, {}, items, DecodingOptions())
    assert said.empty
    assert list(said.columns) == list(PREDICTION_COLUMNS)
    assert nodes.predict_base(tiny_base, {}, items.iloc[:0], DecodingOptions()).empty


def test_merge_orders_and_keeps_types() -> None:
    items, _ = nodes.collect_benchmarks(our_test_rows(4), BenchmarkOptions(), Records(), Records())
    said = predict_bars(items, sft_rows(20), sft_rows(8, first=20), BaselineOptions())
    some = said["system"] < "e"
    merged = nodes.merge_predictions(predictions([]), said[~some], said[some], predictions([]))
    pd.testing.assert_frame_equal(merged, said)


def test_what_was_skipped_is_explained() -> None:
    items, _ = nodes.collect_benchmarks(our_test_rows(4), BenchmarkOptions(), in3_rows(4), Records())
    skipped = TrainedAdapter.skipped("3 examples are fewer than 20.")
    trained = TrainedAdapter(Path("somewhere"), {"status": "trained"})
    calibrations = {
        "base": {"status": "skipped", "reason": "Too few rows.", "threshold": 0.5},
        "x": {"status": "fitted"},
    }
    leaking = TrainedAdapter(Path("somewhere"), {"status": "trained", "rows_by_origin": {IN3_TESTED: 42}})
    unwanted = TrainedAdapter.not_wanted()
    told = nodes.explain_skipped(
        items, sft_rows(1), skipped, leaking, unwanted, unwanted, trained, skipped, calibrations
    )
    assert told == [
        {"what": "CLAMBER", "reason": "It has no items."},
        {"what": "FM-LOG", "reason": "3 examples are fewer than 20."},
        {
            "what": "cleaning of sft-in3's rows",
            "reason": "42 of its training rows are test questions: IN3's training split was taken as published.",
        },
        {"what": "clarilm", "reason": "3 examples are fewer than 20."},
        {"what": "tf-idf", "reason": "Its 1 training rows do not hold both labels."},
        {"what": "threshold of base", "reason": "Too few rows. 0.5 is used."},
    ]
