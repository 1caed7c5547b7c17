"""From the body of a chat completion to text, thoughts and a validated object: pure functions, repeatable."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, Self, TypeVar

from pydantic import BaseModel, ValidationError

from clarilm_kedro.chat.logprobs import TokenChoice, read_logprobs
from clarilm_kedro.chat.prompts import well_formed
from clarilm_kedro.chat.types import Kind
from clarilm_kedro.chat.usage import token_count

Parsed = TypeVar("Parsed", bound=BaseModel)

_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)
_MAX_REPORTED_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """A chat completion, read.

    Attributes:
        kind: ``ok``, ``empty``, ``refusal``, ``content_filter`` or ``truncated``.
        text: The content without thoughts.
        reasoning: The thoughts, from ``reasoning_content``, ``reasoning`` or a ``<think>`` block.
        finish_reason: As served.
        prompt_tokens: As counted by the server, if it counts.
        completion_tokens: Likewise.
        served_model: The model name in the reply.
        error: A sentence where ``kind`` is not ``ok``.
        logprobs: Of the first tokens of the content, where they were asked for and given.
    """

    kind: Kind
    text: str
    reasoning: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    served_model: str | None
    error: str | None
    logprobs: tuple[TokenChoice, ...] | None = None


class InvalidReplyError(Exception):
    """A reply that is not what the schema asks for; the message can be shown to the model."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ReadsProse(BaseModel):
    """The shape of a reply that can also be read where a model answers in prose instead of JSON."""

    @classmethod
    def from_prose(cls, text: str) -> Self | None:
        """Read a reply that is not the JSON object asked for; ``None`` where it does not hold what is needed."""
        raise NotImplementedError


def read_reply(body: bytes) -> Reply:
    """Read the stored body of a chat completion.

    Args:
        body: JSON with at least one entry in ``choices``, as the client lets through.

    Returns:
        What it says.
    """
    completion = json.loads(body)
    choice = completion["choices"][0]
    message = choice.get("message") or {}
    finish_reason = text_or_none(choice.get("finish_reason"))
    content = message.get("content")
    text, thoughts = split_thinking(well_formed(content) if isinstance(content, str) else "")
    given = message.get("reasoning_content") or message.get("reasoning")
    reasoning = well_formed(given) if isinstance(given, str) else thoughts
    refusal = message.get("refusal")
    kind, error = Kind.OK, None
    if refusal:
        kind, error = Kind.REFUSAL, f"The model refused: {well_formed(str(refusal))}"
    elif finish_reason == "content_filter":
        kind, error = Kind.CONTENT_FILTER, "The endpoint's content filter cut the reply off."
    elif finish_reason == "length":
        kind, error = Kind.TRUNCATED, "The reply was cut off at max_tokens; raise max_tokens."
    elif not text:
        kind, error = Kind.EMPTY, "The reply holds no text."
    given_usage = completion.get("usage")
    usage = given_usage if isinstance(given_usage, dict) else {}
    return Reply(
        kind=kind,
        text=text,
        reasoning=reasoning,
        finish_reason=finish_reason,
        prompt_tokens=token_count(usage.get("prompt_tokens")),
        completion_tokens=token_count(usage.get("completion_tokens")),
        served_model=text_or_none(completion.get("model")),
        error=error,
        logprobs=read_logprobs(choice),
    )


def text_or_none(value: Any) -> str | None:
    """Give a field of a body that should be a text: well-formed, or ``None`` where it is something else."""
    return well_formed(value) if isinstance(value, str) else None


def split_thinking(content: str) -> tuple[str, str | None]:
    """Take a leading ``<think>...</think>`` off a reply.

    Servers without a reasoning parser leave the block in the content; where the chat template itself opens it
    (DeepSeek-R1's does), only the closing tag is there.

    Args:
        content: The content as served.

    Returns:
        The text after the thoughts, and the thoughts or ``None``. Thoughts that never end leave no text.
    """
    stripped = content.strip()
    opened = stripped.startswith("<think>")
    head, closed, tail = stripped.partition("</think>")
    if closed and (opened or "<think>" not in head):
        return tail.strip(), head.removeprefix("<think>").strip()
    if opened:
        return "", stripped.removeprefix("<think>").strip()
    return stripped, None


def strip_fence(text: str) -> str:
    """Take a reply's JSON out of a code fence, if there is exactly one and the reply is not bare JSON."""
    if text.startswith(("{", "[")):
        return text
    fences = _FENCE.findall(text)
    return fences[0].strip() if len(fences) == 1 else text


def parse_reply(text: str, model: type[Parsed]) -> Parsed:
    """Validate a reply.

    Args:
        text: The reply without thoughts; one enclosing code fence is allowed.
        model: The shape asked for.

    Returns:
        An instance of ``model``.

    Raises:
        InvalidReplyError: Not JSON (a repeated key or ``NaN`` is not), or not of that shape; and, where the shape
            reads prose (:class:`ReadsProse`), what is wanted does not stand in it either.
    """
    try:
        return _parse_json(text, model)
    except InvalidReplyError:
        found = model.from_prose(text) if issubclass(model, ReadsProse) else None
        if found is None:
            raise
        return found


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """Find the JSON objects that stand in a text.

    Args:
        text: Prose, maybe with JSON in it.

    Yields:
        The outermost objects, in their order.
    """
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict):
                yield value
        at = text.find("{", end)


def _parse_json(text: str, model: type[Parsed]) -> Parsed:
    bare = strip_fence(text)
    try:
        value = json.loads(bare, object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidReplyError(Kind.INVALID_JSON, f"The reply is not valid JSON: {error}") from error
    if "\\ud" in bare.lower():
        value = _well_formed(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidReplyError(Kind.INVALID_SCHEMA, f"The reply has the wrong shape: {_sentences(error)}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object names the same key twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number[:20]} is no number that can be kept")
    return value


def _well_formed(value: Any) -> Any:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_well_formed(item) for item in value]
    if isinstance(value, dict):
        return {well_formed(key): _well_formed(item) for key, item in value.items()}
    return value


def _sentences(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'the reply'}: {problem['msg']}"
        for problem in problems[:_MAX_REPORTED_ERRORS]
    ]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
