"""A reply to buy, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clarilm_kedro.chat.client import Attempt
from clarilm_kedro.chat.ledger import StoredResponse
from clarilm_kedro.chat.logprobs import without_late_logprobs
from clarilm_kedro.chat.parse import text_or_none
from clarilm_kedro.chat.types import Kind
from clarilm_kedro.chat.usage import Usage


@dataclass(frozen=True, slots=True)
class Order:
    """A reply to buy.

    Attributes:
        key: The request's.
        body: The JSON body to send.
        stage: Stage that asks.
        prompt_sha: SHA-256 of the prompt template; ``None`` where the messages come from none.
    """

    key: str
    body: Mapping[str, Any]
    stage: str
    prompt_sha: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an order.

    Attributes:
        key: The order's.
        kind: ``ok`` if the reply is in the store.
        detail: A sentence where it is not.
        kinds: What became of each request sent for it, in order.
        seconds: What each of them took.
        reached: Whether any attempt reached the server.
        endpoint: Address of the last attempt.
        usage: Tokens of the reply.
        cost_usd: US dollars; ``None`` where the model has no price.
    """

    key: str
    kind: Kind
    detail: str = ""
    kinds: tuple[Kind, ...] = ()
    seconds: tuple[float, ...] = ()
    reached: bool = True
    endpoint: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None

    @property
    def attempts(self) -> int:
        """Requests sent."""
        return len(self.kinds)


def stored_response(
    key: str, model: str, stage: str, prompt_sha: str | None, attempt: Attempt, usage: Usage
) -> StoredResponse:
    """Make the row of the response store for a reply.

    Args:
        key: The request's.
        model: Model asked for.
        stage: Stage that asks.
        prompt_sha: SHA-256 of the prompt template.
        attempt: The reply.
        usage: Its tokens.

    Returns:
        The row.
    """
    completion = attempt.completion or {}
    counted = not usage.estimated
    return StoredResponse(
        key=key,
        model=model,
        served_model=text_or_none(completion.get("model")),
        stage=stage,
        prompt_sha=prompt_sha,
        body=without_late_logprobs(attempt.body, completion) if completion else attempt.body,
        prompt_tokens=usage.prompt if counted else None,
        completion_tokens=usage.completion if counted else None,
        system_fingerprint=text_or_none(completion.get("system_fingerprint")),
    )


def prompt_bytes(body: Mapping[str, Any]) -> int:
    """Count the bytes of a body's messages."""
    return sum(len(message["content"].encode()) for message in body["messages"])


def room(body: Mapping[str, Any]) -> int | None:
    """Give the tokens that a reply may have, under either of the names that OpenAI gives the parameter."""
    tokens: int | None = body.get("max_tokens") or body.get("max_completion_tokens")
    return tokens
