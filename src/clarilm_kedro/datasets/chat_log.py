"""A chat log as a catalog entry: files of any known dialect, loaded as one table of rows."""

from pathlib import Path
from typing import Any, ClassVar

import ibis.expr.types as ir
from kedro_datasets._typing import TablePreview
from kedro_datasets._utils import ConnectionMixin

from clarilm_kedro.datasets.ibis_parquet import connect_engine, first_rows
from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import absent_table, table_preview
from clarilm_kedro.datasets.raw_input import InputError, RawInput
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.dialects import dialect_named
from clarilm_kedro.logs.log_files import LogSource, read_log
from clarilm_kedro.logs.rows import COLUMNS


class ChatLogDataset(ConnectionMixin, RawInput[ir.Table]):
    """A chat log; read-only.

    Args:
        filepath: A file, a folder or a glob; null means that the log is not given, and loads as no rows.
        name: Name of the log, that of its global ``inputs.<name>``.
        connection: The engine, as for ``ibis.FileDataset``; equal ones are shared.
        work_dir: Folder for what has to be converted before the engine can read it.
        dialect: sharegpt, wildchat or messages; null tells it by keys and columns.
        limit: Load the first so many rows, files sorted by name; null loads all.
        careful: Read parquet row by row, so that a damaged row costs only itself; many times slower.
        metadata: For kedro-viz and people; not used here.

    Raises:
        InputError: The dialect is unknown.
    """

    _CONNECTION_GROUP: ClassVar[str] = "ibis"

    def __init__(
        self,
        *,
        filepath: str | None,
        name: str,
        connection: dict[str, Any],
        work_dir: str,
        dialect: str | None = None,
        limit: int | None = None,
        careful: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        try:
            known = None if dialect is None else dialect_named(dialect)
        except ClarilmError as error:
            raise InputError(str(error)) from None
        super().__init__(filepath, name)
        self._connection_config = connection
        self._source = LogSource(name, filepath, Path(in_project(work_dir)), known, limit, careful)
        self.metadata = metadata

    def _connect(self) -> Any:
        return connect_engine(self._connection_config)

    def _read(self) -> ir.Table:
        return read_log(self._connection, self._source)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows in kedro-viz, long texts cut.

        Args:
            nrows: How many; 0 names the columns alone.

        Returns:
            Index, columns and data, as ``DataFrame.to_dict("split")`` gives them.
        """
        if nrows == 0:  # a limit of 0 rows would still convert the file
            return table_preview(list(COLUMNS), [])
        if not self.exists() and self._filepath is not None:
            return absent_table()
        work = self._source.work.with_name(f"{self._source.work.name}_preview")
        few = LogSource(self._source.name, self._source.given, work, self._source.dialect, nrows)
        return first_rows(read_log(self._connection, few), nrows)

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "name": self._name,
            "backend": self._connection_config["backend"],
            "limit": self._source.limit,
        }
