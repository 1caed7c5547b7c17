"""The API key (30 in the list of faults) goes to its endpoint and nowhere else."""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from asking import FACET, ask_for, look, one
from fault_server import Act, Seen, fails, says

from clarilm_kedro.chat.errors import EndpointRefused
from clarilm_kedro.chat.secrets import SecretFilter, keep_out_of_logs, secret_in
from clarilm_kedro.chat.stage import ask

SECRET = "sk-very-secret-key-0123456789"


def leak(seen: Seen) -> Act:
    """Give the key back in every part of a reply."""
    key = seen.headers["authorization"]
    act = {
        "ok": says(f"your header was {key}", reasoning_content=key),
        "refusal": says(None, refusal=key),
        "invalid": says(f'{{"facet": "{key}"}}'),
        "bad": fails(400, f"odd key {key}", code=key),
        "html": Act(f"<html>{key}".encode()),
        "empty": Act(json.dumps({"choices": [], "key": key}).encode()),
        "cut": Act(says(key).body, fault="truncate"),
        "auth": fails(401, f"Incorrect API key provided: {key}"),
    }.get(seen.last, says(f"still {key}"))
    return replace(act, headers=act.headers | {"X-Request-Id": f"request of {key}"})


def test_fault_30_the_key_is_in_no_log_store_table_or_error(serve, endpoint, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore2", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    server = serve(leak)
    model = endpoint(server.url, api_key=SECRET, max_attempts=2)
    texts = ("ok", "refusal", "invalid", "bad", "html", "empty", "cut")
    answered, failures = ask([ask_for(text, response=FACET) for text in texts], model, stage="s")
    plain = one(model, ask_for("ok"))
    with pytest.raises(EndpointRefused) as caught:
        one(model, ask_for("auth"))
    assert "***" in str(caught.value)
    assert any("***" in error for error in failures["error"])
    files_while_open = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    columns = [look(tmp_path / "responses.sqlite", f"select * from {table}") for table in ("responses", "attempts")]
    model.close()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {SECRET}"}
    assert plain.text == "your header was Bearer ***"
    assert len(failures) == 7
    assert "openai" in {record.name.partition(".")[0] for record in caplog.records}
    assert "request of Bearer ***" in caplog.text
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    places = [logged, str(columns), str(answered), failures.to_csv(), repr(caught.value), str(model.stats), repr(model)]
    for place in [*places, *capfd.readouterr(), str(model.options), str(vars(caught.value))]:
        assert SECRET not in place
    assert SECRET.encode() not in files_while_open + files


def test_fault_30_the_stored_bodies_do_not_hold_the_key(serve, endpoint, tmp_path):
    model = endpoint(serve(leak).url, api_key=SECRET)
    result = one(model, ask_for("ok"))
    store = model._open()
    body = store.get(result.key)
    assert body is not None
    assert b"your header was Bearer ***" in body
    assert SECRET.encode() not in body


def test_fault_30_a_redirect_to_another_server_does_not_get_the_key(serve, endpoint):
    thief = serve()
    server = serve(lambda _: Act(b"", 307, {"Location": f"{thief.url}/chat/completions"}))
    one(endpoint(server.url, api_key=SECRET), ask_for("q"))
    assert SECRET not in str([seen.headers for seen in thief.seen])


def test_fault_30_an_unreachable_server_s_error_does_not_name_the_key(endpoint, dead_url):
    with pytest.raises(Exception, match="No server answers") as caught:
        one(endpoint(dead_url, api_key=SECRET), ask_for("q"))
    assert SECRET not in str(caught.value)
    assert Path(str(endpoint(dead_url).options.store)).exists()


def record(message: object, *args: object, exception: BaseException | None = None) -> logging.LogRecord:
    """What a library logs."""
    try:
        if exception:
            raise exception
        trace = None
    except Exception:
        trace = sys.exc_info()
    return logging.LogRecord("library", logging.DEBUG, "file.py", 1, message, args, trace)


@pytest.mark.parametrize(
    "made",
    [
        record(f"key {SECRET}"),
        record("headers: %r", [(b"x-request-id", SECRET.encode())]),
        record("%(id)s", {"id": SECRET}),
        record("failed", exception=ValueError(f"odd header {SECRET}")),
        logging.makeLogRecord({"msg": "extra", "request_id": SECRET}),
    ],
    ids=["text", "bytes", "mapping", "exception", "extra"],
)
def test_fault_30_a_log_record_loses_the_key_wherever_it_holds_it(made):
    keep_out_of_logs(SECRET)
    assert SecretFilter().filter(made)
    assert SECRET not in logging.Formatter("%(message)s").format(made) + str(vars(made))
    assert "***" in logging.Formatter("%(message)s").format(made) + str(vars(made))


def test_a_log_record_without_a_key_or_that_cannot_be_written_stays_as_it_is():
    keep_out_of_logs(SECRET)
    for made in (record("%s of %d", "a", 2), record("%d", "no number"), record("failed", exception=ValueError("odd"))):
        before = dict(vars(made))
        assert SecretFilter().filter(made)
        assert vars(made) == before


def test_fault_30_what_other_loggers_say_passes_the_root_s_handlers_without_the_key(capsys):
    handler = logging.StreamHandler(sys.stderr)
    logging.root.addHandler(handler)
    try:
        keep_out_of_logs(SECRET)
        logging.getLogger("a.logger.made.later").error("odd header %s", SECRET)
    finally:
        logging.root.removeHandler(handler)
    assert capsys.readouterr().err == "odd header ***\n"


def test_a_placeholder_is_no_secret():
    assert [secret_in(key) for key in (None, "", "none", SECRET)] == [None, None, None, SECRET]
    keep_out_of_logs(None)
