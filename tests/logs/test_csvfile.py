import io
from pathlib import Path
from typing import Any

from clarilm_kedro.logs.csvfile import read_csv
from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.logs.records import Record, Reject


def read(raw: bytes) -> tuple[list[dict[str, Any]], list[Reject]]:
    parts = list(read_csv(io.BytesIO(raw), "f.csv"))
    return [part.data for part in parts if isinstance(part, Record)], [p for p in parts if isinstance(p, Reject)]


def test_cells_may_hold_commas_quotes_and_lines() -> None:
    got, rejects = read(b'\xef\xbb\xbfid, text\r\n1,"Yes\nWhich ""one"", please?"\r\n\r\n2,\r\n')
    assert got == [{"id": "1", "text": 'Yes\nWhich "one", please?'}, {"id": "2", "text": ""}]
    assert rejects == []


def test_what_spreadsheets_of_other_countries_save() -> None:
    for separator in ",;\t":
        got, rejects = read(f'id{separator}text\n1{separator}"a, b; c"\n'.encode())
        assert (got, rejects) == ([{"id": "1", "text": "a, b; c"}], [])


def test_a_row_of_another_width_costs_itself() -> None:
    got, rejects = read(b"a,b\n1\n2,3\n4,5,6\n")
    assert got == [{"a": "2", "b": "3"}]
    assert [(each.position, each.line, each.error) for each in rejects] == [
        (0, 2, "2 cells are expected, here are 1"),
        (2, 4, "2 cells are expected, here are 3"),
    ]


def test_an_open_quote_and_other_bytes_end_the_file_with_a_reject() -> None:
    for raw in (b'a,b\n1,2\n3,"open\n5,6\n', b"a,b\n1,2\n3,\xff\n"):
        got, rejects = read(raw)
        assert len(rejects) == 1
        assert "from here on" in rejects[0].error
        assert got in ([{"a": "1", "b": "2"}], [])


def test_the_ending_names_the_format_also_where_the_header_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    for header in (b"a,b", b'"a","b"'):
        path.write_bytes(header + b"\n1,2\n")
        assert [row.data for row in read_records(str(path), "predictions").rows] == [{"a": "1", "b": "2"}]
