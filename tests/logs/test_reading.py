import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.reading import Format, read_records

ROWS = [{"question": f"q{number}"} for number in range(3)]
LINES = "\n".join(map(json.dumps, ROWS))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(ROWS)),
        ("a.json", "\n  " + json.dumps(ROWS, indent=1)),
        ("a.json", LINES),
        ("a.jsonl", LINES),
        ("a.jsonl", json.dumps(ROWS)),
        ("a.txt", LINES),
        ("a.tsv", "question\nq0\nq1\nq2"),
        ("a.csv", "question\tx\nq0\t\nq1\t\nq2\t"),
        ("a.jsonl", "\n".join(json.dumps(json.dumps(row)) for row in ROWS)),
    ],
)
def test_the_format_is_told_by_the_content(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    records = read_records(str(tmp_path / name), "popqa")
    assert [(row.data["question"], row.position, row.source_file) for row in records.rows] == [
        (f"q{number}", number, name) for number in range(3)
    ]
    assert (records.rejects, records.name) == ([], "popqa")


@pytest.mark.parametrize(("form", "content"), [("json", LINES), ("jsonl", LINES), ("json_in_jsonl", LINES)])
def test_a_stated_format(tmp_path: Path, form: Format, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert len(read_records(str(tmp_path), "popqa", form).rows) == 3


def test_a_file_of_no_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ClarilmError, match=r"a\.bin.*inputs\.popqa.*neither JSON"):
        read_records(str(tmp_path / "a.bin"), "popqa")


def test_an_empty_file_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b" \n")
    (tmp_path / "b.parquet").write_bytes(b"")
    assert [each.error for each in read_records(str(tmp_path), "sharegpt").rejects] == ["the file is empty"] * 2


def test_files_are_read_in_order_and_the_limit_counts_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "b.jsonl").write_text(LINES)
    (tmp_path / "a.jsonl").write_text("{bad\n" + LINES)
    records = read_records(str(tmp_path), "popqa", limit=4)
    assert [(row.source_file, row.position) for row in records.rows] == [
        ("a.jsonl", 1),
        ("a.jsonl", 2),
        ("a.jsonl", 3),
        ("b.jsonl", 0),
    ]
    assert len(records.rejects) == 1
    assert "1 of 5 rows cannot be read" in caplog.text
    assert read_records(str(tmp_path), "popqa", limit=0).rows == []


def test_a_damaged_shard_costs_itself_and_a_missing_column_nothing(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    pq.write_table(pa.Table.from_pylist([{"conversation_hash": "h", "conversation": messages}]), tmp_path / "0.parquet")
    pq.write_table(pa.Table.from_pylist([{"conversation_id": "i", "conversation": messages}]), tmp_path / "2.parquet")
    (tmp_path / "1.parquet").write_bytes((tmp_path / "0.parquet").read_bytes()[:-30])
    records = read_records(str(tmp_path), "wildchat")
    assert [row.data["conversation"] for row in records.rows] == [messages, messages]
    assert [each.source_file for each in records.rejects] == ["1.parquet"]


def test_a_clamber_line_that_is_plain_json_is_read_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps(json.dumps(ROWS[0])) + "\n" + json.dumps(ROWS[1]))
    assert len(read_records(str(tmp_path / "c.jsonl"), "clamber", "json_in_jsonl").rows) == 2
    assert "1 lines of 'c.jsonl' are plain JSON" in caplog.text
    assert "line 2" in caplog.text


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("questions/ambignq_dev_light.json", 2002),
        ("questions/NQ-open.dev.jsonl", 3610),
        ("questions/popqa_neuropath_subset.tsv", 1000),
        ("questions/popqa_flashrag_subset.jsonl", 1000),
        ("personas", 1500),
        ("in3/train.jsonl", 1261),
        ("in3/test.jsonl", 108),
        ("clamber", 1200),
        ("sharegpt/sharegpt_sample.json", 605),
        ("wildchat/*.parquet", 360),
    ],
)
def test_every_real_row_is_read(real_data: Path, path: str, count: int) -> None:
    records = read_records(str(real_data / path), "any")
    assert (len(records.rows), records.rejects) == (count, [])
