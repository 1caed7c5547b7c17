"""How the tests of the chat engine ask, and how they look into a store."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Message, ResponseSchema

#: A whole program that asks for ``rows`` rows; filled in with ``str.format``.
PROGRAM = """
import sys
from pathlib import Path
from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.chat.types import ChatRequest, Message
options = ChatEndpointOptions(
    model="m-1", base_url={url!r}, store=Path({store!r}), concurrency={concurrency}, timeout=20.0)
rows = [ChatRequest(str(n), (Message("system", "Be brief."), Message("user", str(n)))) for n in range({rows})]
model = ChatEndpoint(options, first_pause=0.01)
for result in model.complete(rows, stage="s"):
    assert result.status == "ok", result
model.close()
"""


class Facet(BaseModel):
    facet: str
    score: int = Field(ge=0)


FACET = ResponseSchema("facets", Facet)
GOOD = '{"facet": "budget", "score": 1}'


def ask_for(
    text: str, *, row_id: str | None = None, response: ResponseSchema | None = None, **more: Any
) -> ChatRequest:
    return ChatRequest(row_id or text, (Message("system", "Be brief."), Message("user", text)), response, **more)


def one(model: ChatEndpoint, request: ChatRequest) -> ChatResult:
    (result,) = model.complete([request], stage="s")
    return result


def look(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Read from a store's file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def stored(path: Path) -> list[tuple[Any, ...]]:
    return look(path, "select key, model, served_model, stage, prompt_tokens from responses")


def ledger(path: Path) -> Counter[str | None]:
    """Attempts by what became of them; None: nothing known yet."""
    return Counter(kind for (kind,) in look(path, "select kind from attempts"))
