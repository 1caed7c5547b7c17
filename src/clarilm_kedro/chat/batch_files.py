"""Requests and answers of batches on disk, in the format of the OpenAI Batch API, which ``vllm run-batch`` takes too.

A line asks ``{"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": {...}}`` and is answered by
``{"custom_id": key, "response": {"status_code": 200, "body": {...}}, "error": null}``, in any order.
"""

import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clarilm_kedro.chat.client import Attempt, read_answer, read_refusal
from clarilm_kedro.chat.orders import prompt_bytes, room
from clarilm_kedro.chat.secrets import without_secret
from clarilm_kedro.chat.types import Kind
from clarilm_kedro.chat.usage import FIRST_GUESS_TOKENS, Usage, estimate_tokens

logger = logging.getLogger(__name__)

#: Where each request of a batch goes.
URL: Final = "/v1/chat/completions"
_LINES = """
CREATE TABLE lines (key TEXT PRIMARY KEY, prompt_sha TEXT, line BLOB, prompt_tokens INTEGER, reply_tokens INTEGER)
"""
_BOUGHT = """
CREATE TABLE bought (key TEXT PRIMARY KEY, attempts INTEGER, cost REAL, row_id TEXT, invalid INTEGER DEFAULT 0)
"""
_ADD_BOUGHT = """
INSERT INTO bought (key, attempts, cost) VALUES (?, 1, ?)
ON CONFLICT (key) DO UPDATE SET attempts = attempts + 1,
    cost = CASE WHEN excluded.cost IS NULL THEN cost ELSE coalesce(cost, 0) + excluded.cost END
"""
# What an answer without a status says; see the guide of the Batch API on expired batches.
_UNSENT = frozenset({"batch_expired", "batch_cancelled"})


@dataclass(frozen=True, slots=True)
class Line:
    """A request in the spool.

    Attributes:
        key: The request's.
        prompt_sha: SHA-256 of its prompt template; ``None`` where it comes from none.
        content: The line as it goes into a file.
        usage: Tokens, as estimated.
    """

    key: str
    prompt_sha: str | None
    content: bytes
    usage: Usage


class Spool:
    """Requests to buy and what was bought in this call, in a file of SQLite's own that vanishes with the process."""

    def __init__(self) -> None:
        # An empty name is a database on disk that no other process sees.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(_LINES)
        self._database.execute(_BOUGHT)
        self._any_bought = False

    def add(self, key: str, body: Mapping[str, Any], prompt_sha: str | None = None) -> None:
        """Take a request; one whose key is there already changes nothing."""
        # The order of the fields is kept: a model writes the fields of a schema in the order it is given.
        line = json.dumps({"custom_id": key, "method": "POST", "url": URL, "body": body}, separators=(",", ":"))
        tokens = estimate_tokens(prompt_bytes(body)), room(body) or FIRST_GUESS_TOKENS
        row = (key, prompt_sha, line.encode(), *tokens)
        self._database.execute("INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?, ?)", row)

    def __len__(self) -> int:
        (number,) = self._database.execute("SELECT count(*) FROM lines").fetchone()
        return int(number)

    def lines(self) -> "Iterator[Line]":
        """Give every request, ordered by prompt template and key."""
        for key, sha, line, prompt, reply in self._database.execute("SELECT * FROM lines ORDER BY prompt_sha, key"):
            yield Line(key, sha, line, Usage(prompt=prompt, completion=reply))

    def clear(self) -> None:
        """Forget the requests."""
        self._database.execute("DELETE FROM lines")

    def note_bought(self, bought: Sequence[tuple[str, float | None]]) -> None:
        """Note requests that were answered in this call, with what they cost."""
        self._any_bought = self._any_bought or bool(bought)
        self._database.executemany(_ADD_BOUGHT, bought)

    def bought_for(self, key: str, row_id: str) -> tuple[int, float | None]:
        """Say what a request took in this call: attempts and cost, for the first row that asks, 0 for the others."""
        if not self._any_bought:
            return 0, None
        self._database.execute("UPDATE bought SET row_id = coalesce(row_id, ?) WHERE key = ?", (row_id, key))
        found = self._database.execute("SELECT attempts, cost FROM bought WHERE key = ? AND row_id = ?", (key, row_id))
        return found.fetchone() or (0, None)

    def first_invalid(self, key: str) -> bool:
        """Say whether a reply, found to be invalid, was bought in this call and not found before."""
        changed = self._database.execute("UPDATE bought SET invalid = 1 WHERE key = ? AND invalid = 0", (key,))
        return changed.rowcount > 0

    def close(self) -> None:
        """Delete everything."""
        self._database.close()


@dataclass(frozen=True, slots=True)
class Cut:
    """A file of requests that is not journalled yet.

    Attributes:
        path: Where it is.
        content_sha: SHA-256 of its content.
        prompt_sha: SHA-256 of the prompt template of all its requests.
        n_requests: Its lines.
        usage: Tokens, as estimated.
    """

    path: Path
    content_sha: str
    prompt_sha: str | None
    n_requests: int
    usage: Usage


def cut(
    spool: Spool, folder: Path, *, max_requests: int, max_bytes: int, wanted: Callable[[str], bool]
) -> Iterator[Cut]:
    """Cut requests into files; the same requests are cut the same way, in whatever order they came.

    A file holds requests of one prompt template, so that the journal can name it: what the provider gets does not.

    Args:
        spool: The requests.
        folder: Where the files go, one at a time: the next one is written when it is asked for.
        max_requests: Lines per file.
        max_bytes: Bytes per file; a line longer than that has a file of its own.
        wanted: Says by key whether a request is still to be bought.

    Yields:
        The files, with temporary names.
    """
    lines = (line for line in spool.lines() if wanted(line.key))
    waiting = next(lines, None)
    number = 0
    while waiting:
        path = folder / f"{number}.part"
        number += 1
        digest, size, n_requests, usage, prompt_sha = hashlib.sha256(), 0, 0, Usage(), waiting.prompt_sha
        with path.open("wb") as file:
            while (
                waiting
                and waiting.prompt_sha == prompt_sha
                and n_requests < max_requests
                and (not size or size + len(waiting.content) + 1 <= max_bytes)
            ):
                line = waiting.content + b"\n"
                file.write(line)
                digest.update(line)
                size += len(line)
                n_requests += 1
                usage += waiting.usage
                waiting = next(lines, None)
            # The journal, which is on disk at once, must not name requests that a power cut took away.
            file.flush()
            os.fsync(file.fileno())
        yield Cut(path, digest.hexdigest(), prompt_sha, n_requests, usage)


def read_requests(path: Path) -> dict[str, int]:
    """Read what a file of requests asks: bytes of the messages by key; bodies are not kept."""
    asked: dict[str, int] = {}
    with path.open("rb") as file:
        for raw in file:
            line = json.loads(raw)
            asked[line["custom_id"]] = prompt_bytes(line["body"])
    return asked


@dataclass(frozen=True, slots=True)
class Answer:
    """A line of an answer file.

    Attributes:
        number: Lines read up to and including this one, over all files.
        key: The request's; ``None`` for a line that is no answer.
        attempt: What became of the request.
    """

    number: int
    key: str | None
    attempt: Attempt


def read_answers(paths: Sequence[Path], secret: str | None) -> Iterator[Answer]:
    """Read answer files line by line.

    Args:
        paths: The files: answers, errors.
        secret: Cut out of everything.

    Yields:
        Every line. One that is no answer is logged; a last line of a file that is cut short is left for the next
        reading.
    """
    number = 0
    for path in paths:
        with path.open("rb") as file:
            for raw in file:
                line = _decode(without_secret(raw, secret))
                if line is None and not raw.endswith(b"\n"):
                    logger.warning("%s ends within a line.", path)
                    break
                number += 1
                if line is None:
                    logger.warning("Line %d of the answers in %s is no answer and is skipped.", number, path)
                    yield Answer(number, None, Attempt(Kind.NOT_JSON))
                else:
                    yield Answer(number, line["custom_id"], _attempt(line))


def _decode(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    key = line.get("custom_id") if isinstance(line, dict) else None
    return line if isinstance(key, str) and key.isascii() else None


def _attempt(line: Mapping[str, Any]) -> Attempt:
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, Mapping):
        code = error.get("code") if isinstance(error, Mapping) else None
        if isinstance(code, str) and code in _UNSENT:
            return Attempt(Kind.TIMEOUT, "The batch ended before this request was sent.")
        return read_refusal(500, json.dumps(error).encode(), {})
    status = response.get("status_code")
    body = response.get("body")
    if status == 200:
        return read_answer(json.dumps(body).encode())
    # vLLM puts the explanation beside the response; a status of 0 has been seen for requests that got no answer.
    explained = json.dumps(error if body is None else body).encode()
    return read_refusal(status if isinstance(status, int) and status >= 400 else 500, explained, {})
