import json
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog

from clarilm_kedro.datasets.previews import CELL_CHARS
from clarilm_kedro.datasets.raw_input import InputError
from clarilm_kedro.datasets.records import RecordsDataset
from clarilm_kedro.errors import ClarilmError


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_an_input_that_is_not_given() -> None:
    dataset = RecordsDataset(filepath=None, name="personas")
    assert dataset.exists()
    assert dataset.load().rows == []
    assert dataset.load().name == "personas"
    assert dataset.preview() == {"index": [], "columns": [], "data": []}


def test_load_and_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"persona": str(number)} for number in range(9)])
    assert len(RecordsDataset(filepath=path, name="personas").load().rows) == 9
    assert [row.position for row in RecordsDataset(filepath=path, name="personas", limit=2).load().rows] == [0, 1]


def test_existence_of_files_folders_and_globs(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{}])
    given = {"a.jsonl": True, "": True, "*.jsonl": True, "*.json": False, "b.jsonl": False}
    for name, there in given.items():
        assert RecordsDataset(filepath=str(tmp_path / name), name="x").exists() == there, name


def test_errors_reach_the_user_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ClarilmError, match=r"^There is nothing at .*inputs\.sharegpt") as caught:
        RecordsDataset(filepath=str(tmp_path / "none"), name="sharegpt").load()
    assert isinstance(caught.value, InputError)
    with pytest.raises(InputError, match="holds no file"):
        RecordsDataset(filepath=str(tmp_path), name="sharegpt").load()
    with pytest.raises(InputError, match=r"format 'xml'\. Known: auto"):
        RecordsDataset(filepath=None, name="x", format="xml")  # type: ignore[arg-type]


def test_it_is_read_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="raw input"):
        RecordsDataset(filepath=str(tmp_path / "a"), name="x").save([])


def test_preview_shows_some_rows_with_long_texts_cut(tmp_path: Path) -> None:
    rows = [{"id": number, "turns": [{"value": "é" * 500}]} for number in range(9)]
    dataset = RecordsDataset(filepath=write(tmp_path / "a.jsonl", ["bad", *rows, {"other": None}]), name="x")
    preview: Any = dataset.preview()
    assert preview["columns"] == ["id", "turns"]
    assert preview["index"] == [0, 1, 2, 3, 4]
    assert [row[0] for row in preview["data"]] == [0, 1, 2, 3, 4]
    assert len(preview["data"][0][1]) == CELL_CHARS
    assert preview["data"][0][1].startswith('[{"value": "éé')
    json.dumps(preview)
    wide: Any = dataset.preview(nrows=20)
    assert wide["data"][-1] == [None, None, None]


def test_a_catalog_entry_makes_one(tmp_path: Path) -> None:
    entry = {
        "type": "clarilm_kedro.datasets.records.RecordsDataset",
        "name": "clamber",
        "filepath": write(tmp_path / "a.jsonl", [json.dumps({"question": "q"})]),
        "format": "json_in_jsonl",
        "metadata": {"description": "x"},
    }
    catalog = DataCatalog.from_config({"clamber": entry})
    assert catalog.load("clamber").rows[0].data == {"question": "q"}
    assert catalog["clamber"].metadata == {"description": "x"}
    assert "json_in_jsonl" in repr(catalog["clamber"])
