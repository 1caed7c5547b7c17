"""Scores of text pairs in one SQLite file, so that a pair is scored once and not once per run.

A row is the SHA-256 of what was measured and both texts, and the score. Deleting the file costs time and nothing else.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.text.hashing import SEPARATOR

Pair = tuple[str, str]

_LOOKED_UP = 500  # placeholders of one statement


class ScoreCache:
    """A cache of scores; the file is made when the first score is put into it.

    Args:
        path: The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, measure: str, pairs: Iterable[Pair]) -> dict[Pair, float]:
        """Look pairs up.

        Args:
            measure: Names everything that the score depends on besides the texts.
            pairs: What to look for.

        Returns:
            The scores of the pairs that are there.

        Raises:
            ClarilmError: The file is not such a cache.
        """
        if not self.path.exists():
            return {}
        by_key = {_key(measure, pair): pair for pair in pairs}
        keys = list(by_key)
        found: dict[Pair, float] = {}
        with self._opened() as connection:
            for start in range(0, len(keys), _LOOKED_UP):
                some = keys[start : start + _LOOKED_UP]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"SELECT key, score FROM scores WHERE key IN ({marks})", some)
                found |= {by_key[key]: score for key, score in rows}
        return found

    def put(self, measure: str, scores: Mapping[Pair, float]) -> None:
        """Keep scores; all of them or none.

        Args:
            measure: As for :meth:`get`.
            scores: Score by pair.

        Raises:
            ClarilmError: The file cannot be written or is not such a cache.
        """
        with self._opened() as connection:
            rows = [(_key(measure, pair), score) for pair, score in scores.items()]
            connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=60)
            try:
                with connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score REAL NOT NULL)")
                    yield connection
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise ClarilmError(
                f"The score cache {self.path} cannot be used: {error}. It only saves time: move it away, or make room."
            ) from error


def _key(measure: str, pair: Pair) -> bytes:
    return sha256(SEPARATOR.join((measure, *pair)).encode("utf-8", "surrogatepass")).digest()
