"""A LoRA adapter and its training report as a catalog entry."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.finetuning.results import TrainedAdapter

_REPORT = "report.json"
_CONFIG = "adapter_config.json"


class AdapterDataset(SettingsPreview, AbstractDataset[TrainedAdapter, TrainedAdapter]):
    """A folder with an adapter's files, as PEFT writes them, and ``report.json``; that alone where it was skipped.

    Args:
        filepath: The folder.
        metadata: Free entries for plugins such as kedro-viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> TrainedAdapter:
        """Read the report; the adapter's weights stay on disk.

        Returns:
            The adapter with the folder as its path, or without one where training was skipped.

        Raises:
            DatasetError: The folder holds no report that can be read.
        """
        try:
            report = json.loads((self._filepath / _REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{self._filepath / _REPORT} cannot be read ({error}); train this adapter again."
            ) from error
        trained = (self._filepath / _CONFIG).is_file()
        return TrainedAdapter(self._filepath if trained else None, report)

    def save(self, data: TrainedAdapter) -> None:
        """Replace the folder as a whole: it is built beside its place and renamed.

        Args:
            data: What a training returned.
        """
        target = self._filepath.absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            new = building / "new"
            if data.path is None:
                new.mkdir()
            else:
                shutil.copytree(data.path, new)
            (new / _REPORT).write_text(json.dumps(data.report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            if target.exists():  # a folder cannot be renamed onto one that has files
                os.replace(target, building / "old")
            os.replace(new, target)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def _exists(self) -> bool:
        return (self._filepath / _REPORT).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
