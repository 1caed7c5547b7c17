"""The folder of downloads as a catalog entry, with the key that opens gated ones."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.download.running import DownloadFolder


class DownloadFolderDataset(SettingsPreview, AbstractDataset[NoReturn, DownloadFolder]):
    """Where the pipeline ``download`` puts its files.

    ```yaml
    download_folder:
      type: clarilm_kedro.datasets.download_folder.DownloadFolderDataset
      path: data/01_raw/downloads
      credentials: huggingface
    ```

    Args:
        path: The folder; relative to the Kedro project.
        credentials: ``{token: ...}`` (or ``api_key``) for the Hugging Face hub; without one HF_TOKEN or the login of
            ``hf auth login`` is used.
        metadata: For kedro-viz and people; not used here.
    """

    def __init__(
        self, *, path: str, credentials: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self.metadata = metadata
        given = credentials or {}
        self._folder = DownloadFolder(Path(in_project(path)), given.get("token") or given.get("api_key") or None)

    def load(self) -> DownloadFolder:
        """Give the folder; nothing is made or asked yet."""
        return self._folder

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: files are fetched into the folder, not saved.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("The folder of downloads cannot be saved: use it as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder.path)}

    def _exists(self) -> bool:
        """It is made when it is needed."""
        return True
