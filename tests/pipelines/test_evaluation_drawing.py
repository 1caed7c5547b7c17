"""The drawing part of the evaluation as a slice in memory, and that of a judge."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from clarilm_kedro.metrics.aggregation import RESULT_COLUMNS
from clarilm_kedro.metrics.browser import JUDGEMENT_COLUMNS, BrowserOptions
from clarilm_kedro.metrics.categories import CategoryOptions, category_results
from clarilm_kedro.metrics.comparing import ComparisonOptions, comparison_matrix
from clarilm_kedro.metrics.curves import CurveOptions
from clarilm_kedro.metrics.report import EXAMPLES_PAGE, FIGURES_PAGE, ReportOptions
from clarilm_kedro.pipelines.evaluation.drawing_pipeline import create_drawing, create_judge_drawing
from report_rows import HOSTILE, items, predictions, row_scores


def _tables() -> dict[str, Any]:
    frame = pd.concat([items(9), items(9, benchmark="clamber")], ignore_index=True)
    said = predictions(frame, {"base": [i / 18 for i in range(18)], "clarilm": [1 - i / 18 for i in range(18)]})
    filled = {name: [0.5, 0.6] for name in RESULT_COLUMNS}
    names = {"benchmark": "in3", "teacher": "none", "bertscore": "hash"}
    filled |= {name: [value] * 2 for name, value in names.items()}
    return {
        "benchmarks": frame,
        "predictions": said,
        "row_scores": row_scores(frame, said),
        "results_table": pd.DataFrame({**filled, "system": ["base", "clarilm"], "n": [9, 9]}),
        "params:evaluation.curves": CurveOptions(),
        "comparison_matrix": comparison_matrix(row_scores(frame, said), ComparisonOptions(resamples=100)),
        "quality_floors": pd.DataFrame(columns=["benchmark", "floor", "n", "tf", "bert"]),
        "category_results": category_results(row_scores(frame, said), frame, CategoryOptions()),
        "params:evaluation.browser": BrowserOptions(),
        "params:evaluation.report": ReportOptions(),
    }


def _run(pipeline: Pipeline, inputs: dict[str, Any]) -> dict[str, Any]:
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in inputs.items() if name in pipeline.inputs()})
    return {name: dataset.load() for name, dataset in SequentialRunner().run(pipeline, catalog).items()}


def test_a_run_without_a_judge_draws_everything_else() -> None:
    out = _run(create_drawing(), _tables())
    assert set(out) == {"figures_page", "results_latex", "results_paper_view", "examples_browser"}
    assert "in3-3" in out["examples_browser"]
    assert all(f'id="{name}"' in out["figures_page"] for name in ("confusion_figure", "cost_figure"))


def test_a_judge_adds_figure_4_and_its_verdicts() -> None:
    row = ("in3", "in3-1", "clarilm", "base", "j", 1, "A", f"Shorter. {HOSTILE}")
    counts = {"n": 4, "win": 3, "tie": 1, "lose": 0, "invalid": 0}
    rates = {"win_rate": 0.9, "low": 0.5, "high": 1.0, "flip_rate": 0.0}
    names = {"benchmark": "in3", "system": "clarilm", "other": "base", "judge": "j", "aggregation": "strict"}
    judged = {
        "judge_results": pd.DataFrame([{**names, **counts, **rates}]),
        "judgements": pd.DataFrame([row, (*row[:5], 2, "B", "")], columns=list(JUDGEMENT_COLUMNS)),
    }
    out = _run(create_judge_drawing(), {**_tables(), **judged})
    assert out["judge_figure"].data[0].x == (75,)
    assert '"verdict":"win"' in out["judged_examples_browser"]


def test_the_report_links_to_the_pages_by_the_names_they_have(project: Path) -> None:
    text = (project / "conf" / "base" / "evaluation" / "catalog.yml").read_text(encoding="utf-8")
    entries = yaml.safe_load(text)
    folders = {
        name: entries[name]["filepath"].rpartition("/") for name in ("report", "figures_page", "examples_browser")
    }
    assert folders["figures_page"][2] == FIGURES_PAGE
    assert folders["examples_browser"][2] == EXAMPLES_PAGE
    assert len({folder for folder, _, _ in folders.values()}) == 1
