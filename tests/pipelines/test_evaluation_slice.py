"""The evaluation pipeline on a tiny random model, with everything, with nothing mined, with no benchmark."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from evaluation_slice import PARAMETERS, inputs, our_test_rows, outputs, parse, run, sft_rows

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.local_system import LocalSystem
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.logs.records import Records
from clarilm_kedro.metrics.aggregation import RESULT_COLUMNS
from clarilm_kedro.metrics.comparing import ComparisonOptions
from clarilm_kedro.metrics.report import ReportOptions
from clarilm_kedro.metrics.score_cache import ScoreCache
from clarilm_kedro.metrics.scoring import FACET_METRICS, QUALITY_METRICS, ScoringOptions
from clarilm_kedro.pipelines.evaluation import nodes, scoring
from clarilm_kedro.pipelines.evaluation.local import predict_local
from clarilm_kedro.pipelines.evaluation.schemas import DecodingOptions


def test_whole_slice(tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter, tmp_path: Path) -> None:
    out = run(inputs(tiny_base, tiny_adapter, tmp_path))
    results = out["results_table"]
    assert tuple(results.columns) == RESULT_COLUMNS
    assert list(results["benchmark"].unique()) == ["our_test", "in3", "clamber"]
    systems = ["always-ask", "never-ask", "random", "echo", "tf-idf", "base", "clarilm-sft", "clarilm"]
    assert list(results["system"]) == systems * 3
    teachers = dict(zip(results["system"], results["teacher"], strict=True))
    assert [teachers[name] for name in ("always-ask", "base", "tf-idf", "clarilm")] == [
        "none",
        "none",
        *["sample-teacher"] * 2,
    ]

    said = out["predictions"]
    assert said.groupby("system").size().to_dict() == dict.fromkeys(systems, 14)
    base = said[said["system"] == "base"]
    assert (base["asked"] == (base["p_ask"] >= 0.45)).all()
    assert (base["threshold"] == 0.45).all()
    assert base["p_ask"].between(0, 1).all()
    clarilm = said[said["system"] == "clarilm"]
    assert not np.allclose(base["p_ask"], clarilm["p_ask"])  # the adapter is in use
    assert (said.loc[~said["asked"], "question"] == "").all()

    assert set(out["row_scores"]["metric"]) == {"correct", *QUALITY_METRICS, *FACET_METRICS}
    assert len(out["comparison_matrix"]) == 3 * 8 * 7 / 2
    assert set(out["category_results"]["benchmark"]) == {"in3", "clamber"}
    assert "coin at its ask rate" in set(out["comparisons"]["other"])
    assert out["skipped_stages"] == [{"what": "FM-LOG", "reason": "3 examples are fewer than 20."}]
    assert "| clarilm " in out["results_markdown"]
    assert "say nothing about real questions" in out["report"]
    assert "3 examples are fewer than 20." in out["report"]
    assert out["report"].count('class="example"') == 14
    parse(out["report"])
    parse(out["results_html"])
    for name in ("figures_page", "examples_browser"):
        parse(out[name])
    drawn = out["decision_summary"].set_index(["benchmark", "system"])["status"]
    assert drawn["in3", "clarilm"] == "drawn"
    assert drawn["in3", "always-ask"] == "skipped"
    assert set(out["decision_curves"]["system"]) == {"tf-idf", "base", "clarilm-sft", "clarilm"}
    assert out["ask_rate_figure"].data
    assert r"\begin{table*}" in out["results_latex"]
    assert "F1+" in out["results_paper_view"]
    assert "Thought 1." in out["examples_browser"]


def test_nothing_mined_still_gives_the_bars_and_the_base(tiny_base: BaseModelSpec, tmp_path: Path) -> None:
    skipped = TrainedAdapter.skipped("0 rows are fewer than 20.")
    out = run(
        inputs(
            tiny_base,
            skipped,
            tmp_path,
            our_test=our_test_rows(0),
            sft_train=sft_rows(0),
            validation=sft_rows(0),
            calibrations={"base": {"status": "skipped", "threshold": 0.5}},
            log_statistics=pd.DataFrame(),
        )
    )
    results = out["results_table"]
    assert list(results["system"]) == ["always-ask", "never-ask", "random", "echo", "base"] * 2
    assert set(results["teacher"]) == {"none"}
    assert set(out["comparisons"]["system"]) == {"base"}
    assert {each["what"] for each in out["skipped_stages"]} == {
        "Our-test", "FM-LOG", "clarilm-sft", "clarilm", "tf-idf", "threshold of base",
    }  # fmt: skip
    assert "there is no teacher to name" in out["report"]


def test_further_local_systems_and_draws(
    tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    """Drawn as in the paper: every model of this machine three times, the bars once; a system by the long prompt."""
    drawn = DecodingOptions(max_new_tokens=6, temperature=0.5, top_p=0.9, draws=3, decision="sampled")
    systems = {
        "mine": LocalSystem(model=tiny_base, adapter=tiny_adapter.path),
        "by-prompt": LocalSystem(model=tiny_base, prompt="zero_shot", threshold=0.2),
    }
    given = inputs(tiny_base, tiny_adapter, tmp_path, local_systems=systems)
    out = run({**given, "params:evaluation.decoding": drawn})
    said = out["predictions"]
    bars = ("always-ask", "never-ask", "random", "echo", "tf-idf")
    draws = {**dict.fromkeys(bars, 1), **dict.fromkeys(systems, 3)}
    assert said.groupby("system")["seed"].nunique().to_dict() == {
        **draws, "base": 3, "clarilm": 3, "clarilm-sft": 3,
    }  # fmt: skip
    mine, clarilm = (said[said["system"] == name].reset_index() for name in ("mine", "clarilm"))
    assert mine["p_ask"].tolist() == pytest.approx(clarilm["p_ask"].tolist())  # the same adapter by the same prompt
    assert mine["threshold"].isna().all()
    by_prompt = said[said["system"] == "by-prompt"]
    assert not np.allclose(by_prompt["p_ask"], said.loc[said["system"] == "base", "p_ask"])
    assert set(systems) <= set(out["results_table"]["system"])

    held = predict_local(
        systems, given["zero_shot_prompt"], out["benchmarks"], PARAMETERS["params:evaluation.decoding"]
    )
    chosen = held[held["system"] == "by-prompt"]
    assert (chosen["asked"] == (chosen["p_ask"] >= 0.2)).all()
    assert set(chosen["threshold"]) == {0.2}


def test_no_benchmark_at_all(tiny_base: BaseModelSpec, tmp_path: Path) -> None:
    skipped = TrainedAdapter.skipped("0 rows are fewer than 20.")
    none = {"our_test": our_test_rows(0), "in3_test": Records(), "clamber": Records()}
    out = run(inputs(tiny_base, skipped, tmp_path, **none))
    assert out["results_table"].empty
    assert out["decision_summary"].empty
    assert "No item was decided." in out["figures_page"]
    parse(out["examples_browser"])
    assert "nothing to score" in out["results_markdown"]
    assert "nothing to score" in out["report"]


def test_tables_survive_parquet(tiny_base: BaseModelSpec, tmp_path: Path) -> None:
    skipped = TrainedAdapter.skipped("0 rows are fewer than 20.")
    out = run(inputs(tiny_base, skipped, tmp_path))
    reloaded = {}
    for name in (
        "benchmarks",
        "predictions",
        "row_scores",
        "results_table",
        "comparisons",
        "comparison_matrix",
        "quality_floors",
    ):
        out[name].to_parquet(tmp_path / f"{name}.parquet", index=False)
        reloaded[name] = pd.read_parquet(tmp_path / f"{name}.parquet")
    cache = ScoreCache(tmp_path / "scores.sqlite")
    scores = scoring.score_rows(reloaded["benchmarks"], reloaded["predictions"], cache, ScoringOptions())
    pd.testing.assert_frame_equal(scores, reloaded["row_scores"])
    results = scoring.build_results_table(
        scores, reloaded["predictions"], sft_rows(20), ScoringOptions(), ComparisonOptions(resamples=200)
    )
    pd.testing.assert_frame_equal(results, reloaded["results_table"])
    page = nodes.write_report(
        reloaded["results_table"],
        reloaded["comparisons"],
        reloaded["quality_floors"],
        reloaded["benchmarks"],
        reloaded["predictions"],
        pd.DataFrame({"source": ["sharegpt"], "sessions": [3]}),
        out["skipped_stages"],
        ReportOptions(),
    )
    assert page == out["report"]


def test_every_option_stands_in_the_configuration(project: Path) -> None:
    text = (project / "conf" / "base" / "evaluation" / "parameters.yml").read_text(encoding="utf-8")
    given = yaml.safe_load(text)["evaluation"]
    for name, value in PARAMETERS.items():
        assert set(given[name.rpartition(".")[2]]) == set(type(value).model_fields), name
    assert set(given["scoring"]["bertscore"]) == set(type(ScoringOptions().bertscore).model_fields)


def test_every_output_stands_in_the_catalog(project: Path) -> None:
    text = (project / "conf" / "base" / "evaluation" / "catalog.yml").read_text(encoding="utf-8")
    entries = {name: entry for name, entry in yaml.safe_load(text).items() if not name.startswith("_")}
    assert set(entries) == outputs() | {"benchmark_{name}", "given_predictions", "local_systems", "score_cache"}
    assert all(entry["metadata"]["description"] for entry in entries.values())
    assert all(entry["metadata"]["kedro-viz"]["layer"] for entry in entries.values())
