"""A fine-tuned adapter that a server holds, as a catalog entry; or none, and it is decoded in this process."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.datasets.chat_endpoint import ChatEndpointDataset
from clarilm_kedro.datasets.previews import SettingsPreview


class ServedAdapterDataset(SettingsPreview, AbstractDataset[NoReturn, ChatEndpoint | None]):
    """An endpoint that serves an adapter under a name of its own, or None where ``base_url`` is null.

    With vLLM: ``vllm serve BASE --enable-lora --max-lora-rank 8 --lora-modules fm-log=data/06_models/fm_log``.

    ```yaml
    fm_log_server:
      type: clarilm_kedro.datasets.served_adapter.ServedAdapterDataset
      model: fm-log
      base_url: http://127.0.0.1:8000/v1
      store: data/responses.sqlite
    ```

    Args:
        model: Name under which the server has the adapter.
        base_url: Address up to and including ``/v1``, or several of them; None decodes in this process.
        metadata: Ignored here; for kedro-viz.
        **options: See :class:`~clarilm_kedro.datasets.chat_endpoint.ChatEndpointDataset`.

    Raises:
        ClarilmError: An option is unknown or has a value it cannot have.
    """

    _SINGLE_PROCESS = True

    def __init__(
        self,
        *,
        model: str,
        base_url: str | list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.metadata = metadata
        self._model = model
        self._endpoint = ChatEndpointDataset(model=model, base_url=base_url, **options) if base_url else None

    def load(self) -> ChatEndpoint | None:
        """Give the endpoint, which has opened nothing yet, or None."""
        return self._endpoint.load() if self._endpoint else None

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: an endpoint is asked, not written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A served adapter cannot be saved: use it as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        return self._endpoint._describe() if self._endpoint else {"model": self._model, "endpoint": "in process"}

    def _exists(self) -> bool:
        """It is there as soon as it is configured."""
        return True
