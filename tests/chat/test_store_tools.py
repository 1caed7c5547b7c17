import io
import json
import sqlite3
from pathlib import Path

import pytest

from clarilm_kedro.chat.errors import StoreUnusable
from clarilm_kedro.chat.ledger import LedgerOutcome, StoredResponse
from clarilm_kedro.chat.store import close_store, open_store
from clarilm_kedro.chat.store_tools import (
    export_replies,
    mean_reply_tokens,
    prune_replies,
    read_only,
    store_statistics,
    stored_prompts,
)
from clarilm_kedro.chat.usage import Usage


def response(key: str, model: str = "m", stage: str = "s") -> StoredResponse:
    return StoredResponse(key, model, "m-2026", stage, f"sha-{model}", json.dumps({"said": key}).encode(), 11, 7)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with replies of two models, one failed attempt, one lost and bought again, one lost for good."""
    path = tmp_path / "responses.sqlite"
    store = open_store(path)
    attempts = [("a", "s", "m", "e"), ("a", "s", "m", "e"), ("b", "t", "n", "e"), ("b", "t", "n", "e")]
    entries, written = store.begin([*attempts, ("c", "t", "n", "e"), ("d", "t", "n", "e")])
    written.result()
    store.end([(LedgerOutcome(entries[1].id, "ok", 0.2, Usage(11, 3, 7, 2), 0.5), response("a"))]).result()
    store.end([(LedgerOutcome(entries[2].id, "server", 0.1), None)]).result()
    store.end([(LedgerOutcome(entries[3].id, "ok", 0.3, Usage(5, 0, 9, 0), 0.25), response("b", "n", "t"))]).result()
    store.end([(LedgerOutcome(entries[5].id, "ok", 0.3, Usage(5, 0, 1, 0), None), response("d", "n", "u"))]).result()
    close_store(store)
    close_store(open_store(path))  # marks what never ended as lost
    return path


def test_statistics_tell_what_was_asked_and_what_it_cost(path: Path) -> None:
    rows, totals = store_statistics(path)
    told = [(row["stage"], row["model"], row["kind"], row["requests"], row["cost_usd"]) for row in rows]
    assert told == [
        ("s", "m", "lost", 1, None),
        ("s", "m", "ok", 1, 0.5),
        ("t", "n", "lost", 1, None),
        ("t", "n", "ok", 2, 0.25),
        ("t", "n", "server", 1, None),
    ]
    # Of the two that were lost, only the reply to "a" was bought again.
    assert (totals["replies"], totals["bought_twice"]) == (3, 1)
    assert (rows[1]["prompt_tokens"], rows[1]["completion_tokens"]) == (11, 7)


def test_statistics_tell_which_prompt_templates_were_asked_with(path: Path) -> None:
    told = [(row["stage"], row["model"], row["prompt_sha"], row["replies"]) for row in stored_prompts(path)]
    assert told == [("s", "m", "sha-m", 1), ("t", "n", "sha-n", 1), ("u", "n", "sha-n", 1)]


def test_mean_reply_tokens(path: Path) -> None:
    with read_only(path) as connection:
        assert mean_reply_tokens(connection, "n", None) == 5
        assert mean_reply_tokens(connection, "m", "s") == 7
        assert mean_reply_tokens(connection, "m", "t") is None


def test_replies_are_exported_as_received(path: Path) -> None:
    target = io.StringIO()
    assert export_replies(path, target, model="n") == 2
    lines = [json.loads(line) for line in target.getvalue().splitlines()]
    assert [(line["key"], line["stage"], line["prompt_sha"], line["body"]) for line in lines] == [
        ("b", "t", "sha-n", {"said": "b"}),
        ("d", "u", "sha-n", {"said": "d"}),
    ]
    assert export_replies(path, io.StringIO(), stage="s") == 1


def test_pruning_takes_what_is_named_and_leaves_the_ledger(path: Path) -> None:
    assert prune_replies(path, older_than_days=1) == 0
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE responses SET created = '2020-01-01T00:00:00+00:00' WHERE key = 'b'")
    before = store_statistics(path)[0]
    assert prune_replies(path, older_than_days=1, model="m") == 0
    assert prune_replies(path, older_than_days=1) == 1
    assert prune_replies(path, model="m") == 1
    rows, totals = store_statistics(path)
    assert (rows, totals["replies"]) == (before, 1)


def test_a_store_in_use_is_read_but_not_pruned(path: Path) -> None:
    store = open_store(path)
    try:
        store.put(response("e")).result()
        assert store_statistics(path)[1]["replies"] == 4
        with pytest.raises(StoreUnusable, match="A run uses"):
            prune_replies(path, model="m")
    finally:
        close_store(store)


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"no response store .*none\.sqlite"):
        store_statistics(tmp_path / "none.sqlite")
    with pytest.raises(StoreUnusable, match="no response store"):
        prune_replies(tmp_path / "none.sqlite", model="m")
    (tmp_path / "text.sqlite").write_text("no database, but long enough to be looked at as one" * 20)
    with pytest.raises(StoreUnusable, match="cannot be read"):
        store_statistics(tmp_path / "text.sqlite")
    with pytest.raises(StoreUnusable, match="cannot be changed"):
        prune_replies(tmp_path / "text.sqlite", model="m")
    with sqlite3.connect(tmp_path / "old.sqlite") as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreUnusable, match="layout 1"):
        store_statistics(tmp_path / "old.sqlite")
