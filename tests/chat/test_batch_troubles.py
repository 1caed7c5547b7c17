from collections import Counter

import pytest
from batch_asking import (
    SECRET,
    answers,
    interrupt_while_polling,
    ledger,
    rows,
)
from batch_server import echo, fail

from clarilm_kedro.chat.errors import EndpointRefused
from clarilm_kedro.chat.types import Kind


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
