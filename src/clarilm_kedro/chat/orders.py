"""A reply to buy, and what became of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clarilm_kedro.chat.client import Attempt
from clarilm_kedro.chat.ledger import StoredResponse
from clarilm_kedro.chat.parse import text_or_none
from clarilm_kedro.chat.types import Kind
from clarilm_kedro.chat.usage import Usage


@dataclass(frozen=True, slots=True)
class Order:
    """A reply to buy: its key, the body to send, and the stage that asks."""

    key: str
    body: Mapping[str, Any]
    stage: str


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
    key: str, model: str, stage: str, prompt: str | None, attempt: Attempt, usage: Usage
) -> StoredResponse:
    """Make the row of the response store for a reply.

    Args:
        key: The request's.
        model: Model asked for.
        stage: Stage that asks.
        prompt: SHA-256 of the system message.
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
        prompt_sha=prompt,
        body=attempt.body,
        prompt_tokens=usage.prompt if counted else None,
        completion_tokens=usage.completion if counted else None,
        system_fingerprint=text_or_none(completion.get("system_fingerprint")),
    )


def prompt_bytes(body: Mapping[str, Any]) -> int:
    """Count the bytes of a body's messages."""
    return sum(len(message["content"].encode()) for message in body["messages"])


def prompt_sha(body: Mapping[str, Any]) -> str | None:
    """Name the fixed part of a body's prompt: SHA-256 of its system message; ``None`` without one."""
    system = "".join(message["content"] for message in body["messages"] if message["role"] == "system")
    return hashlib.sha256(system.encode()).hexdigest() if system else None
