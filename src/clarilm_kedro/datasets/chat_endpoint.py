"""A chat model as a catalog entry."""

from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions, LlamaCppOptions
from clarilm_kedro.chat.servers import stop_servers
from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.options import problems_of

# Options of servers that are paths.
_PATHS = frozenset({"world_dir", "gguf", "log_file"})

_loaded: list[ChatEndpoint] = []


class ChatEndpointDataset(SettingsPreview, AbstractDataset[NoReturn, ChatEndpoint]):
    """An OpenAI-compatible endpoint that nodes receive as a :class:`~clarilm_kedro.chat.endpoint.ChatEndpoint`.

    Loading does nothing heavy: the store is opened at the first request, and the server started or the endpoint
    contacted at the first request that the store cannot answer.

    ```yaml
    chat_llm:
      type: clarilm_kedro.datasets.chat_endpoint.ChatEndpointDataset
      model: gpt-4o
      base_url: https://api.openai.com/v1
      credentials: openai
      store: data/responses.sqlite
    ```

    Args:
        model: Model id as the endpoint knows it.
        store: Path of the SQLite file with every reply; relative to the Kedro project.
        base_url: Address up to and including ``/v1``, or several of them; ``None`` where ``server`` is given.
        server: Server that the project starts itself: ``{kind: sample, world_dir: ...}`` or ``{kind: llama_cpp, ...}``.
        credentials: ``{api_key: ...}``; endpoints on this machine need none.
        metadata: Ignored here; for kedro-viz.
        **options: The other fields of :class:`~clarilm_kedro.chat.options.ChatEndpointOptions`.

    Raises:
        ClarilmError: An option is unknown or has a value it cannot have.
    """

    # The store has one writer, so Kedro's ParallelRunner must not copy the entry into other processes.
    _SINGLE_PROCESS = True

    def __init__(
        self,
        *,
        model: str,
        store: str,
        base_url: str | list[str] | None = None,
        server: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.metadata = metadata
        if server:
            if server.get("kind") == "llama_cpp":
                server = {"log_file": str(LlamaCppOptions.model_fields["log_file"].default), **server}
            server = server | {name: in_project(server[name]) for name in _PATHS & server.keys()}
        if prices := options.get("prices"):
            options["prices"] = in_project(prices)
        where = {"store": in_project(store), "base_url": base_url, "server": server}
        try:
            self._options = ChatEndpointOptions.model_validate({"model": model, **where, **options})
        except ValidationError as error:
            raise ClarilmError(_sentence(model, error)) from None
        self._chat_model = ChatEndpoint(self._options, (credentials or {}).get("api_key"))

    def load(self) -> ChatEndpoint:
        """Give the chat model; the same one at every load.

        Returns:
            A chat model that has opened nothing yet.
        """
        close_at_the_end(self._chat_model)
        return self._chat_model

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: an endpoint is asked, not written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A chat endpoint cannot be saved: use it as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        where = self._options.server or self._options.base_url
        return {"model": self._options.model, "endpoint": str(where), "store": str(self._options.store)}

    def _exists(self) -> bool:
        """An endpoint is there as soon as it is configured; whether it answers shows at the first request."""
        return True


def close_at_the_end(model: ChatEndpoint) -> None:
    """Have a chat model closed, and its statistics collected, by :func:`close_chat_models`."""
    if not any(each is model for each in _loaded):
        _loaded.append(model)


def close_chat_models() -> list[dict[str, Any]]:
    """Close every chat model that was loaded since the last call, and stop the servers the project started.

    Returns:
        One dictionary per chat model and stage; see :class:`~clarilm_kedro.chat.stats.StageStats` for the keys.
    """
    collected: list[dict[str, Any]] = []
    while _loaded:
        model = _loaded.pop(0)
        model.close()
        collected += [stage.as_dict() for stage in model.stats.values()]
        model.stats.clear()
    stop_servers()
    return collected


def _sentence(model: str, error: ValidationError) -> str:
    return f"The chat model '{model}' is not configured right: {problems_of(error)}."
