"""Faults of endpoints; ``fault_NN`` is the number in the list of thirty that the engine knows.

Those in the reply (11 to 16, 24, 26) are in test_faults_in_replies.py, those that end or share a run (18, 20, 21, 22,
28) in test_interruption.py, secrets (30) in test_secrets.py, and those of the Batch API (19, 25) with its tests.
"""

import gzip
import socket
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from asking import ask_for, one, stored
from fault_server import Act, Seen, completion, fails, storm

from clarilm_kedro.chat.errors import EndpointRefused, TooManyFailures
from clarilm_kedro.chat.outcomes import ACTIONS, Action
from clarilm_kedro.chat.stage import accept, ask
from clarilm_kedro.chat.types import ChatRequest, Kind, Message
from clarilm_kedro.tables import FAILED

CUT_GZIP = Act(gzip.compress(completion("x"))[:20], headers={"Content-Encoding": "gzip"})

PASSING = {
    "fault_01 429": (fails(429, retry_after="0.01"), Kind.RATE_LIMIT),
    "fault_01 429 without Retry-After": (fails(429), Kind.RATE_LIMIT),
    "fault_04 500": (fails(500), Kind.SERVER),
    "fault_04 503 without a body": (Act(b"", 503), Kind.SERVER),
    "fault_04 408": (fails(408), Kind.SERVER),
    "fault_04 409": (fails(409), Kind.SERVER),
    "fault_05 reset": (Act(fault="reset"), Kind.CONNECTION),
    "fault_05 half a body": (Act(fault="truncate"), Kind.CONNECTION),
    "fault_05 no HTTP": (Act(fault="garbage"), Kind.CONNECTION),
    "fault_05 half a compressed body": (CUT_GZIP, Kind.NOT_JSON),
    "fault_06 body stalls": (Act(fault="stall"), Kind.TIMEOUT),
    "fault_07 blank lines for ever": (Act(fault="blank_lines"), Kind.TIMEOUT),
    "fault_08 HTML": (Act(b"<html>gateway</html>"), Kind.NOT_JSON),
    "fault_09 cut JSON": (Act(completion("x")[:40]), Kind.NOT_JSON),
    "fault_09 empty body": (Act(b""), Kind.NOT_JSON),
    "fault_09 a list": (Act(b"[]"), Kind.NOT_JSON),
    "fault_09 nested without end": (Act(b"[" * 100_000), Kind.NOT_JSON),
    "fault_10 error in a 200": (Act(b'{"error": {"message": "overloaded", "code": 503}}'), Kind.SERVER),
    "fault_10 rate limit in a 200": (Act(b'{"error": {"message": "slow down", "code": 429}}'), Kind.RATE_LIMIT),
    "fault_10 no choices": (Act(b'{"choices": null}'), Kind.NOT_JSON),
    "fault_10 no message": (Act(b'{"choices": [{"message": "hello"}]}'), Kind.NOT_JSON),
}


@pytest.mark.parametrize(("act", "kind"), PASSING.values(), ids=PASSING.keys())
def test_passing_troubles_are_tried_again(serve, endpoint, act, kind):
    server = serve([act, act])
    result = one(endpoint(server.url, timeout=1.0 if kind is Kind.TIMEOUT else 30.0), ask_for("q"))
    assert ACTIONS[kind] is Action.RETRY
    assert (result.status, result.attempts, len(server.seen)) == ("ok", 3, 3)


@pytest.mark.parametrize(("act", "kind"), PASSING.values(), ids=PASSING.keys())
def test_troubles_that_do_not_pass_fail_the_row_and_store_nothing(serve, endpoint, tmp_path, act, kind):
    server = serve(lambda _: act)
    timeout = 0.3 if kind is Kind.TIMEOUT else 30.0
    result = one(endpoint(server.url, timeout=timeout, max_attempts=2), ask_for("q"))
    assert (result.status, result.error_kind, result.source) == ("failed", kind, "net")
    # A rate limit is not the row's fault, so it is borne longer.
    assert result.attempts == len(server.seen) == (50 if kind is Kind.RATE_LIMIT else 2)
    assert result.error
    assert result.error.endswith(".")
    assert stored(tmp_path / "responses.sqlite") == []


def test_fault_01_a_429_pauses_all_callers_of_the_endpoint(serve, endpoint):
    first: list[float] = []

    def limited(seen: Seen) -> Act:
        if seen.number == 20:
            first.append(seen.at)
        waiting = bool(first) and seen.at < first[0] + 2
        return fails(429, retry_after="2") if waiting else Act(delay=0.01)

    server = serve(limited)
    model = endpoint(server.url, concurrency=8)
    assert {result.status for result in model.complete([ask_for(str(n)) for n in range(60)], stage="s")} == {"ok"}
    arrivals = [seen.at - first[0] for seen in server.seen]
    # What was on its way arrives in the first moments; then nothing, until the pause is over.
    assert [at for at in arrivals if 1.0 < at < 1.99] == []
    assert any(at > 2 for at in arrivals)
    assert model.stats["s"].kinds["rate_limit"] < 2 * 8


def test_fault_02_a_longer_pause_than_allowed_is_cut(serve, endpoint):
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1))
    server = serve([fails(429, retry_after="300"), fails(429, retry_after=tomorrow), fails(503, retry_after="300")])
    started = time.monotonic()
    result = one(endpoint(server.url, longest_pause=0.1), ask_for("q"))
    assert (result.status, result.attempts) == ("ok", 4)
    assert time.monotonic() - started < 60


def test_fault_02_a_pause_is_waited_for(serve, endpoint):
    server = serve([fails(429, retry_after="1")])
    assert one(endpoint(server.url), ask_for("q")).status == "ok"
    assert server.seen[1].at - server.seen[0].at >= 1


@pytest.mark.parametrize(
    ("act", "said"),
    [
        pytest.param(
            fails(429, "You exceeded your quota", "insufficient_quota"), ["credit"], id="fault_03 insufficient_quota"
        ),
        pytest.param(fails(402, "Insufficient Balance"), ["402", "credit"], id="fault_03 402"),
        (fails(401, "bad key"), ["401", "bad key", "OPENAI_API_KEY", "conf/local/credentials.yml"]),
        (fails(403), ["403", "credentials"]),
        (fails(404, "no such model"), ["404", "no such model", "/v1"]),
    ],
)
def test_an_endpoint_that_will_answer_nothing_stops_the_run_at_once(serve, endpoint, act, said):
    server = serve(lambda _: act)
    model = endpoint(server.url, concurrency=2)
    with pytest.raises(EndpointRefused) as caught:
        list(model.complete([ask_for(str(number)) for number in range(50)], stage="facets"))
    for words in ["m-1", server.url, "facets", *said]:
        assert words in str(caught.value)
    assert len(server.seen) <= 4


@pytest.mark.parametrize("rows", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_fault_04_every_row_of_a_storm_is_answered(serve, endpoint, rows):
    server = serve(storm(8, delay=0.01))
    model = endpoint(server.url, concurrency=32, max_attempts=5)
    results = list(model.complete([ask_for(str(number)) for number in range(rows)], stage="s"))
    assert {(result.row_id, result.status, result.text) for result in results} == {
        (str(number), "ok", f"echo: {number}") for number in range(rows)
    }
    kinds = model.stats["s"].kinds
    assert kinds["ok"] == rows
    assert {"rate_limit", "server", "connection"} <= set(kinds)
    assert sum(kinds.values()) == len(server.seen)


def test_fault_17_duplicates_are_sent_once_and_reach_every_row(serve, endpoint):
    server = serve(lambda _: Act(delay=0.05))
    model = endpoint(server.url, concurrency=8)
    rows = [ask_for("ab"[number % 2], row_id=str(number)) for number in range(30)]
    results = list(model.complete(iter(rows), stage="s"))
    assert {result.row_id for result in results} == {str(number) for number in range(30)}
    assert len(server.seen) == 2
    assert sum(result.source == "net" for result in results) == 2
    stats = model.stats["s"]
    assert (stats.rows, stats.requests_sent, stats.store_hits) == (30, 2, 28)


def test_fault_17_duplicates_of_a_failed_request_are_not_sent_again(serve, endpoint):
    server = serve(lambda _: fails(400))
    rows = [ask_for("a", row_id=str(number)) for number in range(5)]
    results = list(endpoint(server.url, concurrency=1).complete(rows, stage="s"))
    assert [result.status for result in results] == ["failed"] * 5
    assert len(server.seen) == 1


def test_fault_23_a_changed_system_prompt_buys_exactly_the_changed_keys(serve, endpoint):
    def rows(changed: set[str]) -> list[ChatRequest]:
        system = {row: "Be long." if row in changed else "Be brief." for row in "abcdef"}
        return [ChatRequest(row, (Message("system", system[row]), Message("user", row))) for row in system]

    server = serve()
    model = endpoint(server.url)
    list(model.complete(rows(set()), stage="s"))
    list(model.complete(rows({"b", "e"}), stage="s"))
    list(model.complete(rows(set()), stage="another"))
    assert server.asked == Counter("abcdef") + Counter("be")
    assert {seen.last for seen in server.seen if seen.body["messages"][0]["content"] == "Be long."} == {"b", "e"}


@pytest.mark.parametrize(
    ("changed", "bought"),
    [
        ({"model": "m-2"}, 2),
        ({"temperature": 0.1}, 2),
        ({"seed": 3}, 2),
        ({"max_tokens": 9}, 2),
        ({"extra_body": {"x": 1}}, 2),
        ({"timeout": 9.0, "concurrency": 1, "rpm": 600.0, "max_attempts": 2}, 1),
    ],
    ids=lambda value: f"fault_23 {'+'.join(value)}" if isinstance(value, dict) else None,
)
def test_what_changes_the_answer_is_bought_anew_and_nothing_else(serve, endpoint, changed, bought):
    server = serve()
    for options in ({}, changed):
        model = endpoint(server.url, **options)
        one(model, ask_for("q"))
        model.close()
    assert len(server.seen) == bought


def test_fault_27_no_requests_touch_no_endpoint_and_give_tables_with_columns(endpoint, dead_url):
    model = endpoint(dead_url)
    assert list(model.complete([], stage="s")) == []
    answered, failures = ask([], model, stage="s")
    assert (answered, len(failures), list(failures)) == ({}, 0, list(FAILED))
    accept(0, failures, stage="s", max_failed_share=0)


def test_fault_27_where_every_row_fails_the_tables_are_there_and_then_the_run_stops(serve, endpoint):
    server = serve(lambda _: fails(400, "too long"))
    answered, failures = ask([ask_for(str(number)) for number in range(9)], endpoint(server.url), stage="s")
    assert (answered, len(failures), set(failures["kind"])) == ({}, 9, {"bad_request"})
    with pytest.raises(TooManyFailures, match="9 of 9 rows failed"):
        accept(0, failures, stage="s", max_failed_share=0.5)


def test_fault_29_a_clock_that_jumps_does_no_harm(serve, endpoint, monkeypatch):
    real, jumps = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 10 * 365 * 86_400)
    hour_ahead = format_datetime(datetime.now(UTC) + timedelta(hours=1))
    server = serve([fails(429, retry_after="0.05"), fails(500), fails(503, retry_after=hour_ahead)])
    model = endpoint(server.url, rpm=6000, tpm=600_000, longest_pause=0.1)
    assert {result.status for result in model.complete([ask_for(str(n)) for n in range(50)], stage="s")} == {"ok"}
    assert 0 < model.stats["s"].seconds < 600
    assert 0 < model.stats["s"].latencies.percentile(99) < 600


@pytest.fixture
def slow_names(monkeypatch) -> list[float]:
    """Every look-up of a name takes so many seconds."""
    real, seconds = socket.getaddrinfo, [0.0]

    def slow(host: Any, *rest: Any, **more: Any) -> Any:
        time.sleep(seconds[0])
        return real("127.0.0.1" if host == "localhost" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    return seconds


def test_fault_29_a_slow_look_up_is_waited_for_within_the_timeout(serve, endpoint, slow_names):
    url = serve().url.replace("127.0.0.1", "localhost")
    slow_names[0] = 0.5
    assert one(endpoint(url), ask_for("q")).status == "ok"


def test_fault_29_a_look_up_counts_towards_the_timeout(serve, endpoint, slow_names):
    url = serve().url.replace("127.0.0.1", "localhost")
    slow_names[0] = 3.0
    result = one(endpoint(url, timeout=0.4, max_attempts=2), ask_for("q"))
    assert (result.error_kind, result.attempts) == (Kind.TIMEOUT, 2)


def test_fault_29_a_server_at_half_speed_is_waited_for(serve, endpoint):
    server = serve(lambda seen: Act(delay=0.4 if seen.number >= 4 else 0.2))
    results = list(endpoint(server.url, concurrency=4, timeout=10.0).complete(map(ask_for, "abcdefgh"), stage="s"))
    assert [result.attempts for result in results] == [1] * 8


def test_every_kind_has_its_action():
    assert set(ACTIONS) == set(Kind)
