"""Rows of the tests of Q: sessions, judgements, raw inputs and written questions."""

from typing import Any

import pandas as pd

from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.pipelines.cfd.schemas import FM_LOG_EXAMPLES
from clarilm_kedro.pipelines.held_out import BENCHMARK_QUESTIONS, ClusterRule, LeakageOptions
from clarilm_kedro.pipelines.ofs.schemas import (
    EXAMPLES,
    IN3_TRAIN,
    SEED_QUESTIONS,
    SYNTHETIC_QUESTIONS,
)
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.tables import FAILED, table
from clarilm_kedro.text.similarity import NearDuplicateRule

#: Without embeddings: what they add is tested where they are computed.
LEXICAL = NearDuplicateRule(jaccard=0.8, cosine=None, band_from=0.6)
CLUSTERS = ClusterRule(cosine=None)
LEAKAGE = LeakageOptions(cosine=None)
MADE = {"teacher": "t", "prompt_sha": "p", "request_key": "k"}
NO_RECORDS = Records("none", [], [])


def session(number: int, question: str, *, mid: bool = False, like: str | None = None) -> dict[str, Any]:
    return {
        "session_id": f"s{number:03}",
        "source": "sharegpt",
        "first_question": question,
        "starts_mid_chat": mid,
        "near_duplicate_of": like,
    }


def judged(question: str, *, keep: bool = True, split: str = "train") -> dict[str, Any]:
    return {
        "question_id": question_identity(question),
        "question": question,
        "session_id": f"session of {question}",
        "source": "wildchat",
        "keep": keep,
        "reason": "it stands on its own",
        "split": split,
        **MADE,
    }


def written(number: int, question: str, *, tuning: str = "keep") -> dict[str, Any]:
    return {
        "row_id": f"r{number:03}",
        "question_id": question_identity(question),
        "question": question,
        "call_id": f"c{number // 3:03}",
        "persona": "p",
        "example_ids": [],
        "tuning": tuning,
        "parent": None,
        **MADE,
        "tuning_teacher": None,
        "tuning_prompt_sha": None,
        "tuning_request_key": None,
    }


def seeds(*rows: dict[str, Any]) -> pd.DataFrame:
    return table(rows, SEED_QUESTIONS)


def synthetic(*questions: str) -> pd.DataFrame:
    return table([written(number, text) for number, text in enumerate(questions)], SYNTHETIC_QUESTIONS)


def fm_log(*questions: str) -> pd.DataFrame:
    rows = [{"example_id": f"mined {text}", "question": text, "completion": "budget\nHow much?"} for text in questions]
    return table([{**row, "clarification_ids": []} for row in rows], FM_LOG_EXAMPLES)


def examples(*questions: str) -> pd.DataFrame:
    rows = [{"example_id": f"example of {text}", "origin": "popqa", "question": text} for text in questions]
    return table(rows, EXAMPLES)


def in3_rows(*tasks: str) -> pd.DataFrame:
    rows = [{"row_id": f"in3_train-{at}", "question": text, "vague": True} for at, text in enumerate(tasks)]
    return table([{**row, "missing_details": []} for row in rows], IN3_TRAIN)


def benchmark(**questions: str) -> pd.DataFrame:
    rows = [{"test_set": name, "test_id": f"{name}-0", "question": text} for name, text in questions.items()]
    return table(rows, BENCHMARK_QUESTIONS)


def recorded(*rows: dict[str, Any]) -> Records:
    return Records("given", [Record(position=index, data=row, source_file="f") for index, row in enumerate(rows)], [])


def in3(*tasks: str) -> Records:
    return recorded(*({"task": task, "vague": False, "missing_details": [], "category": "x"} for task in tasks))


def clamber(*questions: str) -> Records:
    return recorded(*({"question": text, "require_clarification": 0} for text in questions))


def failed(*row_ids: str, kind: str = "timeout") -> pd.DataFrame:
    rows = [
        {
            "row_id": row_id,
            "stage": "s",
            "kind": kind,
            "error": "e",
            "attempts": 5,
            "cost_usd": None,
            "model": "m",
            "excerpt": "",
        }
        for row_id in row_ids
    ]
    return table(rows, FAILED)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=1)


def with_ids(frame: pd.DataFrame, column: str = "question_id") -> set[str]:
    return set(frame[column])
