"""Comma separated values as records."""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from clarilm_kedro.logs.records import Record, Reject
from clarilm_kedro.logs.safe_text import safe_text

# Spreadsheets write the separator of their user's country.
_SEPARATORS = ",;\t"


def read_csv(stream: BinaryIO, source_file: str) -> Iterator[Record | Reject]:
    """Read a CSV file (RFC 4180) whose first row names the columns; a quoted cell may hold line ends.

    Commas, semicolons or tabs separate, whichever the first line has most of.

    Args:
        stream: The file, opened in binary mode.
        source_file: Its name for records and rejects.

    Yields:
        A record per row with every cell as text; a reject per row that does not fit the header, and one for the rest of
        a file that is no UTF-8 or whose quotes do not close, because nothing tells where its next row starts.
    """
    first = stream.readline()
    stream.seek(0)
    separator = max(_SEPARATORS, key=lambda each: first.count(each.encode()))
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    rows = csv.reader(text, strict=True, delimiter=separator)
    header: list[str] | None = None
    position = 0
    csv.field_size_limit(2**31 - 1)  # replies may be longer than the 128 kB that are the library's limit
    try:
        for cells in rows:
            if not cells:
                continue
            if header is None:
                header = [safe_text(cell.strip()) for cell in cells]
                continue
            if len(cells) == len(header):
                yield Record(position, dict(zip(header, map(safe_text, cells), strict=True)), source_file)
            else:
                error = f"{len(header)} cells are expected, here are {len(cells)}"
                yield Reject(source_file, position, error, rows.line_num)
            position += 1
    except (csv.Error, UnicodeDecodeError) as error:
        yield Reject(source_file, position, f"the file cannot be read from here on: {error}", rows.line_num)
    finally:
        text.detach()  # who opened the stream closes it
