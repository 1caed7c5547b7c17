"""Models on this machine that are evaluated beside the project's own, as one catalog entry: which ones, no weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.local_system import LocalSystem
from clarilm_kedro.options import problems_of


class LocalSystemsDataset(SettingsPreview, AbstractDataset[NoReturn, dict[str, LocalSystem]]):
    """Names models; loading it reads no weights.

    ```yaml
    local_systems:
      type: clarilm_kedro.datasets.local_systems.LocalSystemsDataset
      systems:
        llama-3-8b: {source: meta-llama/Meta-Llama-3-8B-Instruct, prompt: zero_shot}
    ```

    Args:
        systems: System name to its settings: ``source``, ``chat_template`` and ``dtype`` of
            :class:`~clarilm_kedro.finetuning.base_model.BaseModelSpec`; ``adapter``, ``prompt`` and ``threshold`` of
            :class:`~clarilm_kedro.finetuning.local_system.LocalSystem`. None leaves one out.
        cache_dir: Where a GGUF file is kept as plain weights.
        metadata: Free entries for plugins such as kedro-viz.

    Raises:
        ClarilmError: A setting is unknown or has a value it cannot have, or an adapter is not there.
    """

    def __init__(
        self,
        *,
        systems: Mapping[str, Mapping[str, Any] | None],
        cache_dir: str = "data/06_models/base_models",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._systems = {
            name: _system(name, settings, in_project(cache_dir))
            for name, settings in systems.items()
            if settings is not None
        }
        self.metadata = metadata

    def load(self) -> dict[str, LocalSystem]:
        """Give the systems by name.

        Raises:
            ClarilmError: There is no adapter where one is named.
        """
        for name, system in self._systems.items():
            if system.adapter and not (system.adapter / "adapter_config.json").is_file():
                raise ClarilmError(
                    f"Local system '{name}': there is no adapter_config.json in {system.adapter}. Give the folder of a "
                    "LoRA adapter as PEFT saves it, or null."
                )
        return dict(self._systems)

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: the systems are an input.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("Local systems are an input of the project and cannot be saved; set local_systems.")

    def _describe(self) -> dict[str, Any]:
        return {name: system.model_dump(mode="json") for name, system in self._systems.items()}

    def _exists(self) -> bool:
        """They are there as soon as they are configured."""
        return True


def _system(name: str, settings: Mapping[str, Any], cache_dir: str) -> LocalSystem:
    of_model = {key: value for key, value in settings.items() if key in BaseModelSpec.model_fields}
    others = {key: value for key, value in settings.items() if key not in of_model}
    if others.get("adapter"):
        others["adapter"] = Path(in_project(others["adapter"]))
    try:
        return LocalSystem.model_validate({"model": {"cache_dir": cache_dir, **of_model}, **others})
    except ValidationError as error:
        said = problems_of(error, "model.")
        raise ClarilmError(f"Local system '{name}' is not configured right: {said}.") from None
