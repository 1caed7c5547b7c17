import json
import logging
import sqlite3
import threading
import tracemalloc
from collections import Counter
from dataclasses import replace

import pytest
from asking import look
from batch_asking import (
    FACET,
    GOOD,
    PRICES,
    SECRET,
    Facet,
    answers,
    ask_for,
    interrupt_while_polling,
    ledger,
    mixed,
    rows,
)
from batch_server import echo, fail, say

from clarilm_kedro.chat.errors import BatchPending, BudgetExceeded, EndpointRefused, MissingOffline, StoreUnusable
from clarilm_kedro.chat.types import Kind


def test_results_equal_those_of_the_live_mode_row_by_row(provider, batches, tmp_path):
    (tmp_path / "prices.yml").write_text(PRICES)
    server = provider(mixed)
    asked = [ask_for(f"row {number % 12}", row_id=str(number), response=FACET) for number in range(24)]
    options = {"max_tokens": 50, "prices": tmp_path / "prices.yml"}
    live_model = batches(server, mode="live", store=tmp_path / "live.sqlite", concurrency=1, **options)
    live = answers(live_model, asked)
    model = batches(server, batch_max_requests=5, **options)
    batch = answers(model, iter(asked))
    assert batch.keys() == live.keys()
    for row_id, result in live.items():
        half = None if result.cost_usd is None else pytest.approx(result.cost_usd / 2)
        assert batch[row_id] == replace(result, cost_usd=half), row_id
    one, other = model.stats["s"].as_dict(), live_model.stats["s"].as_dict()
    for name in ("rows", "requests_sent", "store_hits", "prompt_tokens", "completion_tokens", "failures", "invalid"):
        assert one[name] == other[name], name
    assert one["cost_usd"] == pytest.approx(other["cost_usd"] / 2)
    assert {name: value for name, value in one.items() if name.startswith("requests.")} == {
        name: value for name, value in other.items() if name.startswith("requests.")
    }


def test_the_store_holds_what_the_live_mode_would_have_stored(provider, batches, tmp_path):
    server = provider()
    stores = {"live": tmp_path / "live.sqlite", "batch": tmp_path / "batch.sqlite"}
    for mode, store in stores.items():
        model = batches(server, mode=mode, store=store)
        answers(model, [ask_for(text, prompt_sha=f"sha of {text}") for text in ("a", "b", "c")])
        model.close()
    kept = {}
    for mode, store in stores.items():
        with sqlite3.connect(store) as connection:
            names = "key, model, served_model, stage, prompt_sha, prompt_tokens, completion_tokens, system_fingerprint"
            kept[mode] = connection.execute(f"select {names} from responses order by key").fetchall()
            endpoints = {endpoint for (endpoint,) in connection.execute("select endpoint from attempts")}
        assert endpoints == {server.url if mode == "live" else f"{server.url} (batch)"}
    assert kept["live"] == kept["batch"]
    assert {row[4] for row in kept["batch"]} == {"sha of a", "sha of b", "sha of c"}
    assert None not in kept["batch"][0][:-1]


def test_what_was_bought_in_batches_needs_neither_endpoint_nor_key(provider, batches, dead_url):
    server = provider()
    answers(batches(server), rows(3))
    for mode in ("batch", "live", "batch_files"):
        again = answers(batches(dead_url, mode=mode, offline=True), rows(3))
        assert {result.source for result in again.values()} == {"store"}
    with pytest.raises(MissingOffline):
        answers(batches(dead_url, offline=True), rows(4))


def test_shards_keep_the_limits_and_do_not_depend_on_the_order_of_rows(provider, batches, tmp_path):
    shas = []
    for number, order in enumerate((rows(10), rows(10)[::-1])):
        server = provider()
        answers(batches(server, store=tmp_path / str(number) / "r.sqlite", batch_max_requests=4), order)
        assert server.sizes == [4, 4, 2]
        keys = [line["custom_id"] for shard in range(3) for line in server.asked(shard)]
        assert keys == sorted(keys)
        shas.append([server.files[batch.input_file_id] for batch in server.batches])
    assert shas[0] == shas[1]


def test_files_keep_the_limit_of_bytes(provider, batches):
    server = provider()
    answers(batches(server, batch_max_bytes=1000), rows(10))
    sizes = [len(server.files[batch.input_file_id]) for batch in server.batches]
    assert len(sizes) > 1
    assert max(sizes) <= 1000
    assert sum(server.sizes) == 10


def test_a_line_is_what_the_batch_api_expects(provider, batches):
    server = provider()
    model = batches(server, seed=3)
    request = ask_for("q", response=FACET)
    server.reply = lambda _: say(GOOD)
    result = answers(model, [request])["q"]
    (line,) = server.asked(0)
    assert line == {
        "custom_id": result.key,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": model.body(request.messages, request, None),
    }
    assert server.batches[0].metadata.keys() == {"shard_sha"}


def test_equal_keys_are_sent_once(provider, batches):
    server = provider()
    results = answers(batches(server), [ask_for("ab"[number % 2], row_id=str(number)) for number in range(9)])
    assert server.sizes == [2]
    assert sorted(result.attempts for result in results.values()) == [0] * 7 + [1, 1]


def test_a_second_asking_goes_into_a_second_batch(provider, batches):
    server = provider(mixed)
    results = answers(batches(server), [ask_for(f"row {number}", response=FACET) for number in (0, 3, 9)])
    assert server.sizes == [3, 1]
    assert "cannot be used" in server.asked(1)[0]["body"]["messages"][-1]["content"]
    assert (results["row 3"].parsed, results["row 3"].attempts) == (Facet(facet="budget", score=1), 2)


def test_lines_of_an_expired_batch_return(provider, batches, tmp_path):
    server = provider()
    server.ends = ["expired", "expired", "completed"]
    results = answers(batches(server), rows(8))
    assert server.sizes == [8, 4, 2]
    assert {result.status for result in results.values()} == {"ok"}
    assert sorted(result.attempts for result in results.values()) == [1] * 4 + [2] * 2 + [3] * 2
    assert ledger(tmp_path / "responses.sqlite") == {"ok": 8, "timeout": 6}


@pytest.mark.parametrize("status", [429, 500, 0])
def test_passing_troubles_return_until_the_attempts_are_used_up(provider, batches, status):
    kinds = {429: Kind.RATE_LIMIT, 500: Kind.SERVER, 0: Kind.SERVER}
    server = provider(lambda body: fail(status) if body["messages"][-1]["content"] == "row 1" else echo(body))
    results = answers(batches(server), rows(3))
    assert server.sizes == [3, 1, 1]
    bad = results.pop("row 1")
    assert (bad.status, bad.error_kind, bad.attempts, bad.source) == ("failed", kinds[status], 3, "net")
    assert {result.status for result in results.values()} == {"ok"}
    # A later run tries again.
    server.reply = echo
    assert answers(batches(server), rows(3))["row 1"].status == "ok"


def test_a_trouble_that_passes_is_forgotten(provider, batches):
    calls = Counter()

    def reply(body: dict) -> tuple[int, dict]:
        last = body["messages"][-1]["content"]
        calls[last] += 1
        return fail(500) if calls[last] < 3 else echo(body)

    server = provider(reply)
    assert {result.attempts for result in answers(batches(server), rows(3)).values()} == {3}
    # The same file three times over, but three batches with names of their own.
    assert len({batch.metadata["shard_sha"] for batch in server.batches}) == 3


def test_a_rejected_request_fails_its_row_and_is_not_sent_again_in_this_run(provider, batches):
    server = provider(mixed)
    results = answers(batches(server), [ask_for(f"row {number}", response=FACET) for number in (0, 1, 3)])
    assert (results["row 1"].error_kind, results["row 1"].error) == (Kind.BAD_REQUEST, "HTTP 400: odd request.")
    assert server.sizes == [3, 1]


def test_fault_25_torn_foreign_and_double_lines_are_skipped_and_what_they_answered_is_asked_again(
    provider, batches, caplog
):
    server = provider()

    def spoil(lines: list[bytes]) -> list[bytes]:
        server.spoil = lambda unchanged: unchanged
        foreign = lines[1].replace(json.loads(lines[1])["custom_id"].encode(), b"another")
        return [lines[0][:40] + b"\n", foreign, *lines[2:], lines[2], b"[1]\n", b"\n", lines[3][:50]]

    server.spoil = spoil
    results = answers(batches(server), rows(6))
    assert {result.status for result in results.values()} == {"ok"}
    assert {row_id: result.text for row_id, result in results.items()} == {row: f"echo: {row}" for row in results}
    assert server.sizes == [6, 2]
    assert "is no answer and is skipped" in caplog.text
    assert "no open request" in caplog.text
    assert "ends within a line" in caplog.text


def test_calls_that_fail_in_passing_are_made_again_and_no_batch_twice(provider, batches, caplog):
    server = provider()
    told: Counter[tuple[str, str]] = Counter()

    def on(what: str, when: str):
        told[what, when] += 1
        if told[what, when] == 1:
            return "drop" if when == "after" else fail(503)
        return None

    server.on = on
    results = answers(batches(server, batch_max_requests=2, max_attempts=5), rows(6))
    assert {result.status for result in results.values()} == {"ok"}
    assert server.sizes == [2, 2, 2]
    asked = {what for what, when in told if when == "after"}
    assert asked == {"upload", "create", "list", "look", "content", "delete"}


def test_uploaded_files_are_deleted_once_their_answers_are_stored(provider, batches, tmp_path):
    server = provider()
    kept_before: list[int] = []

    def on(what: str, when: str):
        if (what, when) == ("delete", "before"):
            kept_before.append(sum(ledger(tmp_path / "responses.sqlite").values()))

    server.on = on
    answers(batches(server, batch_max_requests=2), rows(4))
    assert sorted(server.deleted) == sorted(batch.input_file_id for batch in server.batches)
    assert kept_before == [2, 4]


@pytest.mark.parametrize("told", ["drop", fail(500), fail(404), (200, {"page": "no file"})])
def test_a_file_that_cannot_be_deleted_fails_nothing(provider, batches, told):
    server = provider()
    server.on = lambda what, when: told if what == "delete" else None
    assert {result.status for result in answers(batches(server), rows(2)).values()} == {"ok"}
    assert (server.deleted, server.calls.count("delete")) == ([], 1)


def test_the_file_of_a_batch_that_was_not_taken_is_deleted(provider, batches):
    server = provider()
    server.max_enqueued = 4
    answers(batches(server, batch_max_requests=2, max_attempts=2), rows(6))
    assert sorted(server.deleted) == sorted(batch.input_file_id for batch in server.batches)


@pytest.mark.parametrize("what", ["upload", "create", "list", "look"])
@pytest.mark.parametrize("answer", [(200, {"odd": 1}), (200, ["odd"]), (200, "<html>gateway</html>")])
def test_an_answer_that_is_none_of_the_api_s_is_asked_for_again(provider, batches, what, answer):
    server = provider()
    told: Counter[tuple[str, str]] = Counter()

    def on(asked: str, when: str):
        told[asked, when] += 1
        if asked == "create" and when == "after" and told[asked, when] == 1:
            return "drop" if what == "list" else None
        return answer if asked == what and told[asked, "before"] == 1 else None

    server.on = on
    results = answers(batches(server), rows(2))
    assert {result.status for result in results.values()} == {"ok"}
    assert server.sizes == [2]


def test_answers_that_are_late_are_waited_for(provider, batches, caplog):
    server = provider()
    looks = Counter()

    def on(what: str, when: str):
        looks[what, when] += 1
        if (what, when) == ("look", "after") and server.batches[0].status == "completed" and looks[what, when] < 5:
            return 200, server.batches[0].as_json() | {"output_file_id": None}
        return None

    server.on = on
    assert len(answers(batches(server), rows(2))) == 2
    assert server.sizes == [2]
    assert "not there yet" in caplog.text


def test_answers_that_never_come_end_the_run_with_what_to_type(provider, batches, monkeypatch):
    monkeypatch.setattr("clarilm_kedro.chat.batch_remote._PATIENCE_SECONDS", 0.05)
    server = provider()

    def on(what: str, when: str):
        if (what, when) == ("look", "after") and server.batches[0].status == "completed":
            return 200, server.batches[0].as_json() | {"output_file_id": None}
        return None

    server.on = on
    with pytest.raises(EndpointRefused, match=r"batch_0 is completed, and gives no answers.*delete from batches where"):
        answers(batches(server), rows(2))
    assert server.sizes == [2]


def test_a_torn_file_of_answers_does_not_hide_the_file_of_errors(provider, batches):
    server = provider(lambda body: fail(400, "odd") if body["messages"][-1]["content"] == "row 1" else echo(body))

    def spoil(lines: list[bytes]) -> list[bytes]:
        server.spoil = lambda unchanged: unchanged
        return [*lines[:-1], lines[-1][:30]]

    server.spoil = spoil
    results = answers(batches(server), rows(4))
    assert (results["row 1"].error_kind, results["row 1"].attempts) == (Kind.BAD_REQUEST, 1)
    assert server.sizes == [4, 1]


def test_polling_survives_a_provider_out_of_reach_for_a_while(provider, batches, caplog):
    server = provider()
    looks = Counter()

    def on(what: str, when: str):
        looks[what] += when == "before"
        return "drop" if what == "look" and looks["look"] < 8 else None

    server.on = on
    assert len(answers(batches(server), rows(2))) == 2
    assert "go on without being looked at" in caplog.text
    assert server.sizes == [2]


def test_live_mode_says_that_batches_are_on_their_way(provider, batches, caplog):
    server = provider()
    interrupt_while_polling(server, batches(server), rows(2))
    answers(batches(server, mode="live"), rows(2))
    assert "1 batches of 'm-1' are on their way" in caplog.text


def test_a_cancelled_batch_ends_the_run_and_keeps_its_answers(provider, batches):
    server = provider()
    server.ends = ["cancelled", "completed"]
    with pytest.raises(EndpointRefused, match=r"batch_0 was cancelled.*the next run asks for the rest"):
        answers(batches(server), rows(4))
    assert {result.status for result in answers(batches(server), rows(4)).values()} == {"ok"}
    assert server.sizes == [4, 2]


def test_a_batch_that_is_not_taken_ends_the_run(provider, batches):
    server = provider()
    server.ends = ["failed", "completed"]
    with pytest.raises(EndpointRefused, match=r"takes no request of batch batch_0.*Line 1 is bad"):
        answers(batches(server), rows(2))
    assert len(answers(batches(server), rows(2))) == 2
    assert server.sizes == [2, 2]


def test_batches_that_find_the_account_full_wait_for_the_others(provider, batches):
    server = provider()
    server.max_enqueued = 4
    results = answers(batches(server, batch_max_requests=2, max_attempts=2), rows(12))
    assert {result.status for result in results.values()} == {"ok"}
    # Two go through at a time, and being turned away counts as no attempt.
    assert {result.attempts for result in results.values()} == {1}


def test_a_batch_too_large_for_the_account_fails_its_rows_in_the_end(provider, batches):
    server = provider()
    server.max_enqueued = 1
    results = answers(batches(server), rows(2))
    assert {(result.error_kind, result.attempts) for result in results.values()} == {(Kind.RATE_LIMIT, 3)}
    assert "batch_max_requests" in results["row 0"].error


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (fail(401, f"Incorrect API key provided: {SECRET}"), r"refuses.*HTTP 401: Incorrect API key provided: \*\*\*"),
        (fail(404), "batch_files"),
        (fail(429, "pay", "insufficient_quota"), "no credit left"),
        (fail(503), "does not answer for the upload of a batch file"),
    ],
)
def test_an_endpoint_without_a_batch_api_ends_the_run(provider, batches, endpoint, answer, said):
    server = provider()
    server.on = lambda what, when: answer
    model = endpoint(server.url, api_key=SECRET, mode="batch", batch_poll_seconds=0.01)
    with pytest.raises((EndpointRefused, Exception), match=said) as caught:
        answers(model, rows(2))
    assert SECRET not in str(caught.value)


def test_lines_refused_for_all_end_the_run(provider, batches):
    server = provider(lambda _: fail(404, "The model m-1 does not exist", "model_not_found"))
    with pytest.raises(EndpointRefused, match="does not exist"):
        answers(batches(server), rows(2))
    server.reply = echo
    assert {result.status for result in answers(batches(server), rows(2)).values()} == {"ok"}


def test_a_journalled_batch_that_is_gone_is_named_with_what_to_type(provider, batches):
    server = provider()
    interrupt_while_polling(server, batches(server), rows(2))
    server.batches[0].id = "batch_of_another_account"
    with pytest.raises(EndpointRefused, match="delete from batches where batch_id = 'batch_0'"):
        answers(batches(server), rows(2))


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
