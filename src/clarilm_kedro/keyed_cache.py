"""Values by key in one SQLite file, so that what was computed once is not computed once per run.

A key is the SHA-256 of everything the value depends on. Deleting the file costs time and nothing else.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.text.hashing import SEPARATOR

_LOOKED_UP = 500  # placeholders of one statement


class KeyedCache:
    """A cache; its file is made when the first value is put into it.

    Args:
        path: The SQLite file.
        what: What it holds, for errors.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Any]:
        """Look keys up.

        Args:
            keys: See :func:`cache_key`.

        Returns:
            The values of the keys that are there.

        Raises:
            ClarilmError: The file is not such a cache.
        """
        if not self.path.exists():
            return {}
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, Any] = {}
        with self._opened() as connection:
            for start in range(0, len(wanted), _LOOKED_UP):
                some = wanted[start : start + _LOOKED_UP]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT key, value FROM entries WHERE key IN ({marks})", some)
                found |= {key: json.loads(value) for key, value in rows}
        return found

    def put(self, values: Mapping[bytes, Any]) -> None:
        """Keep values; all of them or none.

        Args:
            values: What can be written as JSON, by key.

        Raises:
            ClarilmError: The file cannot be written or is not such a cache.
        """
        with self._opened() as connection:
            rows = [(key, json.dumps(value)) for key, value in values.items()]
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=60)
            try:
                with connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value TEXT NOT NULL)")
                    yield connection
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise ClarilmError(
                f"The {self._what} {self.path} cannot be used: {error}. It only saves time: move it away, or make room."
            ) from error


def cache_key(*parts: str) -> bytes:
    """Hash everything that a value depends on."""
    return sha256(SEPARATOR.join(parts).encode("utf-8", "surrogatepass")).digest()
