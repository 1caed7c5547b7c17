"""A filled-in CSV file as an input: what a person may have saved with any spreadsheet."""

import csv
import glob
from pathlib import Path
from typing import Any

from clarilm_kedro.datasets.raw_input import InputError, RawInput
from clarilm_kedro.logs.records import Record, Records

# Spreadsheets write the separator of their user's country.
_DELIMITERS = ",;\t"


class CsvInputDataset(RawInput[Records]):
    """CSV files in UTF-8 whose first row names the columns; read-only.

    Comma, semicolon and tab separate, whichever the first row has most of.

    Args:
        filepath: A file, a folder or a glob; null means that the input is not given, and loads as no rows.
        name: Name of the input, that of its global ``inputs.<name>``.
        metadata: For kedro-viz and people; not used here.
    """

    def __init__(self, *, filepath: str | None, name: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath, name)
        self.metadata = metadata

    def _read(self) -> Records:
        records = Records(self._name)
        for path in self._files():
            records.rows.extend(_rows(path))
        return records

    def _files(self) -> list[Path]:
        if self._filepath is None:
            return []
        path = Path(self._filepath).expanduser()
        if path.is_dir():
            found = sorted(path.glob("*.csv"))
        else:
            found = [path] if path.is_file() else sorted(map(Path, glob.glob(str(path), recursive=True)))
        if not found:
            raise InputError(f"There is no CSV file at {self._filepath}, which the global inputs.{self._name} names.")
        return found

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "name": self._name}


def _rows(path: Path) -> list[Record]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            reader = csv.DictReader(file, delimiter=delimiter)
            # Cells beyond the heading have no name, and cells that a short row lacks no value.
            rows = [{key: value or "" for key, value in row.items() if key is not None} for row in reader]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not in UTF-8: save it as 'CSV UTF-8'.") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}.") from error
    return [Record(position, row, path.name) for position, row in enumerate(rows)]
