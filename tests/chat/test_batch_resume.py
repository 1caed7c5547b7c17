import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter

import pytest
from batch_asking import answers, ask_for, interrupt_while_polling, journal, ledger, rows
from batch_server import echo, fail

from clarilm_kedro.chat import batch as batch_module
from clarilm_kedro.chat.store import ResponseStore

KILLED = """
import sys
from pathlib import Path
from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.chat.types import ChatRequest, Message
url, store = sys.argv[1:]
options = ChatEndpointOptions(
    model="m-1", base_url=url, store=Path(store), mode="batch", batch_poll_seconds=0.05, batch_max_requests=2
)
def ask_for(text):
    return ChatRequest(text, (Message("system", "Be brief."), Message("user", text)))
list(ChatEndpoint(options).complete([ask_for(f"row {number}") for number in range(6)], stage="s"))
"""


@pytest.mark.parametrize("number", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("what", "when"),
    [
        ("upload", "before"),
        ("upload", "after"),
        ("create", "before"),
        ("create", "after"),
        ("look", "before"),
        ("look", "after"),
        ("content", "before"),
        ("content", "after"),
    ],
)
def test_fault_19_killed_at_any_point_nothing_is_bought_twice(provider, batches, tmp_path, what, when, number):
    server = provider()
    store = tmp_path / "responses.sqlite"
    run = None
    told: Counter[tuple[str, str]] = Counter()
    started = threading.Event()

    def on(at: str, then: str):
        told[at, then] += 1
        if (at, then) == (what, when) and told[at, then] == number:
            started.wait(10)
            os.kill(run.pid, signal.SIGKILL)
            return "drop"
        return None

    server.on = on
    run = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(store)])
    started.set()
    assert run.wait(60) == -signal.SIGKILL
    server.on = lambda *_: None
    bought = len(server.batches)
    expected = {"upload": number - 1, "create": number - (when == "before")}.get(what, 3)
    assert bought == expected
    results = answers(batches(server, batch_max_requests=2), rows(6))
    assert {row_id: result.text for row_id, result in results.items()} == {row: f"echo: {row}" for row in results}
    asked = [line["custom_id"] for shard in range(len(server.batches)) for line in server.asked(shard)]
    assert len(asked) == len(set(asked)) == 6
    assert ledger(store) == {"ok": 6}
    assert {state for _, state, *_ in journal(store)} == {"collected"}
    assert list((tmp_path / "batches").iterdir()) == []


def test_interrupted_while_answers_are_read_none_is_entered_twice(provider, batches, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_module, "_ANSWERS_PER_COMMIT", 2)
    server = provider(lambda body: fail(500) if body["messages"][-1]["content"] < "row 2" else echo(body))
    enter, entered = ResponseStore.enter, 0

    def fails_the_third_time(store, settled, also=()):
        nonlocal entered
        entered += bool(settled)
        if entered == 3:
            raise KeyboardInterrupt
        return enter(store, settled, also)

    monkeypatch.setattr(ResponseStore, "enter", fails_the_third_time)
    model = batches(server)
    with pytest.raises(KeyboardInterrupt):
        answers(model, rows(8))
    model.close()
    assert [(state, lines) for _, state, _, lines in journal(tmp_path / "responses.sqlite")] == [("created", 4)]
    monkeypatch.setattr(ResponseStore, "enter", enter)
    results = answers(batches(server), rows(8))
    assert len(results) == 8
    assert server.sizes == [8, 2, 2]
    assert ledger(tmp_path / "responses.sqlite") == {"ok": 6, "server": 6}


def test_batches_of_an_earlier_run_are_collected_first_also_where_other_rows_are_asked_for(
    provider, batches, tmp_path, caplog
):
    server = provider()
    interrupt_while_polling(server, batches(server), rows(4))
    assert "1 batches with 4 requests go on at" in caplog.text
    assert "collects them before it buys anything" in caplog.text
    server.looks, server.calls = 1, []
    results = answers(batches(server), [ask_for("row 0"), ask_for("other")], stage="t")
    assert (results["row 0"].status, results["other"].status) == ("ok", "ok")
    assert server.sizes == [4, 1]
    assert server.calls.index("content") < server.calls.index("create")
    with sqlite3.connect(tmp_path / "responses.sqlite") as connection:
        assert connection.execute("select stage, count(*) from attempts group by 1").fetchall() == [("s", 4), ("t", 1)]
