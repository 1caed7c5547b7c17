"""One question's story, from tables in memory."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.explaining import _PROMPTS, explain_question
from clarilm_kedro.pipelines.stages import prompt_hash

ANNOTATION = "## user\nChoose."
MADE = {"teacher": "r1", "prompt_sha": prompt_hash(ANNOTATION), "request_key": "k" * 64}
TABLES = {
    "questions": [
        {"question_id": "aa1", "question": "Which\x1b[31m one?", "origin": "log", "split": "train"},
        {"question_id": "aa2", "question": "Write a poem.", "origin": "generated", "split": "test"},
    ],
    "seed_questions": [
        {"question_id": "aa1", "session_id": "s1", "reason": "It stands alone.", **MADE, "prompt_sha": "0" * 64}
    ],
    "sessions": [
        {
            "session_id": "s1",
            "source": "sharegpt",
            "source_file": "log.json",
            "position": 4,
            "n_user_turns": 3,
            "language": "English",
            "first_answer": "This one.",
        }
    ],
    "synthetic_questions": [
        {
            "question_id": "aa2",
            "persona": "A poet.",
            "example_ids": ["e1"],
            "tuning": "simplify",
            "parent": "Write a poem about rain.",
            **MADE,
            "tuning_teacher": "r1",
            "tuning_prompt_sha": "1" * 64,
            "tuning_request_key": "t" * 64,
        }
    ],
    "in_context_examples": [{"example_id": "e1", "origin": "popqa", "question": "Who wrote it?"}],
    "facets": [
        {"question_id": "aa1", "candidate_id": "f1", "model": "fm-log on smollm", "adapter_sha": "ab" * 32, "seed": 7}
    ],
    "facet_merges": [
        {
            "question_id": "aa1",
            "facet": "colour",
            "other_facet": "colour of it",
            "method": "semantic",
            "cosine": 0.93,
            "words": None,
            "sources": ["log"],
            "other_sources": ["llm"],
        }
    ],
    "candidates": [
        {
            "question_id": "aa1",
            "candidate_id": "f1",
            "kind": "ask",
            "facet": "colour",
            "text": "Which colour?",
            "sources": ["log"],
            "rank": 0,
            "position": 1,
        },
        {
            "question_id": "aa1",
            "candidate_id": "answer",
            "kind": "answer",
            "facet": "",
            "text": "The red one.",
            "sources": ["answer"],
            "rank": -1,
            "position": 2,
        },
    ],
    "answers": [{"question_id": "aa1", "answer": "The red one.", "source": "generated", **MADE}],
    "annotation_votes": [
        {
            "question_id": "aa1",
            "vote": 0,
            "seed": 7,
            "read_as": "json",
            "thought": "The colour decides.",
            "choice_id": "f1",
            **MADE,
        }
    ],
    "annotations": [
        {"question_id": "aa1", "choice_kind": "ask", "facet": "colour", "text": "Which colour?", "agreement": 1.0}
    ],
    "preferences": [
        {
            "preference_id": "pp1",
            "question_id": "aa1",
            "type": "clarify>answer",
            "split": "train",
            "seed": 7,
            "chosen_source": "log",
            "rejected_source": "answer",
            "chosen_completion": "Need Clarification: Yes\nWhich colour?",
            "rejected_completion": "Need Clarification: No\nThe red one.",
        }
    ],
    "dpo_train": [{"row_id": "pp1"}],
}


def story(question_id: str) -> str:
    entries = {name: MemoryDataset(pd.DataFrame(rows)) for name, rows in TABLES.items()}
    entries |= {name: MemoryDataset(f"## user\n{name}") for name in _PROMPTS if name != "annotation_prompt"}
    entries["annotation_prompt"] = MemoryDataset(ANNOTATION)
    return "\n".join(explain_question(question_id, DataCatalog(entries), Path("no store")))


def test_a_question_of_a_log_leads_from_its_row_to_its_pairs() -> None:
    told = story("aa1")
    for part in (
        "row 4 of log.json (sharegpt)",
        "kept because: It stands alone.",
        "a prompt that has changed since",
        "[f1] colour: Which colour?",
        "made by fm-log on smollm, adapter abababababab, drawn by seed 7",
        "merged: 'colour' and 'colour of it' (cosine 0.93; log, llm)",
        "thought: The colour decides.",
        f"made by r1; annotation_prompt {MADE['prompt_sha'][:12]}; reply kkkkkkkkkkkk",
        "Chosen: ask about 'colour'",
        "Preference pp1: clarify>answer, drawn by seed 7, used by DPO",
        "r- (answer): Need Clarification: No The red one.",
    ):
        assert part in told
    assert "\x1b" not in told


def test_a_written_question_leads_to_its_persona_and_examples() -> None:
    told = story("aa2")
    for part in (
        "persona: A poet.",
        "example e1 from popqa: Who wrote it?",
        "Write a poem about rain.",
        "tttttttttttt",
    ):
        assert part in told


def test_a_preference_row_names_its_question() -> None:
    assert story("pp1") == story("aa1")


def test_an_ambiguous_or_unknown_id_says_so() -> None:
    with pytest.raises(ClarilmError, match="2 questions begin with 'aa'"):
        story("aa")
    with pytest.raises(ClarilmError, match="No question and no preference row begins with 'zz'"):
        story("zz")
