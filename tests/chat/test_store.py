import sqlite3
import subprocess
import sys
import threading
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from clarilm_kedro.chat.errors import StoreUnusable
from clarilm_kedro.chat.journal import BatchJournal
from clarilm_kedro.chat.ledger import LedgerOutcome, StoredResponse
from clarilm_kedro.chat.store import ResponseStore, close_store, open_store
from clarilm_kedro.chat.store_tools import stored_prompts

#: The table as the first layout had it.
LAYOUT_1 = """
CREATE TABLE IF NOT EXISTS responses (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    served_model TEXT,
    stage TEXT NOT NULL,
    prompt_sha TEXT,
    body BLOB NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    created TEXT NOT NULL
) WITHOUT ROWID
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "responses.sqlite"


def response(key: str, body: bytes = b'{"a": 1}') -> StoredResponse:
    return StoredResponse(key, "m", None, "stage", None, body, 1, 2)


def test_what_was_put_is_found_also_by_the_next_process(path):
    store = open_store(path)
    assert store.get("k") is None
    store.put(response("k", b"\x00 any bytes")).result(5)
    assert store.get("k") == b"\x00 any bytes"
    close_store(store)
    store = open_store(path)
    assert store.get("k") == b"\x00 any bytes"
    close_store(store)


def test_the_first_reply_of_a_key_stays(path):
    store = open_store(path)
    store.put(response("k", b"first")).result(5)
    store.put(response("k", b"second")).result(5)
    assert store.get("k") == b"first"
    close_store(store)


def test_many_threads_write_and_everything_waiting_is_written_at_close(path):
    store = open_store(path)

    def write(name: int) -> None:
        for number in range(100):
            store.put(response(f"{name}-{number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close_store(store)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from responses").fetchone() == (400,)


def test_models_of_one_process_share_a_store_and_the_last_one_closes_it(path):
    first, second = open_store(path), open_store(path.parent / "." / path.name)
    assert first is second
    close_store(first)
    second.put(response("k")).result(5)
    close_store(second)
    ResponseStore(path).close()


def test_a_second_process_on_the_same_store_is_refused(path):
    store = open_store(path)
    code = f"from pathlib import Path; from clarilm_kedro.chat.store import open_store; open_store(Path({str(path)!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1
    assert "StoreUnusable: Another run uses the response store" in run.stderr
    assert str(path) in run.stderr
    close_store(store)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0


def test_a_file_that_is_no_store_is_refused_and_set_free(path):
    path.parent.mkdir()
    path.write_text("this is no database, but long enough to be looked at " * 20)
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="cannot be opened"):
            open_store(path)


def test_a_store_of_another_layout_is_refused(path):
    close_store(open_store(path))
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 9")
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="layout 9"):
            open_store(path)


def test_a_store_of_the_first_layout_is_migrated_without_loss(path):
    path.parent.mkdir()
    old = [
        (f"k{number}", "m", None, "s", "sha", zlib.compress(b"reply"), number, 2, "2026-01-01") for number in range(9)
    ]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(LAYOUT_1)
        connection.execute("pragma user_version = 1")
        connection.executemany("insert into responses values (?, ?, ?, ?, ?, ?, ?, ?, ?)", old)
        connection.commit()
    for _ in range(2):
        store = open_store(path)
        assert store.get("k3") == b"reply"
        store.put(response("new")).result(5)
        close_store(store)
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("select * from responses where key != 'new' order by key").fetchall()
        # What layouts 1 and 2 called prompt_sha was no hash of a template.
        assert kept == [(*row[:4], None, *row[5:], None) for row in old]
        assert connection.execute("select count(*) from attempts").fetchone() == (0,)
        assert connection.execute("pragma user_version").fetchone() == (3,)


def test_a_store_of_the_second_layout_keeps_replies_ledger_and_batches(path):
    close_store(open_store(path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("alter table batches drop column prompt_sha")
        connection.execute("insert into batches values ('b', 'e', 'm', 's', 'f', 'i', 'created', 3, 1, '2026-01-01')")
        connection.execute("insert into responses values ('k', 'm', null, 's', 'old', x'00', 1, 2, '2026-01-01', 'f')")
        connection.execute(
            "insert into attempts (key, stage, model, endpoint, started, kind) values (1, 2, 3, 4, 5, 6)"
        )
        connection.execute("pragma user_version = 2")
        connection.commit()
    assert [row["prompt_sha"] for row in stored_prompts(path)] == [None]
    for _ in range(2):
        store = open_store(path)
        (shard,) = BatchJournal(store, "e", "m").unfinished()
        assert (shard.batch_id, shard.lines_read, shard.prompt_sha) == ("i", 1, None)
        store.put(replace(response("new"), prompt_sha="sha")).result(5)
        close_store(store)
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("select key, prompt_sha, system_fingerprint from responses order by key").fetchall()
        assert kept == [("k", None, "f"), ("new", "sha", None)]
        assert connection.execute("select count(*) from attempts").fetchone() == (1,)


def test_a_damaged_reply_is_an_error_of_the_store(path):
    store = open_store(path)
    store.put(response("k")).result(5)
    with sqlite3.connect(path) as connection:
        connection.execute("update responses set body = x'00'")
    connection.close()
    with pytest.raises(StoreUnusable, match="cannot be read"):
        store.get("k")
    close_store(store)


def test_a_failed_commit_reaches_everyone_in_the_batch_and_the_next_may_succeed(path):
    store = open_store(path)
    other = sqlite3.connect(path)
    other.execute("create trigger full before insert on responses begin select raise(abort, 'disk is full'); end")
    other.commit()
    waiting = [store.put(response(str(number))) for number in range(3)]
    for written in waiting:
        with pytest.raises(StoreUnusable, match="disk is full"):
            written.result(5)
    other.execute("drop trigger full")
    other.commit()
    other.close()
    store.put(response("k")).result(5)
    assert store.get("k")
    close_store(store)


def test_what_could_not_be_written_is_tried_once_more_at_close(path, caplog):
    store = open_store(path)
    other = sqlite3.connect(path)
    other.execute("create trigger full before insert on responses begin select raise(abort, 'disk is full'); end")
    other.commit()
    (entry,), entered = store.begin([("k", "s", "m", "url")])
    entered.result(5)
    with pytest.raises(StoreUnusable, match="1 answers is tried once more"):
        store.end([(LedgerOutcome(entry.id, "ok", 1.0), response("k"))]).result(5)
    other.execute("drop trigger full")
    other.commit()
    other.close()
    close_store(store)
    assert "1 answers that could not be written" in caplog.text
    store = open_store(path)
    assert (store.get("k"), store.lost_attempts) == (b'{"a": 1}', 0)
    close_store(store)


def test_what_still_cannot_be_written_at_close_is_told(path, caplog):
    store = open_store(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("create trigger full before insert on responses begin select raise(abort, 'disk is full'); end")
        other.commit()
    with pytest.raises(StoreUnusable):
        store.put(response("k")).result(5)
    close_store(store)
    assert "1 answers are lost" in caplog.text
    assert "disk is full" in caplog.text


def test_an_entry_that_no_file_can_hold_stops_neither_the_writer_nor_those_who_wait(path):
    store = open_store(path)
    with pytest.raises(StoreUnusable, match="cannot be written"):
        store.put(StoredResponse("k", "m", None, "stage", None, b"", 10**30, 1)).result(5)
    store.put(response("next")).result(5)
    assert store.get("next")
    close_store(store)
