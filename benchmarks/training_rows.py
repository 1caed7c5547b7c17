"""Rows and pairs to train on, made of the sample world: ClariLM's prompts, replies of the lengths asked for."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from clarilm_kedro.finetuning.template import clarification_prompt, completion

SAMPLE = Path(__file__).parents[1] / "data" / "01_raw" / "sample"
Row = dict[str, str]


def make_rows(n: int, sentences: Sequence[int], seed: int = 7) -> list[Row]:
    """Make rows: every second one asks back, the others answer in some sentences of the sample's chats.

    Args:
        n: How many.
        sentences: An answer has one of these numbers of sentences, drawn evenly.
        seed: Draws everything.

    Returns:
        Rows of system, question and reply.
    """
    chance = random.Random(seed)
    facets = _records("gold/facets.jsonl")
    clear = [row["question"] for row in _records("gold/necessity.jsonl") if not row["needs_clarification"]]
    chats = json.loads((SAMPLE / "sharegpt.json").read_text(encoding="utf-8"))
    messages = [message for chat in chats for message in chat.get("conversations", [])]
    # The sample holds damaged chats on purpose.
    told = sorted({m["value"] for m in messages if m.get("from") == "gpt" and str(m.get("value", "")).endswith(".")})
    rows = []
    for at in range(n):
        if at % 2:
            facet = chance.choice(facets)
            question, reply = facet["question"], completion(True, facet["clarifying_question"])
        else:
            question = chance.choice(clear)
            reply = completion(False, " ".join(chance.sample(told, chance.choice(sentences))))
        system, _ = clarification_prompt(question)
        rows.append({"system": system["content"], "question": question, "reply": reply})
    return rows


def make_pairs(rows: Sequence[Row], seed: int = 7) -> list[Row]:
    """Make pairs: the reply of a row is preferred to that of a row of the other kind."""
    chance = random.Random(seed)
    pairs = []
    for at, row in enumerate(rows):
        other = rows[(at + 1 + 2 * chance.randrange(len(rows) // 2)) % len(rows)]
        pairs.append(
            {"system": row["system"], "question": row["question"], "chosen": row["reply"], "rejected": other["reply"]}
        )
    return pairs


def write_rows(rows: Sequence[Row], folder: Path) -> None:
    """Write rows.json, and what tells LLaMA-Factory how to read it.

    Args:
        rows: Rows or pairs.
        folder: Where they go.
    """
    folder.mkdir(parents=True)
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    columns = {"prompt": "question", "system": "system"}
    columns |= {"chosen": "chosen", "rejected": "rejected"} if "chosen" in rows[0] else {"response": "reply"}
    entry = {"file_name": "rows.json", "ranking": "chosen" in rows[0], "columns": columns}
    (folder / "dataset_info.json").write_text(json.dumps({"rows": entry}), encoding="utf-8")


def _records(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines()]
