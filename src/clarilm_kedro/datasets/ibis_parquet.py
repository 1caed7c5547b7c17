"""Tables of an engine (DuckDB, Spark) as parquet, written whole or not at all."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import ibis.expr.types as ir
from kedro_datasets._typing import TablePreview
from kedro_datasets.ibis import FileDataset

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import absent_table, table_preview
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.engines import connect


class IbisParquetDataset(FileDataset):
    """``ibis.FileDataset`` for parquet that replaces the old content in one step, and shows its first rows.

    DuckDB writes a file, Spark a folder of files; both appear under the path only when they are complete. An engine's
    error while the table is computed (a damaged input, a full disk) is told as a sentence.

    Args:
        filepath: Where the table is.
        connection: As for ``ibis.FileDataset``: ``backend`` and its options. Entries with equal connections share one.
        save_args: Arguments of the engine's parquet writer.
        metadata: Free entries for plugins such as kedro-viz.
    """

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        *,
        filepath: str,
        connection: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath, "parquet", connection=connection, save_args=save_args, metadata=metadata)

    def _connect(self) -> Any:
        return connect_engine(self._connection_config)

    def save(self, data: ir.Table) -> None:
        """Compute a table and write it.

        Args:
            data: Any expression of the entry's engine.

        Raises:
            ClarilmError: The engine cannot compute or write it; what was there before is still there.
        """
        path = Path(str(self._filepath))
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        _remove(partial)
        try:
            self.connection.to_parquet(data, str(partial), **self._save_args)
            _replace(partial, path)
        except Exception as error:
            _remove(partial)
            raise ClarilmError(
                f"'{path}' cannot be written; what was there before is unchanged. {_told(error)}"
            ) from error
        except BaseException:
            _remove(partial)
            raise

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows in kedro-viz, long texts cut.

        Args:
            nrows: How many.

        Returns:
            Index, columns and data, as ``DataFrame.to_dict("split")`` gives them.
        """
        return first_rows(self.load(), nrows) if self.exists() else absent_table()


def connect_engine(config: Mapping[str, Any]) -> Any:
    """Connect to the engine of a catalog entry; DuckDB's temporary files lie in the project."""
    if "temp_directory" in config:
        config = {**config, "temp_directory": in_project(config["temp_directory"])}
    return connect(config)


def first_rows(table: ir.Table, nrows: int) -> TablePreview:
    """Give the first rows of a table as kedro-viz shows them, long texts cut."""
    head = table.limit(nrows).to_pyarrow().to_pylist() if nrows else []
    columns = list(table.columns)
    return table_preview(columns, [[row[name] for name in columns] for row in head])


def _told(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if "No space left" in text or "File too large" in text:
        text += " Free some space and run again."
    elif "Parquet file" in text or "Failed to read file" in text:
        text += " With --params engine.careful=true logs are read row by row, and only what is damaged is lost."
    return f"{type(error).__name__}: {text}"


def _replace(partial: Path, path: Path) -> None:
    """Put a file or folder in the place of what is there; no folder can be renamed onto another."""
    if path.is_dir():
        old = path.with_name(f".{path.name}.old")
        _remove(old)
        path.replace(old)
        partial.replace(path)
        _remove(old)
    else:
        partial.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
