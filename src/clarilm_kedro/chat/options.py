"""Options of a chat endpoint and of the servers the project can start itself."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from clarilm_kedro.options import Options

# What the client itself decides: a stream or a second choice would not be read.
_OWN_FIELDS = frozenset({"model", "messages", "stream", "n"})


class SampleServerOptions(Options):
    """The scripted teacher, which answers the project's prompts from the sample world."""

    kind: Literal["sample"]
    world_dir: Path = Field(description="folder of the sample world")


class LlamaCppOptions(Options):
    """A llama.cpp server (package xllamacpp)."""

    kind: Literal["llama_cpp"]
    gguf: str = Field("packaged:smollm2", description="path of a GGUF file, or a packaged model")
    lora: str | None = Field(
        default=None, description="path of a LoRA adapter as a GGUF file, put on the model as it runs"
    )
    slots: int = Field(4, ge=1, description="requests answered at the same time")
    n_ctx: int = Field(4096, ge=256, description="tokens of prompt and reply together, per slot")
    threads: int | None = Field(None, ge=1, description="threads for generation; null takes every core")
    log_file: Path = Field(Path("data/llama_cpp.log"), description="what the server has to say")


ServerOptions = Annotated[SampleServerOptions | LlamaCppOptions, Field(discriminator="kind")]


class ChatEndpointOptions(Options):
    """A chat model behind an OpenAI-compatible endpoint."""

    model: str = Field(min_length=1, description="model id as the endpoint knows it")
    base_url: str | tuple[str, ...] | None = Field(
        None,
        description="address up to and including /v1; a list of servers of the same model shares the requests; null "
        "where a server is given",
    )
    server: ServerOptions | None = Field(None, description="server that the project starts itself")
    structured: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema",
        description="what the endpoint can enforce; the reply is validated in any case, so without json_schema the "
        "prompt must describe the reply",
    )
    max_string: int | None = Field(
        None,
        ge=1,
        description="characters of every string in a JSON reply, for servers with a grammar (llama.cpp, vLLM): a small "
        "model that does not stop is held to the shape; OpenAI refuses such a schema",
    )
    max_items: int | None = Field(None, ge=1, description="entries of every list in a JSON reply; likewise")
    temperature: float | None = Field(None, ge=0, description="null leaves it to the endpoint")
    top_p: float | None = Field(None, gt=0, le=1, description="null leaves it to the endpoint")
    max_tokens: int | None = Field(None, ge=1, description="tokens per reply; null leaves it to the endpoint")
    seed: int | None = Field(None, description="sent with the sample index added; null sends none")
    logprobs: bool = Field(
        False, description="whether it gives log-probabilities; asked for only where a stage reads them, as for P(ask)"
    )
    extra_body: dict[str, Any] = Field(default_factory=dict, description="further fields of the request body")
    # Above 256 connections in flight the cost of a request grows in every client that was measured.
    concurrency: int = Field(
        16, ge=1, le=256, description="requests at a time and endpoint; a rate limit lowers it for a while"
    )
    rpm: float | None = Field(None, gt=0, description="requests per minute and endpoint; null sets no limit")
    tpm: float | None = Field(None, gt=0, description="tokens per minute and endpoint; null sets no limit")
    longest_pause: float = Field(
        900, gt=0, description="seconds that a Retry-After may pause an endpoint; longer ones are cut to it"
    )
    timeout: float = Field(600, gt=0, description="seconds of wall clock for one attempt, keep-alives included")
    max_attempts: int = Field(
        5,
        ge=1,
        description="attempts per request; only passing troubles are tried again, and rate limits do not count",
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        description="US dollars that a run may spend on this and the other models of its store; needs a price; kept to "
        "the cent where max_tokens bounds the replies",
    )
    prices: Path | None = Field(None, description="YAML file of prices per model id; null knows none")
    mode: Literal["live", "batch", "batch_files"] = Field(
        "live",
        description="live sends every request by itself; batch buys through the Batch API of OpenAI, at its lower "
        "price and within 24 hours; batch_files writes files for `vllm run-batch` beside the store and ends the run",
    )
    batch_max_requests: int = Field(50_000, ge=1, le=50_000, description="requests per batch; OpenAI takes 50,000")
    batch_max_bytes: int = Field(
        180_000_000, ge=1, le=200_000_000, description="bytes per batch file; OpenAI takes 200 MB"
    )
    batch_poll_seconds: float = Field(60, gt=0, description="seconds between two looks at the batches on their way")
    offline: bool = Field(False, description="answer from the response store alone; a missing reply ends the run")
    store: Path = Field(description="SQLite file with every reply ever paid for")

    @field_validator("base_url")
    @classmethod
    def _are_plain_addresses(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for address in (value,) if isinstance(value, str) else value or ():
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"'{address}' is not an address such as https://api.openai.com/v1")
            if parts.username or parts.password or parts.query:
                raise ValueError("an address holds no key: give api_key in the credentials")
        return value

    @field_validator("extra_body")
    @classmethod
    def _leaves_own_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_OWN_FIELDS & set(value)):
            raise ValueError(f"{', '.join(taken)} cannot be set here")
        return value

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if bool(self.base_url) == (self.server is not None):
            raise ValueError("give exactly one of base_url and server")
        return self

    @model_validator(mode="after")
    def _batches_go_to_one_address(self) -> Self:
        if self.mode != "live" and (
            self.server or not (isinstance(self.base_url, str) or len(self.base_url or ()) == 1)
        ):
            raise ValueError(f"mode {self.mode} needs one base_url, and no server that the project starts")
        return self
