import json
import sqlite3
from collections import Counter
from dataclasses import replace

import pytest
from batch_asking import (
    FACET,
    GOOD,
    PRICES,
    Facet,
    answers,
    ask_for,
    ledger,
    mixed,
    rows,
)
from batch_server import echo, fail, say

from clarilm_kedro.chat.errors import MissingOffline
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
