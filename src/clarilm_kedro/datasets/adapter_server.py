"""What decodes adapters on this machine, as a catalog entry: llama.cpp, or this process."""

from typing import Any, Literal, NoReturn

from kedro.io import AbstractDataset, DatasetError
from pydantic import ValidationError

from clarilm_kedro.datasets.chat_endpoint import close_at_the_end
from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import SettingsPreview
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapter_server import AdapterServer, AdapterServerOptions

Engine = Literal["transformers", "llama_cpp"]


class AdapterServerDataset(SettingsPreview, AbstractDataset[NoReturn, AdapterServer | None]):
    """Serves adapters by llama.cpp (extra ``embedded``), or None where transformers decodes in this process.

    ```yaml
    adapter_server:
      type: clarilm_kedro.datasets.adapter_server.AdapterServerDataset
      engine: llama_cpp
      folder: data/06_models/gguf
      log_file: data/llama_cpp.log
      store: data/responses.sqlite
    ```

    Args:
        engine: ``transformers`` or ``llama_cpp``.
        folder: Keeps the GGUF files.
        log_file: What the server has to say.
        store: SQLite file with every reply.
        metadata: Free entries for plugins such as kedro-viz.
        **options: The other fields of :class:`~clarilm_kedro.finetuning.adapter_server.AdapterServerOptions`.

    Raises:
        ClarilmError: An option is unknown or has a value it cannot have.
    """

    # The store has one writer, so Kedro's ParallelRunner must not copy the entry into other processes.
    _SINGLE_PROCESS = True

    def __init__(
        self,
        *,
        engine: Engine,
        folder: str,
        log_file: str,
        store: str,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if engine not in ("transformers", "llama_cpp"):
            raise ClarilmError(f"decoding.engine is '{engine}'; give transformers or llama_cpp.")
        paths = {"folder": in_project(folder), "log_file": in_project(log_file), "store": in_project(store)}
        try:
            checked = AdapterServerOptions.model_validate({**paths, **options})
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            said = "; ".join(f"decoding.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems)
            raise ClarilmError(f"What decodes adapters is not configured right: {said}.") from None
        self._engine = engine
        self._options = checked
        self._server = AdapterServer(checked, close_at_the_end) if engine == "llama_cpp" else None
        self.metadata = metadata

    def load(self) -> AdapterServer | None:
        """Give the server, which has started nothing yet, or None."""
        return self._server

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: a server is asked, not written.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A server of adapters cannot be saved: use it as the input of a node.")

    def _describe(self) -> dict[str, Any]:
        return {"engine": self._engine, **self._options.model_dump(mode="json", include={"weights", "folder"})}

    def _exists(self) -> bool:
        """It is there as soon as it is configured."""
        return True
