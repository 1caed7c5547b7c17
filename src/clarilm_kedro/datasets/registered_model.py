"""ClariLM in MLflow's model registry, as catalog entries: registered by saving, found by loading."""

import json
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.datasets.raw_input import InputError
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.assistant import AssistantOptions, AssistantSpec
from clarilm_kedro.options import problems_of
from clarilm_kedro.registry.package import AssistantPackage
from clarilm_kedro.registry.registering import RegistryOptions, register_assistant
from clarilm_kedro.registry.resolving import registered_assistant


class RegisteredModelDataset(SettingsPreview, AbstractDataset[AssistantPackage, dict[str, Any]]):
    """Registers an assistant under the active MLflow run, and keeps a JSON file that says as what.

    ```yaml
    registered_model:
      type: clarilm_kedro.datasets.registered_model.RegisteredModelDataset
      filepath: data/06_models/registered_model.json
      registry: {name: clarilm, alias: champion}
      assistant: {max_new_tokens: 128, batch_size: 32}
    ```

    Args:
        filepath: The JSON file.
        registry: See :class:`~clarilm_kedro.registry.registering.RegistryOptions`; a null name registers nothing.
        assistant: See :class:`~clarilm_kedro.finetuning.assistant.AssistantOptions`.
        metadata: Free entries for plugins such as kedro-viz.

    Raises:
        ClarilmError: An option is unknown or has a value it cannot have.
    """

    def __init__(
        self,
        *,
        filepath: str,
        registry: dict[str, Any],
        assistant: dict[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata
        try:
            self._registry = RegistryOptions.model_validate(registry)
            self._assistant = AssistantOptions.model_validate(assistant)
        except ValidationError as error:
            said = problems_of(error)
            raise ClarilmError(
                f"The registered model is not configured right (globals registry and assistant): {said}."
            ) from None

    def save(self, data: AssistantPackage) -> None:
        """Register the assistant.

        Raises:
            ClarilmError: The tracking server refuses.
        """
        told = register_assistant(data, self._registry, self._assistant)
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        self._filepath.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    def load(self) -> dict[str, Any]:
        """Read as what the model was registered: name, version, alias and address; or why it was not."""
        return dict(json.loads(self._filepath.read_text(encoding="utf-8")))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), **self._registry.model_dump()}


class RegisteredAssistantDataset(SettingsPreview, AbstractDataset[NoReturn, AssistantSpec | None]):
    """An assistant out of the model registry, or None where no address is given; read-only.

    Args:
        model_uri: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, or a folder with such a model; null gives None.
        cache_dir: Where a GGUF base model is kept as plain weights.
        metadata: Free entries for plugins such as kedro-viz.
    """

    def __init__(self, *, model_uri: str | None, cache_dir: str, metadata: dict[str, Any] | None = None) -> None:
        self._uri = model_uri
        self._cache_dir = Path(in_project(cache_dir))
        self.metadata = metadata

    def load(self) -> AssistantSpec | None:
        """Fetch the model's files from the tracking server of this run.

        Raises:
            InputError: There is no registry, or no such model, version or alias.
        """
        if self._uri is None:
            return None
        import mlflow

        try:
            return registered_assistant(self._uri, mlflow.get_tracking_uri(), self._cache_dir)
        except ClarilmError as error:
            raise InputError(str(error)) from error

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: models are registered through another entry.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A registered assistant cannot be saved: use it as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        return {"model_uri": self._uri}

    def _exists(self) -> bool:
        """It is there as soon as it is configured."""
        return True
