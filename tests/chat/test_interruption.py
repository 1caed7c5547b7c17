"""Runs that end early or share a store (18, 20, 21, 22 and 28 in the list of faults): what is paid for is kept."""

import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import PROGRAM, ask_for, ledger, look, one, stored
from fault_server import Act, FaultServer, Seen, completion, fails, says

from clarilm_kedro.chat.errors import StoreUnusable

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where the fixture ``endpoint`` keeps its replies."""
    return tmp_path / "responses.sqlite"


@pytest.fixture
def start(store: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a process that asks for rows 0 to ``rows``; more lines of the program may come before."""

    def begin(url: str, *, rows: int, concurrency: int, before: str = "") -> "subprocess.Popen[str]":
        program = textwrap.dedent(before) + PROGRAM.format(
            url=url, store=str(store), rows=rows, concurrency=concurrency
        )
        return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)

    return begin


def wait_for(server: FaultServer, requests: int, run: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while len(server.seen) < requests and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def complete(model, rows: int) -> None:
    """Ask for rows 0 to ``rows`` and check every reply."""
    results = list(model.complete([ask_for(str(number)) for number in range(rows)], stage="s"))
    assert {(each.row_id, each.text) for each in results} == {(str(n), f"echo: {n}") for n in range(rows)}
    assert len(results) == rows


def test_fault_28_interrupted_between_rows_what_is_on_its_way_is_stored(serve, endpoint, store):
    server = serve(lambda seen: Act(delay=0 if seen.number == 0 else 0.3))
    results = endpoint(server.url, concurrency=4).complete((ask_for(str(number)) for number in range(99)), stage="s")
    next(results)
    time.sleep(0.05)
    results.close()
    # Four at the start, one in the place of the one that came back.
    assert len(stored(store)) == len(server.seen) == 5
    assert ledger(store) == {"ok": 5}


def test_fault_28_interrupted_while_a_retry_waits_nothing_more_is_sent(serve, endpoint):
    server = serve([Act(), fails(429, retry_after="60")])
    results = endpoint(server.url, concurrency=2).complete(map(ask_for, "abcdefgh"), stage="s")
    next(results)
    while len(server.seen) < 2:
        time.sleep(0.01)
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 5
    assert len(server.seen) <= 3


def test_fault_28_a_stalled_request_is_left_when_draining_takes_too_long(serve, endpoint, store, monkeypatch):
    monkeypatch.setattr("clarilm_kedro.chat.runner._DRAIN_SECONDS", 0.2)
    server = serve([Act(), Act(fault="stall")])
    model = endpoint(server.url, concurrency=2, timeout=60.0)
    results = model.complete(map(ask_for, "ab"), stage="s")
    next(results)
    started = time.monotonic()
    results.close()
    assert 0.2 <= time.monotonic() - started < 5
    # The provider may bill what was left; the next run says so.
    assert ledger(store) == {"ok": 1, None: 1}
    model.close()
    one(endpoint(server.url), ask_for("c"))
    assert ledger(store) == {"ok": 2, "lost": 1}


@posix
@pytest.mark.parametrize(("end", "code"), [("SIGINT", -signal.SIGINT), ("SIGTERM", 128 + signal.SIGTERM)])
def test_fault_28_a_signal_drains_and_commits(serve, endpoint, store, start, end, code):
    server = serve(lambda _: Act(delay=0.5))
    run = start(server.url, rows=12, concurrency=4)
    wait_for(server, 5, run)
    run.send_signal(getattr(signal, end))
    run.communicate(timeout=60)
    assert run.returncode == code
    bought = len(server.seen)
    assert 5 <= bought < 12
    assert len(stored(store)) == bought
    assert ledger(store) == {"ok": bought}
    complete(endpoint(server.url, concurrency=12), 12)
    assert len(server.seen) == 12


@posix
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_fault_18_killed_at_any_moment_only_what_was_on_its_way_is_bought_twice(serve, endpoint, store, start, seed):
    rows, concurrency = 400, 32
    draw = random.Random(seed)

    def delayed(seen: Seen) -> Act:
        return Act(delay=random.Random(f"{seed} {seen.last}").uniform(0, 0.05))

    server = serve(delayed)
    run = start(server.url, rows=rows, concurrency=concurrency)
    wait_for(server, draw.randint(1, 380), run)
    time.sleep(draw.uniform(0, 0.03))
    run.kill()
    run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL
    time.sleep(0.2)  # what had left the process before it died arrives
    bought, kept = len(server.seen), len(stored(store))
    complete(endpoint(server.url, concurrency=concurrency), rows)
    twice = len(server.seen) - rows
    lost = ledger(store)["lost"]
    # What was bought twice had left and was not committed; the ledger knows of all of it, and of no more than that.
    assert max(server.asked.values()) <= 2
    assert twice == bought - kept
    assert twice <= lost <= concurrency
    assert ledger(store) == {"ok": rows, "lost": lost}


def test_fault_20_a_torn_last_record_costs_no_more_than_itself(serve, endpoint, store, tmp_path):
    server = serve()
    model = endpoint(server.url, concurrency=1)
    complete(model, 9)
    # As after a kill: the file and its log as they are, and the end of the log half written.
    torn = tmp_path / "torn" / store.name
    torn.parent.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{store}{end}", f"{torn}{end}")
    log = Path(f"{torn}-wal")
    log.write_bytes(log.read_bytes()[:-1000])
    complete(endpoint(server.url, store=torn), 9)
    assert len(server.seen) - 9 <= 1
    assert look(torn, "pragma integrity_check") == [("ok",)]
    assert len(stored(torn)) == 9


#: Replies of some 8 kB that cannot be compressed much.
def _bulky(seen: Seen) -> Act:
    return Act(completion(f"echo: {seen.last}", noise=random.Random(seen.last).randbytes(4000).hex()), delay=0.02)


LIMITED = """
    import logging, resource
    logging.basicConfig()
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
"""
ROOM_AGAIN = """
    import clarilm_kedro.chat.store as module
    def close(store, close=module.ResponseStore.close):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        close(store)
    module.ResponseStore.close = close
"""


@posix
@pytest.mark.parametrize("room_again", [False, True], ids=["the disk stays full", "there is room again at the end"])
def test_fault_21_a_full_disk_stops_the_run_and_keeps_what_was_stored(serve, endpoint, store, start, room_again):
    server = serve(_bulky)
    # The store is given back at the end of the run, as Kedro's hooks do.
    closing = (
        "import atexit, gc\natexit.register(lambda: [m.close() for m in gc.get_objects() if type(m) is ChatEndpoint])"
    )
    before = textwrap.dedent(LIMITED) + (textwrap.dedent(ROOM_AGAIN) if room_again else "")
    before += f"from clarilm_kedro.chat.endpoint import ChatEndpoint\n{closing}\n"
    run = start(server.url, rows=400, concurrency=8, before=before)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "StoreUnusable: The response store" in said
    assert "cannot be written" in said
    assert "make room on the disk and run again" in said
    bought, kept = len(server.seen), len(stored(store))
    assert 20 < kept <= bought < 400
    if room_again:
        assert "that could not be written" in said
        assert kept == bought
    else:
        assert "answers are lost" in said
        # Nothing is sent after the first answer that cannot be kept.
        assert bought - kept <= 8
    assert look(store, "pragma integrity_check") == [("ok",)]
    complete(endpoint(server.url), 400)
    assert len(server.seen) == bought + 400 - kept


def test_fault_21_a_store_that_cannot_be_written_stops_the_run(serve, endpoint, store):
    server = serve()
    model = endpoint(server.url, concurrency=1)
    one(model, ask_for("a"))
    look(store, "drop table responses")
    look(store, "create table responses (key text)")
    look(store, "alter table responses add column body blob")
    with pytest.raises(StoreUnusable, match="cannot be written"):
        list(model.complete([ask_for(str(number)) for number in range(50)], stage="s"))
    assert len(server.seen) <= 3


def test_fault_22_a_second_run_on_a_store_refuses_and_nothing_is_bought_twice(serve, endpoint, store, start):
    server = serve(lambda _: Act(delay=0.02))
    model = endpoint(server.url, concurrency=4)
    results = model.complete([ask_for(str(number)) for number in range(30)], stage="s")
    next(results)
    run = start(server.url, rows=60, concurrency=4)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "StoreUnusable: Another run uses the response store" in said
    assert "a store of its own" in said
    assert len(list(results)) == 29
    assert len(server.seen) == 30
    model.close()
    run = start(server.url, rows=60, concurrency=4)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert set(server.asked.values()) == {1}
    assert len(stored(store)) == len(server.seen) == 60


def test_fault_22_two_runs_that_start_together_buy_nothing_twice(serve, store, start):
    server = serve(lambda _: Act(delay=0.1))
    runs = [start(server.url, rows=60, concurrency=4) for _ in range(2)]
    for run in runs:
        run.communicate(timeout=120)
    assert 0 in {run.returncode for run in runs}
    assert set(server.asked.values()) == {1}
    assert len(stored(store)) == 60


def test_a_reply_is_kept_even_if_the_row_that_asked_for_it_is_not_waited_for(serve, endpoint, store):
    server = serve([says("x")])
    results = endpoint(server.url).complete(map(ask_for, "ab"), stage="s")
    next(results)
    results.close()
    assert len(stored(store)) == len(server.seen)
