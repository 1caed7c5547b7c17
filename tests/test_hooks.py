"""What happens around a run."""

import sys
from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro_datasets.pandas import ParquetDataset

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.hooks import _chat_metrics, _is_missing, _summary, show_errors_plainly


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
