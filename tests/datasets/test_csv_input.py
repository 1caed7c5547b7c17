from pathlib import Path

import pandas as pd
import pytest

from clarilm_kedro.datasets.csv_input import CsvInputDataset
from clarilm_kedro.datasets.raw_input import InputError


def load(path: Path | str | None) -> list[dict[str, str]]:
    return [
        row.data
        for row in CsvInputDataset(filepath=None if path is None else str(path), name="human_labels").load().rows
    ]


def test_an_input_that_is_not_given_has_no_rows() -> None:
    assert load(None) == []
    assert CsvInputDataset(filepath=None, name="human_labels").exists()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_spreadsheets_save_is_read(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = tmp_path / "labels.csv"
    rows = pd.DataFrame(
        {"label_id": ["a", "b"], "reply_a": ['two\nlines, "quoted"; done', "é"], "verdict": ["A", None]}
    )
    rows.to_csv(path, index=False, sep=delimiter, encoding=encoding)
    assert load(path) == [
        {"label_id": "a", "reply_a": 'two\nlines, "quoted"; done', "verdict": "A"},
        {"label_id": "b", "reply_a": "é", "verdict": ""},
    ]


def test_short_and_long_rows_are_no_error(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label_id,verdict\na\nb,A,more,cells\n")
    assert load(path) == [{"label_id": "a", "verdict": ""}, {"label_id": "b", "verdict": "A"}]
    path.write_text("")
    assert load(path) == []


def test_several_files_by_folder_or_glob(tmp_path: Path) -> None:
    for name in ("ben", "anna"):
        (tmp_path / f"{name}.csv").write_text("label_id,verdict\n1,A\n")
    for given in (tmp_path, f"{tmp_path}/*.csv"):
        rows = CsvInputDataset(filepath=str(given), name="human_labels").load().rows
        assert [(row.source_file, row.position) for row in rows] == [("anna.csv", 0), ("ben.csv", 0)]


def test_a_file_that_is_not_there_or_no_utf_8_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no CSV file at .*none\.csv.*inputs\.human_labels"):
        load(tmp_path / "none.csv")
    path = tmp_path / "latin.csv"
    path.write_bytes("label_id,verdict\né,A\n".encode("latin-1"))
    with pytest.raises(InputError, match="CSV UTF-8"):
        load(path)
