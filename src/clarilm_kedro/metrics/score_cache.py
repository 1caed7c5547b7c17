"""Scores of text pairs in one SQLite file, so that a pair is scored once and not once per run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from clarilm_kedro.keyed_cache import KeyedCache, cache_key

Pair = tuple[str, str]


class ScoreCache:
    """A cache of scores; the file is made when the first score is put into it.

    Args:
        path: The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cache = KeyedCache(path, "score cache")

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
        by_key = {cache_key(measure, *pair): pair for pair in pairs}
        return {by_key[key]: score for key, score in self._cache.get(by_key).items()}

    def put(self, measure: str, scores: Mapping[Pair, float]) -> None:
        """Keep scores; all of them or none.

        Args:
            measure: As for :meth:`get`.
            scores: Score by pair.

        Raises:
            ClarilmError: The file cannot be written or is not such a cache.
        """
        self._cache.put({cache_key(measure, *pair): score for pair, score in scores.items()})
