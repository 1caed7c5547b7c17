"""What the tests of the batch modes ask, and how they look into the store."""

import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from batch_server import BatchServer, fail, say
from pydantic import BaseModel

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Message, ResponseSchema

SECRET = "sk-very-secret-key-0123456789"
PRICES = "m-1: {input: 1000000, output: 0, batch_factor: 0.5, date: 2026-01-01, source: a test}\n"


class Facet(BaseModel):
    facet: str
    score: int


FACET = ResponseSchema("facets", Facet)
GOOD = '{"facet": "budget", "score": 1}'


def ask_for(text: str, *, row_id: str | None = None, response: ResponseSchema | None = None, **options) -> ChatRequest:
    return ChatRequest(row_id or text, (Message("system", "Be brief."), Message("user", text)), response, **options)


def rows(number: int) -> list[ChatRequest]:
    return [ask_for(f"row {index}") for index in range(number)]


def answers(model: ChatEndpoint, requests, stage: str = "s") -> dict[str, ChatResult]:
    return {result.row_id: result for result in model.complete(requests, stage=stage)}


def journal(store: Path) -> list[tuple]:
    with sqlite3.connect(store) as connection:
        return connection.execute(
            "select batch_id, state, n_requests, lines_read from batches order by created"
        ).fetchall()


def ledger(store: Path) -> Counter[str]:
    with sqlite3.connect(store) as connection:
        return Counter(kind for (kind,) in connection.execute("select kind from attempts"))


def mixed(body: dict) -> tuple[int, dict]:
    """Answers of every sort, the same in both modes."""
    last = body["messages"][-1]["content"]
    if "cannot be used" in last:
        return say(GOOD if "row 3" in body["messages"][1]["content"] else "still bad")
    sorts = {
        "row 1": fail(400, "odd request"),
        "row 2": say(None, refusal="I will not."),
        "row 3": say("no JSON"),
        "row 4": say("never JSON"),
        "row 5": say("half", finish_reason="length") if body.get("max_tokens") == 50 else say(GOOD),
        "row 6": say("half", finish_reason="length"),
        "row 7": say(f"<think>Hm.</think>{GOOD}"),
        "row 8": fail(400, "x", "content_filter"),
    }
    return sorts.get(last, say(GOOD))


def interrupt_while_polling(server: BatchServer, model: ChatEndpoint, requests: list[ChatRequest]) -> None:
    server.looks = 10**6
    waiting = threading.Event()
    server.on = lambda what, when: waiting.set() if what == "look" else None

    def interrupt() -> None:
        waiting.wait(10)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        answers(model, requests)
    model.close()
