"""Adapters behind a llama.cpp server on this machine, exported to GGUF at their first use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions, LlamaCppOptions
from clarilm_kedro.chat.servers import stop_server
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoding import SamplingOptions
from clarilm_kedro.finetuning.gguf_export import Weights, export_gguf
from clarilm_kedro.options import Options

# transformers' order: llama.cpp's own applies the temperature last, and a cut at 5 % of the likeliest token before.
_AS_TRANSFORMERS = {"samplers": ["temperature", "top_k", "top_p"]}


class AdapterServerOptions(Options):
    """How adapters are exported and served."""

    weights: Weights = Field("f16", description="number format in the GGUF file: f32, f16 or q8_0")
    folder: Path = Field(description="keeps the GGUF files, one per base model, adapter and format")
    slots: int = Field(8, ge=1, description="requests answered at the same time")
    n_ctx: int = Field(2048, ge=256, description="tokens of prompt and reply together, per slot")
    threads: int | None = Field(None, ge=1, description="threads for generation; null takes every core")
    log_file: Path = Field(description="what the server has to say")
    store: Path = Field(description="SQLite file with every reply")
    offline: bool = Field(False, description="answer from the store alone")
    timeout: float = Field(600, gt=0, description="seconds for one reply")


class AdapterServer:
    """Gives chat models that answer with an adapter, each for the length of a ``with`` block.

    The server starts at the first request that the store cannot answer, and ends with the block, also by an error.

    Args:
        options: How adapters are exported and served.
        opened: Is told every chat model; see :func:`clarilm_kedro.datasets.chat_endpoint.close_at_the_end`.
    """

    def __init__(self, options: AdapterServerOptions, opened: Callable[[ChatEndpoint], None] = lambda _: None) -> None:
        self.options = options
        self._opened = opened

    @contextmanager
    def sampling(self, base: BaseModelSpec, adapter: Path | None, options: SamplingOptions) -> Iterator[ChatEndpoint]:
        """Draw replies as :func:`clarilm_kedro.finetuning.decoding.sample_generations` does, one request each.

        Args:
            base: The base model.
            adapter: Folder of a LoRA adapter, or None.
            options: How they are drawn; the sample index of a request is added to the seed.

        Yields:
            The chat model.

        Raises:
            ClarilmError: The adapter cannot be exported or served, or beams are asked for.
        """
        if options.num_beams > 1:
            raise ClarilmError(
                "decoding.engine is llama_cpp, which cannot combine beam search with sampling. Set num_beams to 1, or "
                "decoding.engine to transformers."
            )
        body = {**_AS_TRANSFORMERS, "top_k": options.top_k}
        with self._serve(
            base,
            adapter,
            seed=options.seed,
            temperature=options.temperature,
            top_p=options.top_p,
            max_tokens=options.max_new_tokens,
            extra_body=body,
        ) as model:
            yield model

    @contextmanager
    def greedy(self, base: BaseModelSpec, adapter: Path | None, max_new_tokens: int) -> Iterator[ChatEndpoint]:
        """Take the likeliest token every time.

        Args:
            base: The base model.
            adapter: Folder of a LoRA adapter, or None.
            max_new_tokens: Length limit.

        Yields:
            The chat model.

        Raises:
            ClarilmError: The adapter cannot be exported or served.
        """
        with self._serve(base, adapter, temperature=0.0, max_tokens=max_new_tokens) as model:
            yield model

    @contextmanager
    def drawing(
        self, base: BaseModelSpec, adapter: Path | None, max_new_tokens: int, *, temperature: float, top_p: float
    ) -> Iterator[ChatEndpoint]:
        """Draw replies from the likeliest tokens up to a mass, however many these are.

        Args:
            base: The base model.
            adapter: Folder of a LoRA adapter, or None.
            max_new_tokens: Length limit.
            temperature: Above 0.
            top_p: The mass.

        Yields:
            The chat model; the seed of a request is its sample index.

        Raises:
            ClarilmError: The adapter cannot be exported or served.
        """
        body = {"samplers": ["temperature", "top_p"]}
        with self._serve(
            base,
            adapter,
            seed=0,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_new_tokens,
            extra_body=body,
        ) as model:
            yield model

    @contextmanager
    def _serve(self, base: BaseModelSpec, adapter: Path | None, **asking: Any) -> Iterator[ChatEndpoint]:
        options = self.options
        file = export_gguf(base, adapter, options.weights, options.folder)
        server = LlamaCppOptions(
            kind="llama_cpp",
            gguf=str(file),
            slots=options.slots,
            n_ctx=options.n_ctx,
            threads=options.threads,
            log_file=options.log_file,
        )
        model = ChatEndpoint(
            ChatEndpointOptions(
                model=file.stem,
                server=server,
                structured="none",
                concurrency=options.slots,
                timeout=options.timeout,
                offline=options.offline,
                store=options.store,
                **asking,
            )
        )
        self._opened(model)
        try:
            yield model
        finally:
            model.close()
            stop_server(server)
