"""Log-probabilities of a reply's first tokens, for stages that read a probability off them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Alternatives asked for per token; OpenAI and vLLM give 20 at most.
TOP_LOGPROBS = 20
# A reply of 300 tokens has 6,000 alternatives, a hundred times its text. What is decided is decided in the first words.
_KEPT_TOKENS = 32


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One token of a reply and what could have stood in its place.

    Attributes:
        token: The token, as text.
        alternatives: The likeliest tokens, as text, with their natural log-probabilities; the token itself among them.
    """

    token: str
    alternatives: Mapping[str, float]


def read_logprobs(choice: Mapping[str, Any]) -> tuple[TokenChoice, ...] | None:
    """Read the log-probabilities of a completion's choice.

    Args:
        choice: The decoded choice, with ``logprobs.content`` as OpenAI and vLLM give it.

    Returns:
        One entry per token as far as they are well-formed; None where there are none.
    """
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, Mapping) else None
    if not isinstance(content, list):
        return None
    tokens: list[TokenChoice] = []
    for entry in content:
        read = _read(entry)
        if read is None or not isinstance(entry.get("top_logprobs"), list):
            break
        others = [other for each in entry["top_logprobs"] if (other := _read(each))]
        tokens.append(TokenChoice(read[0], dict([*others, read])))
    return tuple(tokens) or None


def without_late_logprobs(body: bytes, completion: Mapping[str, Any]) -> bytes:
    """Cut the log-probabilities of all but the first tokens out of a reply before it is stored.

    Args:
        body: As received.
        completion: The same, decoded.

    Returns:
        The body; as received where it has no log-probabilities, or few.
    """
    choice = completion["choices"][0]
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, Mapping) else None
    if not isinstance(content, list) or len(content) <= _KEPT_TOKENS:
        return body
    kept = {**choice, "logprobs": {**given, "content": content[:_KEPT_TOKENS]}}
    return json.dumps({**completion, "choices": [kept]}, ensure_ascii=True).encode()


def _read(entry: Any) -> tuple[str, float] | None:
    if not isinstance(entry, Mapping):
        return None
    token, value = entry.get("token"), entry.get("logprob")
    # Servers write -9999 or null for what has no probability.
    if not isinstance(token, str) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return token, float(value)
