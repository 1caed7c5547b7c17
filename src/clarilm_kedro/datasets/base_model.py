"""The base model as a catalog entry: which one, not its weights."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.finetuning.base_model import BaseModelSpec


class BaseModelDataset(SettingsPreview, AbstractDataset[NoReturn, BaseModelSpec]):
    """Names a base model; loading it gives the specification and reads no weights.

    Args:
        source: packaged:smollm2, a GGUF file, a model folder or a Hugging Face id.
        chat_template: model, llama3, chatml, plain, or the path of a Jinja file.
        dtype: auto, float32 or bfloat16.
        cache_dir: Where a GGUF file is kept as plain weights.
        metadata: Free entries for plugins such as kedro-viz.
    """

    def __init__(
        self,
        *,
        source: str,
        chat_template: str = "model",
        dtype: str = "auto",
        cache_dir: str = "data/06_models/base_models",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._spec = BaseModelSpec.model_validate(
            {"source": source, "chat_template": chat_template, "dtype": dtype, "cache_dir": Path(in_project(cache_dir))}
        )
        self.metadata = metadata

    def load(self) -> BaseModelSpec:
        """Give the specification."""
        return self._spec

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: a base model is an input."""
        raise DatasetError("A base model is an input of the project and cannot be saved; set base_model.source.")

    def _describe(self) -> dict[str, Any]:
        return self._spec.model_dump(mode="json")
