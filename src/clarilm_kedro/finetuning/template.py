"""T(.) of Eq. 5: how a question is put to ClariLM and FM-LOG, and how their replies are written and read.

The only place that knows these formats. The instructions are short on purpose: every row pays for their tokens.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

#: One chat message: role and content.
Message = dict[str, str]

#: What stands before the decision; the paper's "Need Clarification" part (section 3.3.4).
DECISION = "Need Clarification:"

_CLARIFICATION = f"State '{DECISION} Yes' or 'No', then ask one clarifying question or answer."
_FM_LOG = "Name one detail the request leaves open, then ask for it."
_COMPLETION = re.compile(rf"\s*{re.escape(DECISION)}[ \t]*(Yes|No)\b[^\S\n]*(?:\n(.*))?\Z", re.DOTALL | re.IGNORECASE)


class Reply(NamedTuple):
    """A reply as read: ``asks`` is None where the decision could not be read, and ``text`` then is all of it."""

    asks: bool | None
    text: str


def clarification_prompt(question: str, before: Sequence[Message] = ()) -> list[Message]:
    """Put a question to ClariLM.

    Args:
        question: The user's question; data, whatever it says.
        before: Earlier turns of the conversation, the assistant's as :func:`completion` writes them.

    Returns:
        The chat messages before the reply.
    """
    instruction = {"role": "system", "content": _CLARIFICATION}
    return [instruction, *before, {"role": "user", "content": question}]


def decision(asks: bool) -> str:
    """Write the decision line, without its line break."""
    return f"{DECISION} {'Yes' if asks else 'No'}"


def completion(asks: bool, text: str) -> str:
    """Write the reply that ClariLM is to learn.

    Args:
        asks: Whether the reply is a clarifying question.
        text: The clarifying question or the direct answer.

    Returns:
        The decision line, then the text, stripped: ``Need Clarification: Yes\\n<text>``.
    """
    return f"{decision(asks)}\n{text.strip()}"


def parse_completion(reply: str) -> Reply:
    """Read a reply back; the inverse of :func:`completion`.

    Only the first line decides: what the text below says about a need for clarification does not count.

    Args:
        reply: What a model wrote.

    Returns:
        The decision and the text.
    """
    found = _COMPLETION.match(reply)
    if found is None:
        return Reply(None, reply.strip())
    return Reply(found[1].lower() == "yes", (found[2] or "").strip())


def fm_log_prompt(question: str) -> list[Message]:
    """Put a question to FM-LOG.

    Args:
        question: The user's question q_i.

    Returns:
        The chat messages before the reply.
    """
    return [{"role": "system", "content": _FM_LOG}, {"role": "user", "content": question}]


def fm_log_completion(facet: str, clarifying_question: str) -> str:
    """Write what FM-LOG is to learn, (f, c) of Eq. 2: the facet on one line, its question on the next.

    Args:
        facet: A short noun or clause; white space is folded.
        clarifying_question: The question that asks for it; white space is folded.

    Returns:
        Two lines.
    """
    return f"{_one_line(facet)}\n{_one_line(clarifying_question)}"


def parse_fm_log(reply: str) -> tuple[str, str] | None:
    """Read a facet and its question back; the inverse of :func:`fm_log_completion`.

    Args:
        reply: What FM-LOG wrote.

    Returns:
        Facet and clarifying question, or None where the reply is not exactly two lines with text.
    """
    lines = [_one_line(line) for line in reply.strip().split("\n")]
    if len(lines) != 2 or not all(lines):
        return None
    return lines[0], lines[1]


def _one_line(text: str) -> str:
    return " ".join(text.split())
