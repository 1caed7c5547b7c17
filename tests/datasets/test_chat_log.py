import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DataCatalog
from kedro.io.core import DatasetError

from clarilm_kedro.datasets.chat_log import ChatLogDataset
from clarilm_kedro.datasets.ibis_parquet import IbisParquetDataset
from clarilm_kedro.datasets.raw_input import InputError
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.rows import COLUMNS

DUCKDB = {"backend": "duckdb"}
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello " * 60}]


def chat_log(given: Path | str | None, work: Path, **options: Any) -> ChatLogDataset:
    filepath = None if given is None else str(given)
    return ChatLogDataset(filepath=filepath, name="chats", connection=DUCKDB, work_dir=str(work / "work"), **options)


def write(folder: Path) -> Path:
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([{"conversation_hash": "h", "conversation": TURNS}] * 3), folder / "a.parquet")
    (folder / "b.json").write_text(json.dumps([{"id": "c_0", "conversations": []}, 5]))
    return folder


def test_files_of_several_formats_are_one_table(tmp_path: Path) -> None:
    found = chat_log(write(tmp_path / "logs"), tmp_path).load()
    assert list(found.columns) == list(COLUMNS)
    table = found.order_by("source_file", "position").to_pyarrow()
    assert table["source"].unique().to_pylist() == ["chats"]
    assert table["chat_id"].to_pylist() == ["h", "h", "h", "c", None]
    assert table["messages"].to_pylist()[2:4] == [TURNS, []]


def test_options_reach_the_reader(tmp_path: Path) -> None:
    folder = write(tmp_path / "logs")
    assert chat_log(folder, tmp_path, limit=2).load().count().execute() == 2
    careful = chat_log(folder / "a.parquet", tmp_path, careful=True).load().to_pyarrow()
    assert careful["messages"].to_pylist() == [TURNS] * 3
    assert (tmp_path / "work" / "00000.parquet").is_file()
    named = chat_log(folder / "b.json", tmp_path, dialect="messages").load().to_pyarrow()
    assert named["messages"].to_pylist() == [None, None]
    with pytest.raises(DatasetError, match=r"no dialect 'elvish' of chat logs\. Known: sharegpt"):
        chat_log(folder, tmp_path, dialect="elvish")


def test_a_log_that_is_not_given_has_no_rows(tmp_path: Path) -> None:
    nothing = chat_log(None, tmp_path)
    assert nothing.exists()
    assert nothing.load().to_pyarrow().to_pylist() == []
    assert nothing.preview()["data"] == []


def test_existence(tmp_path: Path) -> None:
    assert not chat_log(tmp_path / "logs", tmp_path).exists()
    folder = write(tmp_path / "logs")
    assert chat_log(folder, tmp_path).exists()
    assert chat_log(f"{folder}/*.json", tmp_path).exists()
    assert not chat_log(f"{folder}/*.tsv", tmp_path).exists()


def test_what_cannot_be_read_is_told_as_a_sentence(tmp_path: Path) -> None:
    catalog = DataCatalog({"chats": chat_log(tmp_path / "none", tmp_path)})
    with pytest.raises(DatasetError, match=r"^chats: There is nothing at .*inputs\.chats") as caught:
        catalog.load("chats")
    assert isinstance(caught.value.__cause__, InputError)
    assert isinstance(caught.value.__cause__, ClarilmError)


def test_it_is_read_only(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        chat_log(None, tmp_path).save(None)  # type: ignore[arg-type]


def test_preview_leaves_the_converted_files_alone(tmp_path: Path) -> None:
    log = chat_log(write(tmp_path / "logs"), tmp_path)
    whole = log.load()
    preview = log.preview(4)
    assert preview["columns"] == list(COLUMNS)
    assert [row[:4] for row in preview["data"]] == [
        *(["chats", "a.parquet", number, "h"] for number in range(3)),
        ["chats", "b.json", 0, "c"],
    ]
    assert all(len(str(value)) <= 200 for row in preview["data"] for value in row)
    json.dumps(preview)
    assert whole.count().execute() == 5


def test_no_chat_is_read_where_none_shall_be_shown(tmp_path: Path) -> None:
    log = chat_log(write(tmp_path / "logs"), tmp_path)
    assert log.preview(0) == {"index": [], "columns": list(COLUMNS), "data": []}
    assert not list(tmp_path.glob("**/*_preview"))
    assert "Not there yet" in chat_log(tmp_path / "none", tmp_path).preview()["columns"][0]


def test_it_shares_its_engine_with_the_tables_made_of_it(tmp_path: Path) -> None:
    log = chat_log(write(tmp_path / "logs"), tmp_path)
    table = IbisParquetDataset(filepath=str(tmp_path / "t.parquet"), connection=DUCKDB)
    table.save(log.load())
    assert table.load().count().execute() == 5


def test_text_that_is_no_utf8_is_named_with_a_way_out(tmp_path: Path) -> None:
    raw = pa.array([b"fine", b"bro\xffken", b"good"], pa.binary())
    broken = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    messages = pa.StructArray.from_arrays([pa.array(["user"] * 3), broken], ["role", "content"])
    column = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), messages)
    folder = write(tmp_path / "logs")
    pq.write_table(pa.table({"conversation": column}), folder / "bad.parquet")
    table = IbisParquetDataset(filepath=str(tmp_path / "t.parquet"), connection=DUCKDB)
    with pytest.raises(DatasetError, match=r"logs/bad\.parquet.*not valid UTF8.*--params engine\.careful=true"):
        table.save(chat_log(folder, tmp_path).load())
    table.save(chat_log(folder, tmp_path, careful=True).load())
    found = table.load()
    assert found.filter(found.source_file == "bad.parquet", found.error.isnull()).count().execute() == 2
    assert found.count().execute() == 8
