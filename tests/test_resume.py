"""A run of a whole pipeline that is killed, then interrupted, then ends: the same tables as if nothing had happened."""

import hashlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals"),
]

#: What the rest of the project reads of ofs.
TABLES = ("questions", "facets", "annotations", "preferences")
# FM-LOG would train and decode for minutes and asks no chat model. Ten requests a second leave time to hit the run.
PARAMS = "fm_log.min_examples=100000,chat_llm.rpm=600,reasoning_llm.rpm=600"
# A shell without a terminal lets what it starts ignore Ctrl-C.
KEDRO = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from kedro.framework.cli import main
main()
"""
_SECONDS = 600.0


def start(root: Path, store: Path, pipelines: str, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", KEDRO, "run", "--env=test", f"--pipelines={pipelines}"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, f"--params=store={store},{PARAMS}"],
            cwd=root,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def finish(root: Path, store: Path, pipelines: str, log: Path) -> None:
    run = start(root, store, pipelines, log)
    assert run.wait(_SECONDS) == 0, log.read_text()


def look(store: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{store / 'responses.sqlite'}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def attempts(store: Path) -> int:
    return int(look(store, "SELECT count(*) FROM attempts")[0][0])


def stop(run: "subprocess.Popen[bytes]", number: signal.Signals, store: Path, after: int, log: Path) -> int:
    """Send a signal as soon as so many requests were sent, and give the exit code."""
    deadline = time.monotonic() + _SECONDS
    while attempts(store) < after:
        assert run.poll() is None, f"The run ended before {after} requests were sent.\n{log.read_text()}"
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)
    run.send_signal(number)
    return run.wait(_SECONDS)


def tables(store: Path) -> dict[str, str]:
    """SHA-256 of each table's file."""
    return {name: hashlib.sha256(next(store.rglob(f"{name}.parquet")).read_bytes()).hexdigest() for name in TABLES}


def test_a_pipeline_killed_and_interrupted_ends_with_the_tables_of_one_that_was_not(
    clone: Path, tmp_path: Path
) -> None:
    log = tmp_path / "run.log"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(clone, whole, "ingestion,cfd", log)
    shutil.copytree(whole, broken)
    before = attempts(whole)
    finish(clone, whole, "ofs", log)
    asked = attempts(whole) - before
    assert asked > 40

    draw = random.Random()
    first = draw.randint(1, asked // 2)
    second = draw.randint(first + 1 + asked // 4, asked - 2)
    told = f"killed after {first}, interrupted after {second} of {asked} requests"

    run = start(clone, broken, "ofs", log)
    assert stop(run, signal.SIGKILL, broken, before + first, log) == -signal.SIGKILL, told
    assert not list(broken.rglob("preferences.parquet")), told
    run = start(clone, broken, "ofs", log)
    assert stop(run, signal.SIGINT, broken, before + second, log) != 0, told
    # Drained: nothing is on its way, and what was is stored.
    assert look(broken, "SELECT count(*) FROM attempts WHERE kind IS NULL") == [(0,)], told
    assert not list(broken.rglob("preferences.parquet")), told
    finish(clone, broken, "ofs", log)

    assert tables(broken) == tables(whole), told
    replies = "SELECT key, stage, prompt_sha FROM responses ORDER BY key"
    assert look(broken, replies) == look(whole, replies), told
    # Bought twice is only what was on its way when the run was killed.
    twice = look(broken, "SELECT key FROM attempts GROUP BY key HAVING sum(kind = 'ok') > 1")
    lost = attempts(broken) - attempts(whole)
    assert (twice, look(broken, "SELECT count(*) FROM attempts WHERE kind = 'lost'")) == ([], [(lost,)]), told
