import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clarilm_kedro.sample.gold import gold_facets, gold_intents, gold_necessity
from clarilm_kedro.sample.splits import split_world
from clarilm_kedro.sample.world import World


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _sessions(made: Path) -> dict[tuple[str, str], list[list[str]]]:
    """The user texts of every session in the files."""
    sessions: dict[tuple[str, str], list[list[str]]] = {}
    for element in json.loads((made / "sharegpt.json").read_bytes()):
        if "id" in element:
            turns = element.get("conversations", [])
            texts = [turn.get("value") or "" for turn in turns if turn["from"] == "human"]
            sessions.setdefault(("sharegpt", element["id"]), []).append([text for text in texts if text])
    for shard in sorted((made / "wildchat").iterdir()):
        for row in pq.read_table(shard).to_pylist():
            texts = [message["content"] for message in row["conversation"] if message["role"] == "user"]
            sessions.setdefault(("wildchat", row["conversation_hash"]), []).append([text for text in texts if text])
    return sessions


def test_clarifications_stand_in_the_files(made: Path) -> None:
    sessions = _sessions(made)
    rows = _rows(made / "gold/clarifications.jsonl")
    missing = 0
    for row in rows:
        assert row["second"] == row["first"] + 1
        assert row["chat_id"].startswith(f"{row['source']}-{row['session'].rsplit('_', 1)[0]}")
        pair = [row["question"], row["next_question"]]
        found = any(
            texts[row["first"] : row["second"] + 1] == pair for texts in sessions[row["source"], row["session"]]
        )
        missing += not found
    # What does not stand in one element straddles two chunks of a chat, or follows the border in the joined chat.
    assert 0 < missing < 12


def test_every_request_has_its_label(world: World) -> None:
    rows = gold_necessity(world)
    labels = {row["question"]: row["needs_clarification"] for row in rows}
    assert len(labels) == len(rows)
    assert all(labels[text] for intent in world.intents for text in intent.vague)
    assert not any(labels[item.question] for intent in world.intents for item in intent.specified)
    best = gold_facets(world)
    assert {row["question"] for row in best} == {text for text, needed in labels.items() if needed}
    assert all(row["facet"] == row["facets"][0] for row in best)
    assert all(row["clarifying_question"] == row["clarifying_questions"][0] for row in best)
    assert all(len(row["facets"]) == len(row["clarifying_questions"]) for row in best)


def test_every_question_has_its_use(world: World) -> None:
    rows = gold_intents(world, split_world(world))
    assert len({row["question"] for row in rows}) == len(rows)
    assert {row["role"] for row in rows} == {
        *("vague", "specified", "says", "next_step", "follow_up", "fact", "reading")
    }
    assert {row["use"] for row in rows} == {
        *("log", "in3_train", "reserved", "in3_test", "clamber", "ambigqa", "nq", "popqa", None)
    }
