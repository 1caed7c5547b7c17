"""A cache of text pair scores as a catalog entry."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.metrics.score_cache import ScoreCache


class ScoreCacheDataset(SettingsPreview, AbstractDataset[NoReturn, ScoreCache]):
    """Scores of text pairs in a SQLite file, which nodes receive as a cache to look into and to add to.

    ```yaml
    score_cache:
      type: clarilm_kedro.datasets.score_cache.ScoreCacheDataset
      filepath: data/07_model_output/score_cache.sqlite
    ```

    Args:
        filepath: The SQLite file; relative to the Kedro project.
        metadata: Free entries for plugins such as kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(in_project(filepath))
        self.metadata = metadata

    def load(self) -> ScoreCache:
        """Give the cache, whose file need not exist yet."""
        return ScoreCache(self._filepath)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: nodes add to the cache themselves.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A score cache cannot be saved: use it as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        """A cache is there also while it is empty."""
        return True
