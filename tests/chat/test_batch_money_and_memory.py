import logging
import sqlite3
import threading
import tracemalloc

import pytest
from asking import look
from batch_asking import (
    PRICES,
    SECRET,
    answers,
    ask_for,
    ledger,
    rows,
)
from batch_server import fail, say

from clarilm_kedro.chat.errors import BatchPending, BudgetExceeded, EndpointRefused, StoreUnusable


def test_the_estimate_of_a_whole_shard_is_reserved_before_it_is_made(provider, batches, tmp_path):
    (tmp_path / "prices.yml").write_text(PRICES)
    server = provider()
    # A prompt is estimated at 4 tokens, at half a dollar each: two requests a shard make 4 dollars.
    options = {"prices": tmp_path / "prices.yml", "batch_max_requests": 2, "store": tmp_path / "b.sqlite"}
    with pytest.raises(BudgetExceeded, match="next batch of 2 requests may cost"):
        answers(batches(server, budget_usd=9, **options), rows(6))
    assert server.sizes == [2, 2]
    with sqlite3.connect(tmp_path / "b.sqlite") as connection:
        assert connection.execute("select count(*), sum(cost_usd) from attempts").fetchone() == (4, 4 * 11 / 2)


def test_reservations_are_given_back(provider, batches, tmp_path):
    (tmp_path / "prices.yml").write_text(PRICES)
    server = provider()
    server.ends = ["expired", "completed"]
    model = batches(server, prices=tmp_path / "prices.yml", budget_usd=1000)
    answers(model, rows(4))
    budget = model._open().budget
    assert (budget.spent, budget.reserved) == (pytest.approx(4 * 11 / 2), pytest.approx(0))


@pytest.mark.parametrize("ending", ["interrupted", "refused", "disk"])
def test_reservations_are_given_back_however_a_call_ends(provider, batches, tmp_path, monkeypatch, ending):
    (tmp_path / "prices.yml").write_text(PRICES)
    server = provider()
    model = batches(server, prices=tmp_path / "prices.yml", budget_usd=1000)
    budget = model._open().budget
    if ending == "interrupted":
        monkeypatch.setattr("clarilm_kedro.chat.batch_api.BatchApi.look", lambda *_: interrupt())
    elif ending == "refused":
        server.on = lambda what, when: fail(401) if what == "create" else None
    else:
        monkeypatch.setattr("clarilm_kedro.chat.journal.BatchJournal.enter", lambda *_: full())
    with pytest.raises((KeyboardInterrupt, EndpointRefused, StoreUnusable)):
        answers(model, rows(4))
    assert (budget.on_their_way, budget.reserved) == (0, 0)


def interrupt() -> None:
    raise KeyboardInterrupt


def full() -> None:
    raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_is_told_in_a_sentence(provider, batches, tmp_path):
    (tmp_path / "batches").write_text("in the way")
    with pytest.raises(StoreUnusable, match=r"files of batches in .*batches.*make room"):
        answers(batches(provider()), rows(2))


def test_what_a_run_that_died_left_in_the_folder_is_deleted(provider, batches, tmp_path):
    server = provider()
    folder = tmp_path / "batches"
    answers(batches(server), rows(2))
    (over,) = look(tmp_path / "responses.sqlite", "select shard_sha from batches")[0]
    left = [f"{over}.jsonl", f"{over}.out.jsonl", f"{over}.errors.jsonl", f"{'0' * 64}.jsonl", "1.part"]
    kept = ["notes.jsonl", f"{'0' * 64}.out.jsonl"]
    for name in left + kept:
        (folder / name).write_text("{}\n")
    answers(batches(server), rows(3))
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)


def test_the_key_is_sent_and_is_nowhere_else(provider, endpoint, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, logger=name)
    server = provider(lambda body: say(f"your key is {SECRET}"))
    server.headers = {"x-request-id": f"request of {SECRET}"}
    model = endpoint(server.url, api_key=SECRET, mode="batch", batch_poll_seconds=0.01)
    results = answers(model, rows(2))
    model.close()
    assert server.keys == {f"Bearer {SECRET}"}
    assert {result.text for result in results.values()} == {"your key is ***"}
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept + b"".join(server.files[batch.input_file_id] for batch in server.batches)
    assert "request of ***" in caplog.text
    assert SECRET not in caplog.text + "".join(str(vars(record)) for record in caplog.records)
    with sqlite3.connect(tmp_path / "responses.sqlite") as connection:
        assert SECRET not in str(connection.execute("select * from batches").fetchall())


def test_bodies_are_not_kept_in_memory(provider, batches, tmp_path):
    text = "x" * 100_000
    server = provider(lambda body: say("ok"))

    class Many(list):
        def __len__(self) -> int:
            return 300

        def __iter__(self):
            return (ask_for(f"{number} {text}", row_id=str(number)) for number in range(300))

    model = batches(server, mode="batch_files")
    tracemalloc.start()
    try:
        with pytest.raises(BatchPending):
            answers(model, Many())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(path.stat().st_size for path in (tmp_path / "batches").iterdir()) > 30_000_000
    assert peak < 6_000_000


def test_two_stages_at_once_collect_each_batch_once(provider, batches, tmp_path):
    server = provider()
    model = batches(server)
    results: dict[str, dict] = {}

    def work(stage: str) -> None:
        results[stage] = answers(model, rows(6), stage)

    threads = [threading.Thread(target=work, args=(stage,)) for stage in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {stage: len(found) for stage, found in results.items()} == {"a": 6, "b": 6}
    assert server.sizes == [6]
    assert ledger(tmp_path / "responses.sqlite") == {"ok": 6}
