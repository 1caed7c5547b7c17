"""Raw inputs as Kedro datasets: files of JSON, JSON lines, parquet, TSV or CSV, loaded as records and rejects."""

from typing import Any

from kedro_datasets._typing import TablePreview

from clarilm_kedro.datasets.previews import absent_table, table_preview
from clarilm_kedro.datasets.raw_input import InputError, RawInput
from clarilm_kedro.logs.reading import FORMATS, Format, iterate_records, read_records
from clarilm_kedro.logs.records import Record, Records


class RecordsDataset(RawInput[Records]):
    """An input of rows; read-only.

    Args:
        filepath: A file, a folder or a glob; null means that the input is not given, and loads as no rows.
        name: Name of the input, that of its global ``inputs.<name>``.
        format: ``auto`` (each file's first bytes decide), ``jsonl``, ``json`` (one array), ``parquet``, ``tsv``,
            ``csv`` or ``json_in_jsonl`` (lines that are JSON strings holding JSON, as CLAMBER is published).
        limit: Load the first so many rows, in file order (files sorted by name); null loads all.
        metadata: For kedro-viz and people; not used here.

    Raises:
        InputError: The format is unknown.
    """

    def __init__(
        self,
        *,
        filepath: str | None,
        name: str,
        format: Format = "auto",
        limit: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if format not in FORMATS:
            raise InputError(f"The dataset '{name}' has the format '{format}'. Known: {', '.join(FORMATS)}.")
        super().__init__(filepath, name)
        self._format = format
        self._limit = limit
        self.metadata = metadata

    def _read(self) -> Records:
        if self._filepath is None:
            return Records(self._name)
        return read_records(self._filepath, self._name, self._format, self._limit)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows in kedro-viz, long texts cut.

        Args:
            nrows: How many.

        Returns:
            Index, columns and data, as ``DataFrame.to_dict("split")`` gives them.
        """
        if not self.exists():
            return absent_table()
        rows: list[dict[str, Any]] = []
        if self._filepath is not None:
            for part in iterate_records(self._filepath, self._name, self._format):
                if len(rows) >= nrows:
                    break
                if isinstance(part, Record):
                    rows.append(part.data)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return table_preview(columns, [[row.get(key) for key in columns] for row in rows])

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "name": self._name, "format": self._format, "limit": self._limit}
