"""The real samples through ingestion, CFD and OFS with a live local model, and every count adds up."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from reconciliation import unbalanced

pytestmark = [pytest.mark.slow, pytest.mark.real_data]

INPUTS = {
    "sharegpt": "sharegpt/sharegpt_sample.json",
    "wildchat": "wildchat",
    "personas": "personas/personahub_personas.jsonl",
    "ambigqa": "questions/ambignq_dev_light.json",
    "natural_questions": "questions/NQ-open.dev.jsonl",
    "popqa": "questions/popqa_neuropath_subset.tsv",
    "in3_train": "in3/train.jsonl",
    "in3_test": "in3/test.jsonl",
    "clamber": "clamber/clamber_sample.jsonl",
}
SMALL = {"extraction_sessions": 3, "seed_questions": 6, "synthetic_questions": 5, "test_questions": 2}


def test_real_logs_reach_preferences_and_every_count_adds_up(
    clone: Path, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.chdir(clone)
    bootstrap_project(clone)
    params = {
        "store": str(tmp_path / "store"),
        "inputs": {name: str(real_data / path) for name, path in INPUTS.items()},
        "limits": SMALL,
        "chat_llm": {"max_tokens": 128},
        "reasoning_llm": {"max_tokens": 128},
    }
    for pipeline in ("ingestion", "cfd", "ofs"):
        with KedroSession.create(clone, env="embedded", runtime_params=params) as session:
            session.run(pipeline_names=[pipeline])
    assert unbalanced(tmp_path / "store") == []

    def read(name: str) -> pd.DataFrame:
        return pd.read_parquet(next((tmp_path / "store").rglob(f"{name}.parquet")))

    # A model of 135M parameters decides badly, but it does decide; what it failed at is counted above.
    assert len(read("sessions")) > 200
    assert len(read("questions")) > 3
    assert len(read("annotation_votes")) + len(read("annotations_failed")) == len(read("questions"))
    # IN3's 42 test tasks in its training file, and AmbigQA's rows that are CLAMBER's, are shown to no model.
    leakage = read("leakage")
    assert (leakage["method"] == "exact_normalised").sum() >= 42
    assert not read("leakage_summary")["action"].eq("remains").any()
