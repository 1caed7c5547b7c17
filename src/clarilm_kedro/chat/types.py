"""What goes into a chat model and what comes out of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from clarilm_kedro.chat.logprobs import TokenChoice

Role = Literal["system", "user", "assistant"]


class Kind(StrEnum):
    """What became of a request: ``ok``, or why there is no usable reply."""

    OK = "ok"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    NOT_JSON = "not_json"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    QUOTA = "quota"
    BUDGET = "budget"
    BAD_REQUEST = "bad_request"
    EMPTY = "empty"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    TRUNCATED = "truncated"
    INVALID_JSON = "invalid_json"
    INVALID_SCHEMA = "invalid_schema"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True)
class ResponseSchema:
    """The shape a reply must have.

    Attributes:
        name: Name of the task; it travels in the request as ``response_format.json_schema.name``.
        model: Pydantic model that the reply is validated with.
    """

    name: str
    model: type[BaseModel]

    def bounded_format(self, max_string: int | None, max_items: int | None) -> dict[str, Any]:
        """The request's ``response_format`` with limits on strings and lists, for servers that enforce them by grammar.

        Args:
            max_string: Characters of every string; None sets no limit.
            max_items: Entries of every list; None sets no limit.

        Returns:
            :attr:`response_format` with ``maxLength`` and ``maxItems`` added.
        """
        if max_string is None and max_items is None:
            return self.response_format
        return _bounded(self.response_format, max_string, max_items)

    @cached_property
    def response_format(self) -> dict[str, Any]:
        """The request's ``response_format`` with the strict JSON schema of the model."""
        return _response_format(self.name, self.model)


@lru_cache(maxsize=64)
def _response_format(name: str, model: type[BaseModel]) -> dict[str, Any]:
    # Built once per model: openai's own .parse() rebuilds the schema for every request, at 0.6 ms each.
    from openai import pydantic_function_tool

    schema = pydantic_function_tool(model)["function"]["parameters"]
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


def _bounded(schema: Any, max_string: int | None, max_items: int | None) -> Any:
    if isinstance(schema, list):
        return [_bounded(part, max_string, max_items) for part in schema]
    if not isinstance(schema, dict):
        return schema
    limits = {"string": ("maxLength", max_string), "array": ("maxItems", max_items)}
    kind = schema.get("type")
    name, limit = limits.get(kind, ("", None)) if isinstance(kind, str) else ("", None)
    parts = {key: _bounded(part, max_string, max_items) for key, part in schema.items()}
    return parts if limit is None else {**parts, name: limit}


@dataclass(frozen=True)
class ChatRequest:
    """One row that needs a reply.

    Attributes:
        row_id: Names the row in results and failures; unique within a stage.
        messages: The rendered prompt.
        response: Shape of the reply; ``None`` takes any text.
        sample_index: Tells several replies to the same messages apart; added to the model's seed.
        max_tokens: Overrides the model's setting.
        whole: Whether only a reply that ended by itself is one; False takes one that was cut off as it is, with
            ``finish_reason`` ``length``, instead of asking for it once more with twice the room.
        logprobs: Whether the log-probabilities of the reply's first tokens are wanted, of models that are set to give
            them (``logprobs`` of their options).
        prompt_sha: SHA-256 of the prompt template that the messages were rendered from, stored with the reply. It is no
            part of the request's key: two templates that render the same messages share their reply.
    """

    row_id: str
    messages: tuple[Message, ...]
    response: ResponseSchema | None = None
    sample_index: int = 0
    max_tokens: int | None = None
    whole: bool = True
    logprobs: bool = False
    prompt_sha: str | None = None


@dataclass(frozen=True)
class ChatResult:
    """What became of one :class:`ChatRequest`.

    Attributes:
        row_id: The request's.
        key: Key under which the store holds the reply used (after a second asking, that of the second reply).
        status: ``ok``, or ``failed`` with ``error_kind`` and ``error``.
        text: The reply without thoughts and without an enclosing code fence.
        reasoning: The model's thoughts, where it gives them.
        parsed: Instance of the request's response model; ``None`` for plain text and for failures.
        finish_reason: As served.
        prompt_tokens: As counted by the server for the reply used; ``None`` where it does not count.
        completion_tokens: Likewise.
        cost_usd: US dollars that this row cost in this call, or, if it failed, in all calls; ``None`` where the model
            has no price.
        served_model: The model name in the reply, which may be more exact than the one asked for.
        source: ``net`` if this row caused a request in this call, ``store`` if its reply was already there.
        attempts: Requests sent for this row in this call, or, if it failed, in all calls.
        error_kind: A :class:`Kind` other than ``ok``.
        error: A sentence.
        logprobs: Of the reply's first tokens, thoughts in the content included; ``None`` where none were given.
    """

    row_id: str
    key: str
    status: Literal["ok", "failed"]
    text: str = ""
    reasoning: str | None = None
    parsed: Any = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    served_model: str | None = None
    source: Literal["net", "store"] = "net"
    attempts: int = 0
    error_kind: Kind | None = None
    error: str | None = None
    logprobs: tuple[TokenChoice, ...] | None = None


class ChatModel(Protocol):
    """Anything that answers chat requests."""

    name: str

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        """Answer requests; results come in the order they are ready, one per request."""
        ...

    def close(self) -> None:
        """Give back files and threads."""
        ...
