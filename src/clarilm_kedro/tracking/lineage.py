"""What data a run read and made, told by what is in the files and not by where they lie."""

import glob
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Data up to so many bytes is read as a whole for its digest; of more, each file's size, first and last MiB count.
READ_WHOLE = 256 * 2**20
_END = 2**20
_WEIGHTS = "adapter_model.safetensors"

# The same digest in whatever order an engine wrote the rows: Spark and a DuckDB of several threads promise none.
_ROWS = """
SELECT count(*), sum(('0x' || left(digest, 12))::BIGINT), bit_xor(('0x' || right(digest, 15))::BIGINT)
FROM (SELECT md5(CAST(rows AS VARCHAR)) AS digest FROM read_parquet(?) AS rows)
"""


@dataclass(frozen=True)
class Fingerprint:
    """What is in a file or a folder.

    Attributes:
        digest: 16 hexadecimal characters, the same for the same content.
        whole: Whether all of the content counts; see :data:`READ_WHOLE`.
        files: Number of files.
        size: Bytes.
        rows: Number of rows, where it is a table in parquet.
        columns: Column -> type, likewise.
    """

    digest: str
    whole: bool
    files: int
    size: int
    rows: int | None = None
    columns: tuple[tuple[str, str], ...] = ()


def fingerprint(path: Path) -> Fingerprint | None:
    """Look at a file or a folder.

    Args:
        path: A file, a folder with its subfolders, or a glob. Of a LoRA adapter's folder its weights count alone.

    Returns:
        What is there; None where nothing is, or it cannot be read.
    """
    try:
        files = _files(path)
        if not files:
            return None
        size = sum(file.stat().st_size for file in files)
        if all(file.suffix == ".parquet" for file in files):
            return _of_table(files, size)
        digest = _joined(_of_bytes(file, size <= READ_WHOLE) for file in files)
    except OSError:
        return None
    return Fingerprint(digest, size <= READ_WHOLE, len(files), size)


def as_mlflow(name: str, found: Fingerprint, source: str) -> Any:
    """Write a fingerprint as an MLflow dataset.

    Args:
        name: Name of the dataset in the catalog.
        found: What is in it.
        source: Where it is.

    Returns:
        ``mlflow.entities.Dataset``.
    """
    from mlflow.entities import Dataset

    profile = {"num_rows": found.rows, "files": found.files, "bytes": found.size, "digest_of_all": found.whole}
    schema = [{"name": column, "type": kind, "required": False} for column, kind in found.columns]
    return Dataset(
        name=name,
        digest=found.digest,
        source_type="local",
        source=json.dumps({"uri": source}),
        schema=json.dumps({"mlflow_colspec": schema}) if schema else None,
        profile=json.dumps({key: value for key, value in profile.items() if value is not None}),
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / _WEIGHTS).is_file():
        return [path / _WEIGHTS]
    pattern = f"{glob.escape(str(path))}/**" if path.is_dir() else str(path.expanduser())
    inside = map(Path, glob.glob(pattern, recursive=True))
    hidden = (".", "_")  # Spark marks what is not data by them
    return sorted(file for file in inside if file.is_file() and not file.name.startswith(hidden))


def _of_table(files: Sequence[Path], size: int) -> Fingerprint:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(files[0])
        n_rows = sum(pq.read_metadata(file).num_rows for file in files)
        columns = tuple((field.name, _type(field.type)) for field in schema)
        if size > READ_WHOLE:
            digest = _joined(sorted(_of_bytes(file, whole=False) for file in files))
            return Fingerprint(digest, False, len(files), size, n_rows, columns)
        content = _row_digest(files)
    except pa.ArrowException:  # parquet by its ending alone, as a damaged log may be
        digest = _joined(_of_bytes(file, size <= READ_WHOLE) for file in files)
        return Fingerprint(digest, size <= READ_WHOLE, len(files), size)
    names = [f"{field.name}:{field.type}" for field in schema]
    return Fingerprint(_joined([*names, content]), True, len(files), size, n_rows, columns)


def _row_digest(files: Sequence[Path]) -> str:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        try:
            found = connection.execute(_ROWS, [[str(file) for file in files]]).fetchone()
        except duckdb.Error:  # such as parts of differing columns
            return _joined(sorted(_of_bytes(file, whole=True) for file in files))
    return str(found)


def _of_bytes(file: Path, whole: bool) -> str:
    with file.open("rb") as stream:
        if whole:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        size = file.stat().st_size
        digest = hashlib.sha256(str(size).encode() + stream.read(_END))
        stream.seek(max(size - _END, 0))
        digest.update(stream.read(_END))
    return digest.hexdigest()


def _joined(parts: Any) -> str:
    return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()[:16]


def _type(kind: Any) -> str:
    """Name a column's type as MLflow's schemas do, where they have a name for it."""
    from pyarrow import types

    known = (
        (types.is_string, "string"),
        (types.is_large_string, "string"),
        (types.is_boolean, "boolean"),
        (types.is_int64, "long"),
        (types.is_integer, "integer"),
        (types.is_float64, "double"),
        (types.is_floating, "float"),
        (types.is_temporal, "datetime"),
    )
    return next((name for fits, name in known if fits(kind)), str(kind))
