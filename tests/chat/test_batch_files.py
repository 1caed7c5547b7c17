import json
import sqlite3
from pathlib import Path

import pytest
from batch_server import say
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarilm_kedro.chat.batch_files import Spool, cut, read_answers, read_requests
from clarilm_kedro.chat.journal import BatchJournal, Shard, State
from clarilm_kedro.chat.ledger import Settled
from clarilm_kedro.chat.orders import stored_response
from clarilm_kedro.chat.parse import read_reply
from clarilm_kedro.chat.store import ResponseStore
from clarilm_kedro.chat.types import Kind
from clarilm_kedro.chat.usage import read_usage

BODY = {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def odd(sound: dict) -> st.SearchStrategy:
    """A sound object, some of whose parts are anything."""
    parts = {name: st.just(value) | JSON for name, value in sound.items()}
    return st.fixed_dictionaries(parts)


CHOICE = say("x")[1]["choices"][0]
COMPLETIONS = st.builds(
    lambda completion, choice: completion | {"choices": [choice]},
    odd(say("x")[1] | {"system_fingerprint": "f"}),
    odd(CHOICE) | st.builds(lambda message: CHOICE | {"message": message}, odd(CHOICE["message"])),
) | odd(say("x")[1])
LINES = odd({"custom_id": "k", "response": {"status_code": 200, "body": say("x")[1]}, "error": None}) | st.builds(
    lambda status, body, error: {"custom_id": "k", "response": {"status_code": status, "body": body}, "error": error},
    st.sampled_from([200, 400, 429, 500, 0, None]) | JSON,
    COMPLETIONS | JSON,
    JSON,
)


def spool(*keys: str, **body: object) -> Spool:
    filled = Spool()
    for key in keys:
        filled.add(key, BODY | body)
    return filled


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES.map(lambda line: json.dumps(line).encode()) | st.binary(max_size=30), max_size=4))
def test_whatever_a_line_says_it_is_one_answer_that_can_be_stored(tmp_path, lines):
    path, store_path = tmp_path / "answers.jsonl", tmp_path / "store" / "r.sqlite"
    path.write_bytes(b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines))
    found = list(read_answers([path], None))
    assert [answer.number for answer in found] == list(range(1, len(lines) + 1))
    store = ResponseStore(store_path)
    try:
        journal = BatchJournal(store, "e", "m")
        shard = Shard("sha", "e", "m", "s", 1)
        for answer in found:
            attempt = answer.attempt
            if answer.key is None or attempt.kind is not Kind.OK:
                journal.record(shard, [], {"k": attempt})
                continue
            assert attempt.completion is not None
            read_reply(attempt.body)
            usage = read_usage(attempt.completion, 4)
            reply = stored_response("k", "m", "s", None, attempt, usage)
            journal.record(shard, [Settled("k", "s", "m", "e", attempt.kind, usage, None, reply)], {})
    finally:
        store.close()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=20),
    most=st.integers(1, 5),
    size=st.integers(1, 800),
)
def test_cuts_hold_every_wanted_key_once_in_order_and_within_the_limits(tmp_path, keys, most, size):
    files = []
    for cut_file in cut(spool(*keys), tmp_path, max_requests=most, max_bytes=size, wanted=lambda key: key != "a"):
        content = cut_file.path.read_bytes()
        lines = content.splitlines()
        assert cut_file.n_requests == len(lines) <= most
        assert len(content) <= size or len(lines) == 1
        files += [json.loads(line)["custom_id"] for line in lines]
    assert files == sorted(set(keys) - {"a"})


def test_the_fields_of_a_body_keep_their_order(tmp_path):
    # A model writes the fields of a schema in the order in which it is given.
    schema = {"properties": {"thought": {}, "answer": {}}}
    (cut_file,) = cut(spool("k", z=schema), tmp_path, max_requests=9, max_bytes=9999, wanted=lambda _: True)
    assert '"z":{"properties":{"thought":{},"answer":{}}}' in cut_file.path.read_text()


def test_requests_are_read_back_without_their_bodies(tmp_path):
    (cut_file,) = cut(spool("k", "l"), tmp_path, max_requests=9, max_bytes=9999, wanted=lambda _: True)
    asked = read_requests(cut_file.path)
    assert asked == {"k": len("Be brief.q"), "l": len("Be brief.q")}


def test_a_file_holds_requests_of_one_prompt_template_and_does_not_name_it(tmp_path):
    filled = Spool()
    for key, sha in (("a", "sha-2"), ("b", None), ("c", "sha-1"), ("d", "sha-2")):
        filled.add(key, BODY, sha)
    cuts = [
        (each.prompt_sha, [json.loads(line)["custom_id"] for line in each.path.read_text().splitlines()])
        for each in cut(filled, tmp_path, max_requests=9, max_bytes=9999, wanted=lambda _: True)
    ]
    assert cuts == [(None, ["b"]), ("sha-1", ["c"]), ("sha-2", ["a", "d"])]
    assert not any("sha-" in path.read_text() for path in tmp_path.iterdir())


@pytest.mark.parametrize(("room", "tokens"), [({"max_tokens": 7}, 7), ({"max_completion_tokens": 9}, 9), ({}, 300)])
def test_a_reply_is_estimated_at_the_room_it_has(room, tokens):
    (line,) = spool("k", **room).lines()
    assert line.usage.completion == tokens


def test_what_was_bought_counts_for_the_first_row_that_asks():
    filled = spool()
    filled.note_bought([("k", None), ("k", 0.5), ("l", None)])
    assert filled.bought_for("k", "row") == (2, 0.5)
    assert filled.bought_for("k", "other") == (0, None)
    assert filled.bought_for("k", "row") == (2, 0.5)
    assert filled.bought_for("l", "other") == (1, None)
    assert (filled.first_invalid("k"), filled.first_invalid("k"), filled.first_invalid("x")) == (True, False, False)


@pytest.fixture
def journal(tmp_path: Path):
    store = ResponseStore(tmp_path / "r.sqlite")
    yield BatchJournal(store, "e", "m")
    store.close()


def test_a_shard_is_on_disk_when_it_is_entered(journal, tmp_path):
    journal.enter(Shard("sha", "e", "m", "s", 3))
    with sqlite3.connect(tmp_path / "r.sqlite") as connection:
        assert connection.execute("select shard_sha, state, n_requests from batches").fetchall() == [
            ("sha", "written", 3)
        ]


def test_shards_of_other_models_and_endpoints_are_left_alone(journal):
    for number, (endpoint, model, state) in enumerate(
        [("e", "m", State.WRITTEN), ("f", "m", State.CREATED), ("e", "n", State.CREATED), ("e", "m", State.COLLECTED)]
    ):
        journal.enter(Shard(str(number), endpoint, model, "s", 1, state=state))
    assert [shard.sha for shard in journal.unfinished()] == ["0"]
