"""Rows, inputs and a runner for tests of the evaluation pipeline on a tiny random model."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.baselines import BaselineOptions
from clarilm_kedro.metrics.browser import BrowserOptions
from clarilm_kedro.metrics.categories import CategoryOptions
from clarilm_kedro.metrics.comparing import ComparisonOptions
from clarilm_kedro.metrics.curves import CurveOptions
from clarilm_kedro.metrics.report import ReportOptions
from clarilm_kedro.metrics.score_cache import ScoreCache
from clarilm_kedro.metrics.scoring import ScoringOptions
from clarilm_kedro.pipelines.evaluation import create_pipeline
from clarilm_kedro.pipelines.evaluation.schemas import BenchmarkOptions, DecodingOptions, PromptedOptions
from clarilm_kedro.tables import table

PARAMETERS: dict[str, Any] = {
    "params:evaluation.benchmarks": BenchmarkOptions(limit=4),
    "params:evaluation.decoding": DecodingOptions(max_new_tokens=6, batch_size=4),
    "params:evaluation.prompted": PromptedOptions(),
    "params:evaluation.baselines": BaselineOptions(),
    "params:evaluation.scoring": ScoringOptions(),
    "params:evaluation.comparison": ComparisonOptions(resamples=200),
    "params:evaluation.report": ReportOptions(),
    "params:evaluation.curves": CurveOptions(),
    "params:evaluation.categories": CategoryOptions(min_items=2),
    "params:evaluation.browser": BrowserOptions(),
}
SFT_COLUMNS = {"row_id": "str", "question": "str", "asks": "bool", "text": "str", "teacher": "str"}
OUR_TEST_COLUMNS = {
    "item_id": "str", "question": "str", "needs_clarification": "bool", "reference": "str", "references": "object",
    "facet": "str", "thought": "str",
    "teacher": "str",
}  # fmt: skip


def sft_rows(n: int, first: int = 0) -> pd.DataFrame:
    rows = [
        {
            "row_id": f"r{i}",
            "question": f"Recommend a good film for evening {i}" if i % 2 else f"What is {i} plus {i}?",
            "asks": i % 2 == 1,
            "text": "Which genre?",
            "origin": "log",
            "teacher": "sample-teacher",
        }
        for i in range(first, first + n)
    ]
    return table(rows, SFT_COLUMNS)


def our_test_rows(n: int) -> pd.DataFrame:
    rows = [
        {
            "item_id": f"q{i}",
            "question": f"Recommend a good book for day {i}" if i % 2 else f"What is {i} times {i}?",
            "needs_clarification": i % 2 == 1,
            "reference": "Which genre?",
            "references": np.array(["Which genre?"] if i % 2 else [], dtype=object),
            "facet": "Genre" if i % 2 else "",
            "thought": f"Thought {i}.",
            "teacher": "sample-teacher",
        }
        for i in range(n)
    ]
    return table(rows, OUR_TEST_COLUMNS)


def _detail(inquiry: str) -> dict[str, str]:
    return {"description": "", "importance": "2", "inquiry": inquiry}


def in3_rows(n: int) -> Records:
    rows = [
        {
            "category": "Food",
            "task": f"Find recipe number {i}",
            "vague": i % 4 > 0,
            "missing_details": [_detail("Which dish?"), _detail("How many guests?")] if i % 4 else [],
        }
        for i in range(n)
    ]
    return Records("in3_test", [Record(i, row, "in3.jsonl") for i, row in enumerate(rows)])


def clamber_rows(n: int) -> Records:
    rows = [
        {
            "question": f"When was game {i}?",
            "clarifying_question": "Which game?" if i % 2 else "",
            "require_clarification": i % 2,
            "category": "FD",
            "subclass": "ICL",
        }
        for i in range(n)
    ]
    return Records("clamber", [Record(i, row, "clamber.jsonl") for i, row in enumerate(rows)])


def inputs(base: BaseModelSpec, adapter: TrainedAdapter, cache: Path, **changes: Any) -> dict[str, Any]:
    fitted = {"threshold": 0.5, "status": "fitted"}
    inputs = {
        "our_test": our_test_rows(6),
        "in3_test": in3_rows(8),
        "clamber": clamber_rows(8),
        "sft_train": sft_rows(20),
        "validation": sft_rows(8, first=20),
        "base_model": base,
        "fm_log_adapter": TrainedAdapter.skipped("3 examples are fewer than 20."),
        **{f"{name}_adapter": TrainedAdapter.not_wanted() for name in ("sft_in3", "sft_ql", "sft_full")},
        "clarilm_sft_adapter": adapter,
        "clarilm_adapter": adapter,
        "calibrations": {"base": {**fitted, "threshold": 0.45}, "clarilm-sft": fitted, "clarilm": fitted},
        "log_statistics": pd.DataFrame({"source": ["sharegpt"], "sessions": [3]}),
        "adapter_server": None,
        "score_cache": ScoreCache(cache / "scores.sqlite"),
        "zero_shot_prompt": "## user\n{{ block('question', question) }}",
        "baseline_llms": {},
        "local_systems": {},
        "given_predictions": Records(),
    }
    return {**inputs, **PARAMETERS, **changes}


class _Kept(MemoryDataset):
    """Memory that the runner does not free, so that what lies between the nodes can be looked at."""

    def _release(self) -> None:
        pass


def run(inputs: dict[str, Any], pipeline: Pipeline | None = None) -> dict[str, Any]:
    kept = {name: _Kept() for name in outputs()}
    catalog = DataCatalog({**{name: MemoryDataset(value) for name, value in inputs.items()}, **kept})
    SequentialRunner().run(pipeline or create_pipeline(), catalog)
    return {name: dataset.load() for name, dataset in kept.items()}


def outputs() -> set[str]:
    return {name for node in create_pipeline().nodes for name in node.outputs}


def parse(page: str) -> None:
    HTMLParser().feed(page)
    assert page.startswith("<!doctype html>")
