"""Caches that nodes look into and add to, as catalog entries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from kedro.io import AbstractDataset, DatasetError

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.finetuning.reply_cache import ReplyCache
from clarilm_kedro.metrics.score_cache import ScoreCache

Cache = TypeVar("Cache")


class _CacheDataset(SettingsPreview, AbstractDataset[NoReturn, Cache], Generic[Cache]):
    _make: Callable[[Path], Cache]

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(in_project(filepath))
        self.metadata = metadata

    def load(self) -> Cache:
        """Give the cache, whose file need not exist yet."""
        return type(self)._make(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: nodes add to the cache themselves.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A cache cannot be saved: use it as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        """A cache is there also while it is empty."""
        return True


class ScoreCacheDataset(_CacheDataset[ScoreCache]):
    """Scores of text pairs in a SQLite file.

    ```yaml
    score_cache:
      type: clarilm_kedro.datasets.cache.ScoreCacheDataset
      filepath: data/07_model_output/score_cache.sqlite
    ```

    Args:
        filepath: The SQLite file; relative to the Kedro project.
        metadata: Free entries for plugins such as kedro-viz.
    """

    _make = ScoreCache


class ReplyCacheDataset(_CacheDataset[ReplyCache]):
    """Replies of an assistant in a SQLite file; arguments as for :class:`ScoreCacheDataset`."""

    _make = ReplyCache
