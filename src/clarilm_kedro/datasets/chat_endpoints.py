"""Any number of chat models as one catalog entry, for stages that ask several of them the same."""

from collections.abc import Mapping
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.datasets.chat_endpoint import ChatEndpointDataset
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.errors import ClarilmError


class ChatEndpointsDataset(SettingsPreview, AbstractDataset[NoReturn, dict[str, ChatEndpoint]]):
    """OpenAI-compatible endpoints by name, each a :class:`~clarilm_kedro.datasets.chat_endpoint.ChatEndpointDataset`.

    ```yaml
    baseline_llms:
      type: clarilm_kedro.datasets.chat_endpoints.ChatEndpointsDataset
      store: data/responses.sqlite
      temperature: 0.5
      endpoints:
        gpt-4o: {base_url: https://api.openai.com/v1, credentials: openai}
        r1: {model: deepseek-ai/DeepSeek-R1, base_url: http://127.0.0.1:8000/v1, temperature: 0.6}
    ```

    Args:
        endpoints: Name to the settings of the endpoint: the arguments of ``ChatEndpointDataset`` but for ``store``. The
            name serves as model id where ``model`` is not given. None leaves one out, so that an environment can take
            away what the one it extends lists. May be empty.
        store: Path of the SQLite file with every reply; relative to the Kedro project.
        metadata: Ignored here; for kedro-viz.
        **shared: Settings of every endpoint that does not set them itself, such as ``prices``, ``seed``, ``offline``.

    Raises:
        ClarilmError: An endpoint's settings are no mapping, or an option is unknown or has a value it cannot have.
    """

    # The store has one writer, so Kedro's ParallelRunner must not copy the entry into other processes.
    _SINGLE_PROCESS = True

    def __init__(
        self,
        *,
        endpoints: Mapping[str, Mapping[str, Any] | None],
        store: str,
        metadata: dict[str, Any] | None = None,
        **shared: Any,
    ) -> None:
        self.metadata = metadata
        self._endpoints: dict[str, ChatEndpointDataset] = {}
        for name, settings in endpoints.items():
            if settings is None:
                continue
            if not isinstance(settings, Mapping):
                raise ClarilmError(f"The endpoint '{name}' is {settings!r}; give its settings, such as base_url.")
            if "store" in settings:
                raise ClarilmError(f"The endpoint '{name}' names a store; every endpoint of an entry has the entry's.")
            try:
                self._endpoints[name] = ChatEndpointDataset(**{"model": name, **shared, **settings, "store": store})
            except ClarilmError as error:
                raise ClarilmError(f"Endpoint '{name}': {error}") from None

    def load(self) -> dict[str, ChatEndpoint]:
        """Give the chat models by name; the same ones at every load.

        Returns:
            Chat models that have opened nothing yet, in the order they are listed.
        """
        return {name: endpoint.load() for name, endpoint in self._endpoints.items()}

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: endpoints are asked, not written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("Chat endpoints cannot be saved: use them as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        return {name: endpoint._describe() for name, endpoint in self._endpoints.items()}

    def _exists(self) -> bool:
        """They are there as soon as they are configured."""
        return True
