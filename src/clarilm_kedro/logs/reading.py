"""One input, whatever files it is made of, read into records."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, Literal

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.csvfile import read_csv
from clarilm_kedro.logs.files import SourceFile, resolve_files
from clarilm_kedro.logs.jsonarray import read_json_array
from clarilm_kedro.logs.jsonlines import BOM, read_json_in_json_lines, read_json_lines
from clarilm_kedro.logs.parquet import read_parquet
from clarilm_kedro.logs.records import Record, Records, Reject
from clarilm_kedro.logs.tsv import read_tsv

logger = logging.getLogger(__name__)

Format = Literal["auto", "jsonl", "json", "parquet", "tsv", "csv", "json_in_jsonl"]
FORMATS: tuple[Format, ...] = ("auto", "jsonl", "json", "parquet", "tsv", "csv", "json_in_jsonl")
#: Keys of which a row of any log, question set or table of predictions has one.
ROW_KEYS = ("conversations", "conversation", "messages", "question", "task", "persona", "item_id")
_READERS: dict[str, Callable[[BinaryIO, str], Iterator[Record | Reject]]] = {
    "json": partial(read_json_array, marks=ROW_KEYS),
    "jsonl": read_json_lines,
    "tsv": read_tsv,
    "csv": read_csv,
}
_SNIFFED_BYTES = 4096
_BY_SUFFIX: dict[str, Format] = {
    ".parquet": "parquet",
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}


def read_records(given: str, name: str, form: Format = "auto", limit: int | None = None) -> Records:
    """Read an input into memory; the files themselves are streamed.

    Args:
        given: A file, a folder or a glob (:func:`clarilm_kedro.logs.files.resolve_files`).
        name: Name of the input.
        form: How the files are written; ``auto`` looks at the first bytes of each.
        limit: Read the first so many rows in file order and stop; null reads all.

    Returns:
        Records and rejects.

    Raises:
        ClarilmError: There is nothing to read, or a file's format cannot be told.
    """
    records = Records(name)
    for part in iterate_records(given, name, form):
        if limit is not None and len(records.rows) >= limit:
            logger.info("%s: stopped after the first %d rows, as limited.", name, limit)
            break
        if isinstance(part, Record):
            records.rows.append(part)
        else:
            records.rejects.append(part)
    if records.rejects:
        first = records.rejects[0]
        logger.warning(
            "%s: %d of %d rows cannot be read; the first: %s: %s",
            name,
            len(records.rejects),
            len(records.rejects) + len(records.rows),
            first.where,
            first.error,
        )
    return records


def iterate_records(given: str, name: str, form: Format = "auto") -> Iterator[Record | Reject]:
    """Read an input row by row; arguments and errors as for :func:`read_records`."""
    for file in resolve_files(given, name):
        yield from _read_file(file, name, form)


def _read_file(file: SourceFile, name: str, form: Format) -> Iterator[Record | Reject]:
    try:
        with file.path.open("rb") as stream:
            start = stream.read(_SNIFFED_BYTES).removeprefix(BOM).lstrip()
            if not start:
                yield Reject(file.name, 0, "the file is empty")
                return
            if form == "auto" or (form == "json" and not start.startswith(b"[")):
                form = sniff(start, file, name)
            stream.seek(0)
            if form == "parquet":
                yield from read_parquet(file.path, file.name)
            elif form == "json_in_jsonl":
                plain: list[int] = []
                yield from read_json_in_json_lines(stream, file.name, plain)
                if plain:
                    logger.warning(
                        "%s: %d lines of '%s' are plain JSON where a JSON string holding JSON is expected; they were "
                        "read all the same. The first is line %d.",
                        name,
                        len(plain),
                        file.name,
                        plain[0],
                    )
            else:
                yield from _READERS[form](stream, file.name)
    except OSError as error:
        raise ClarilmError(f"'{file.path}' (inputs.{name}) cannot be read: {error}.") from error


def sniff(start: bytes, file: SourceFile, name: str) -> Format:
    """Tell a file's format from its first bytes; its ending decides where they do not.

    Args:
        start: The first bytes, without white space in front.
        file: The file.
        name: Name of the input, for the message.

    Returns:
        The format.

    Raises:
        ClarilmError: Neither the content nor the ending tells.
    """
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"["):
        return "json"
    if start.startswith(b"{"):
        return "jsonl"
    suffix = file.path.suffix.lower()
    if start.startswith(b'"') and suffix not in (".tsv", ".csv"):
        return "json_in_jsonl"
    header = start.split(b"\n", 1)[0]
    if suffix in _BY_SUFFIX and not (suffix == ".csv" and b"\t" in header and b"," not in header):
        return _BY_SUFFIX[suffix]
    if b"\t" in header:
        return "tsv"
    raise ClarilmError(
        f"'{file.path}' (inputs.{name}) is neither JSON, JSON lines, parquet, TSV nor CSV; it begins {start[:40]!r}."
    )
