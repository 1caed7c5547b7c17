"""Reading a chat completion request: which task it sets, and the data in the marked blocks of its prompt."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clarilm_kedro.finetuning.template import DECISION

MODEL = "sample-teacher"
ANSWER_TASK, ZERO_SHOT_TASK = "answer", "zero_shot"
_ZERO_WIDTH_SPACE = "\u200b"  # prompts break chat control tokens in data with it
_BLOCK = re.compile(r"^<([a-z][a-z0-9_]*)>\n(.*?)\n?^</\1>", re.MULTILINE | re.DOTALL)


class RequestError(Exception):
    """A request that the teacher cannot answer, in the terms of OpenAI's error object.

    Args:
        message: What is wrong and what to do.
        code: A short name of the fault.
        status: The HTTP status.
        param: The request's field at fault.
    """

    def __init__(self, message: str, code: str, status: int = 400, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.param = param

    def body(self) -> dict[str, Any]:
        """Give OpenAI's error object."""
        return {
            "error": {"message": str(self), "type": "invalid_request_error", "param": self.param, "code": self.code}
        }


@dataclass(frozen=True)
class Task:
    """What a request asks for.

    Attributes:
        name: The name of the JSON schema; without one ``zero_shot`` where the system message asks for the decision line
            of the paper, else ``answer``.
        prompt: The last user message that holds data, else the last one.
        blocks: The data of its marked blocks; the last one where a name occurs twice.
        prompt_words: Words and marks in all messages, which stand in for tokens in the usage counts.
    """

    name: str
    prompt: str
    blocks: Mapping[str, str]
    prompt_words: int

    def text(self, block: str) -> str:
        """Give the text of a block.

        Raises:
            RequestError: The prompt has no such block.
        """
        if block not in self.blocks:
            raise RequestError(
                f"The task '{self.name}' reads its data from the block <{block}> of the last user message, which has "
                f"no such block. Blocks found: {', '.join(self.blocks) or 'none'}.",
                "missing_block",
                param="messages",
            )
        return self.blocks[block]

    def rows(self, block: str, *keys: str) -> list[dict[str, Any]]:
        """Give the JSON objects of a block, one per line.

        Args:
            block: The block's name.
            *keys: Keys that every object must have.

        Raises:
            RequestError: The prompt has no such block, or a line of it is no JSON object with these keys.
        """
        rows = []
        for line in self.text(block).split("\n"):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                row = None
            if not isinstance(row, dict) or not row.keys() >= set(keys):
                with_keys = f" with {', '.join(keys)}" if keys else ""
                raise RequestError(
                    f"A line of the block <{block}> is no JSON object{with_keys}: {line[:80]!r}.", "bad_block"
                )
            rows.append(row)
        return rows

    def number(self, block: str) -> int:
        """Give the whole number in a block.

        Raises:
            RequestError: The prompt has no such block, or it holds no whole number.
        """
        text = self.text(block).strip()
        if not text.isdecimal():
            raise RequestError(f"The block <{block}> must hold a whole number, not {text[:40]!r}.", "bad_block")
        return int(text)


def read_task(request: Any) -> Task:
    """Read the body of a chat completion request.

    Args:
        request: The decoded JSON.

    Returns:
        The task.

    Raises:
        RequestError: The body is no chat completion request, or asks for what a scripted teacher cannot do.
    """
    if not isinstance(request, dict):
        raise RequestError("The request's body must be a JSON object.", "bad_request")
    if request.get("model") != MODEL:
        raise RequestError(
            f"There is no model {request.get('model')!r} here, only '{MODEL}'.", "model_not_found", 404, "model"
        )
    if request.get("stream"):
        raise RequestError("The sample teacher does not stream.", "unsupported", param="stream")
    if request.get("n") not in {None, 1}:
        raise RequestError("The sample teacher gives one choice per request.", "unsupported", param="n")
    texts = _messages(request.get("messages"))
    prompts = [text for role, text in texts if role == "user"]
    if not prompts:
        raise RequestError("The request has no user message.", "bad_request", param="messages")
    prompts = [text.replace(_ZERO_WIDTH_SPACE, "").replace("\r\n", "\n") for text in prompts]
    # A client that asks again ("that was no JSON") adds a message without data; the data then stands in an earlier one.
    prompt = next((text for text in reversed(prompts) if _BLOCK.search(text)), prompts[-1])
    name = _task_name(request.get("response_format"))
    if name == ANSWER_TASK and any(role == "system" and DECISION in text for role, text in texts):
        name = ZERO_SHOT_TASK
    return Task(
        name=name,
        prompt=prompt,
        blocks={match[1]: match[2] for match in _BLOCK.finditer(prompt)},
        prompt_words=sum(count_words(text) for _, text in texts),
    )


def count_words(text: str) -> int:
    """Count words and punctuation marks, the stand-in for tokens."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def _messages(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, list):
        raise RequestError("'messages' must be a list.", "bad_request", param="messages")
    texts = []
    for message in messages:
        if not isinstance(message, dict):
            raise RequestError("Every message must be a JSON object.", "bad_request", param="messages")
        content = message.get("content")
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
        if not isinstance(content, str):
            raise RequestError("Every message must have a text as its content.", "bad_request", param="messages")
        texts.append((str(message.get("role")), content))
    return texts


def _task_name(response_format: Any) -> str:
    if response_format is None or response_format == {"type": "text"}:
        return ANSWER_TASK
    schema = response_format.get("json_schema") if isinstance(response_format, dict) else None
    name = schema.get("name") if isinstance(schema, dict) else None
    if not isinstance(name, str):
        raise RequestError(
            "The sample teacher tells a task by the name in response_format.json_schema: use structured output of type "
            "json_schema, or none for a plain answer.",
            "unsupported",
            param="response_format",
        )
    return name
