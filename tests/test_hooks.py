"""What happens around a run."""

import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro_datasets.pandas import ParquetDataset

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.hooks import (
    TrackingHook,
    _chat_metrics,
    _is_missing,
    _metrics,
    _printable,
    _summary,
    show_errors_plainly,
)


def test_errors_for_users_are_printed_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _trace: seen.append(error))
    show_errors_plainly()
    sys.excepthook(ClarilmError, ClarilmError("Row 7 is broken."), None)
    sys.excepthook(ValueError, ValueError("a defect"), None)
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = ClarilmError("Row 8 is broken.")
    sys.excepthook(ValueError, wrapped, None)
    assert capsys.readouterr().err == "Error: Row 7 is broken.\nError: Row 8 is broken.\n"
    assert [str(error) for error in seen] == ["a defect"]


def test_a_file_that_is_not_there_is_missing_and_memory_is_not(tmp_path: Path) -> None:
    catalog = DataCatalog({"there": MemoryDataset(1), "file": ParquetDataset(filepath=str(tmp_path / "no.parquet"))})
    assert not _is_missing("there", catalog)
    assert _is_missing("file", catalog)
    assert _is_missing("unknown", catalog)
    assert not _is_missing("params:ofs.split", catalog)


def test_every_number_of_a_table_becomes_a_metric_under_its_keys() -> None:
    frame = pd.DataFrame({"benchmark": ["in3"], "system": ["base"], "acc": [0.5], "tf": [None], "teacher": ["none"]})
    frame["tf"] = frame["tf"].astype("float64")
    assert _metrics(frame, ["benchmark", "system"]) == {"in3.base.acc": 0.5}


def test_lists_become_json_text_in_mlflow_tables() -> None:
    frame = pd.DataFrame({"sources": [["log", "llm"]], "facet": ["city"]})
    assert list(_printable(frame)["sources"]) == ['["log", "llm"]']


def test_several_models_of_one_stage_keep_their_own_numbers() -> None:
    usage = [
        {"stage": "zero_shot", "model": "org/a@1", "rows": 3},
        {"stage": "zero_shot", "model": "b", "rows": 4},
        {"stage": "facets", "model": "b", "rows": 5},
    ]
    assert _chat_metrics(usage) == {
        "chat.zero_shot.org/a_1.rows": 3,
        "chat.zero_shot.b.rows": 4,
        "chat.facets.rows": 5,
    }


def test_the_summary_counts_requests() -> None:
    usage = [{"stage": "facets", "requests_sent": 3, "store_hits": 4, "cost_usd": 1.25}]
    lines = _summary({}, usage)
    assert lines[-1] == "Chat requests: 3 sent, 4 answered from the response store. US$ 1.25 spent."


def test_a_dataset_is_logged_as_its_catalog_entry_asks(tmp_path: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("t", artifact_location=str(tmp_path / "artifacts")))
    path = tmp_path / "results.parquet"
    frame = pd.DataFrame({"system": ["base"], "acc": [0.25]})
    metadata = {"mlflow": {"table": True, "file": True, "metrics": ["system"]}}
    dataset = ParquetDataset(filepath=str(path), metadata=metadata)
    dataset.save(frame)
    hook = TrackingHook()
    hook._catalog = DataCatalog({"results": dataset, "other": MemoryDataset(1)})
    hook.after_dataset_saved("results", frame)  # no run is active: nothing happens
    with mlflow.start_run() as run:
        hook.after_dataset_saved("results", frame)
        hook.after_dataset_saved("other", 1)
    logged = mlflow.get_run(run.info.run_id)
    files = {
        each.path
        for folder in ("tables", "files")
        for each in mlflow.MlflowClient().list_artifacts(run.info.run_id, folder)
    }
    assert logged.data.metrics == {"base.acc": 0.25}
    assert files == {"tables/results.json", "files/results.parquet"}
