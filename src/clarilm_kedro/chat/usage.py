"""What a reply used, in tokens and in money."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Bytes of English text per token, where no server has counted yet; corrected by every counted reply.
BYTES_PER_TOKEN = 4.0
#: Tokens of a reply, where none has been seen and none asked for.
FIRST_GUESS_TOKENS = 300

# What is more than that is nonsense, which must neither use up a budget nor overflow a column.
_MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply.

    Attributes:
        prompt: Tokens sent, those from the provider's cache included.
        cached: Of these, tokens that the provider had in its cache and bills at a lower price.
        completion: Tokens received, thoughts included.
        reasoning: Of these, tokens of thoughts.
        estimated: Whether the server did not count, and bytes were.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.completion + other.completion,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
        )


def read_usage(completion: Mapping[str, Any], prompt_bytes: int) -> Usage:
    """Read the usage of a chat completion.

    Args:
        completion: The decoded body. OpenAI and vLLM put details into ``prompt_tokens_details.cached_tokens`` and
            ``completion_tokens_details.reasoning_tokens``, DeepSeek cached ones into ``prompt_cache_hit_tokens``.
        prompt_bytes: Bytes of the messages sent, for servers that count nothing.

    Returns:
        What it says; estimated where it says nothing.
    """
    given = completion.get("usage")
    if not isinstance(given, Mapping) or token_count(given.get("prompt_tokens")) is None:
        message = completion["choices"][0].get("message") or {}
        said = str(message.get("content") or "") + str(message.get("reasoning_content") or "")
        said_bytes = len(said.encode("utf-8", "replace"))
        return Usage(estimate_tokens(prompt_bytes), completion=estimate_tokens(said_bytes), estimated=True)
    prompt = token_count(given.get("prompt_tokens")) or 0
    hit = _detail(given, "prompt_tokens_details", "cached_tokens") or token_count(given.get("prompt_cache_hit_tokens"))
    return Usage(
        prompt=prompt,
        cached=min(hit or 0, prompt),
        completion=token_count(given.get("completion_tokens")) or 0,
        reasoning=_detail(given, "completion_tokens_details", "reasoning_tokens"),
    )


def estimate_tokens(n_bytes: int, bytes_per_token: float = BYTES_PER_TOKEN) -> int:
    """Estimate the tokens of a text from its bytes in UTF-8."""
    return max(1, round(n_bytes / bytes_per_token))


def token_count(value: Any) -> int | None:
    """Read a number of tokens that a server gives; ``None`` where it is none."""
    return value if isinstance(value, int) and 0 <= value < _MOST_TOKENS else None


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return (token_count(details.get(name)) or 0) if isinstance(details, Mapping) else 0
