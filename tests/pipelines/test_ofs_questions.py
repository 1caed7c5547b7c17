"""Q^L, the plan of the synthesis, Q^G and the split."""

from collections import Counter
from typing import Any

import ibis
import pandas as pd
import pytest

from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.pipelines.ofs.schemas import (
    EXAMPLES,
    JUDGEMENTS,
    PLAN,
    SEED_QUESTIONS,
    SYNTHETIC_QUESTIONS,
    TUNED,
    SeedOptions,
    SplitOptions,
    SynthesisOptions,
)
from clarilm_kedro.pipelines.ofs.seeds import accept_seed_questions, question_identity, select_first_questions
from clarilm_kedro.pipelines.ofs.synthesis import (
    accept_synthetic_questions,
    assemble_questions,
    collect_examples,
    plan_synthesis,
)
from clarilm_kedro.tables import FAILED, table

SEEDS = SeedOptions(max_questions=None, max_chars=80, min_words=2, max_failed_share=0.02)
SPLIT = SplitOptions(test_questions=10, validation_questions=5, synthetic_target=50)
NO_RECORDS = Records("none", [], [])


def session(number: int, question: str, *, mid: bool = False, like: str | None = None) -> dict[str, Any]:
    return {
        "session_id": f"s{number}",
        "source": "sharegpt",
        "first_question": question,
        "starts_mid_chat": mid,
        "near_duplicate_of": like,
    }


def judged(number: int, *, keep: bool = True) -> dict[str, Any]:
    question = f"Question number {number}?"
    return {
        "question_id": question_identity(question),
        "question": question,
        "session_id": f"s{number}",
        "source": "wildchat",
        "keep": keep,
        "reason": "",
        "teacher": "t",
    }


def recorded(*rows: dict[str, Any]) -> Records:
    return Records("given", [Record(position=index, data=row, source_file="f") for index, row in enumerate(rows)], [])


def in3(*tasks: str) -> Records:
    return recorded(
        *({"task": task, "vague": False, "missing_details": [], "category": "x", "thought": ""} for task in tasks)
    )


def nothing_failed() -> pd.DataFrame:
    return table([], FAILED)


def test_only_usable_first_questions_are_taken_and_equal_ones_once() -> None:
    sessions = ibis.memtable(
        [
            session(1, "Where is it?"),
            session(2, "where is it"),
            session(3, "continue please", mid=True),
            session(4, "x" * 90 + " y"),
            session(5, "Hi"),
            session(6, "Where is it now?", like="s1"),
            session(7, "How are these three alike?", like="s3"),  # the one it is like is not usable itself
            session(8, "How are those three alike?", like="s3"),
        ]
    )
    assert sorted(select_first_questions(sessions, SEEDS)["question"]) == ["How are these three alike?", "Where is it?"]


def test_the_held_out_part_of_the_seed_questions_is_drawn_in_proportion() -> None:
    frame = table([judged(number) for number in range(50)], JUDGEMENTS)
    accepted = accept_seed_questions(frame, nothing_failed(), SEEDS, SPLIT)
    assert Counter(accepted["split"]) == {"test": 5, "valid": 2, "train": 43}
    shuffled = accept_seed_questions(frame.sample(frac=1, random_state=1), nothing_failed(), SEEDS, SPLIT)
    pd.testing.assert_frame_equal(accepted, shuffled)


def test_too_many_failed_judgements_stop_the_run() -> None:
    failure = {
        "row_id": "a",
        "stage": "s",
        "kind": "timeout",
        "error": "e",
        "attempts": 5,
        "cost_usd": None,
        "model": "m",
        "excerpt": "",
    }
    with pytest.raises(TooManyFailures, match="seed_questions_failed"):
        accept_seed_questions(table([judged(1)], JUDGEMENTS), table([failure], FAILED), SEEDS, SPLIT)


def test_no_held_out_and_no_benchmark_question_is_an_example() -> None:
    rows = [
        {**judged(1), "split": "train"},
        {**judged(2), "split": "test"},
        {**judged(3), "split": "train", "question": "Plan my trip."},
    ]
    found = collect_examples(
        table(rows, SEED_QUESTIONS),
        NO_RECORDS,
        recorded({"question": "who wrote it", "answer": ["x"]}),
        NO_RECORDS,
        in3("Plan my trip.", "Fix my bike."),
        in3("plan my trip"),
        NO_RECORDS,
        SynthesisOptions(),
    )
    assert set(found["question"]) == {"Question number 1?", "Fix my bike.", "who wrote it"}
    assert set(found["origin"]) == {"seed_questions", "in3", "natural_questions"}


def test_sources_are_drawn_by_weight_whatever_their_size() -> None:
    examples = [{"example_id": f"n{number}", "origin": "natural_questions", "question": "q"} for number in range(300)]
    examples += [{"example_id": f"s{number}", "origin": "seed_questions", "question": "q"} for number in range(20)]
    options = SynthesisOptions(target=300, per_call=3, oversample=1, examples_per_call=4)
    plan = plan_synthesis(recorded({"persona": "A nurse."}), table(examples, EXAMPLES), options)
    drawn = Counter(example[0] for ids in plan["example_ids"] for example in ids)
    assert len(plan) == 100
    assert 0.4 < drawn["s"] / sum(drawn.values()) < 0.6


def test_without_personas_nothing_is_planned() -> None:
    assert plan_synthesis(NO_RECORDS, table([], EXAMPLES), SynthesisOptions(target=5)).empty


def test_synthetic_questions_are_new_and_at_most_the_target() -> None:
    tuned = [
        {
            "row_id": f"r{number}",
            "question_id": question_identity(f"Question number {number % 6}?"),
            "question": f"Question number {number % 6}?",
            "persona": "p",
            "example_ids": [],
            "tuning": "keep",
            "parent": None,
            "teacher": "t",
        }
        for number in range(12)
    ]
    found = accept_synthetic_questions(
        table(tuned, TUNED),
        nothing_failed(),
        nothing_failed(),
        table([], PLAN),
        table([{**judged(1), "split": "train"}], SEED_QUESTIONS),
        SynthesisOptions(target=4),
    )
    assert len(found) == 4
    assert "Question number 1?" not in set(found["question"])


def test_a_question_that_a_benchmark_tests_is_dropped_and_reported() -> None:
    seeds = table([{**judged(number), "split": "train"} for number in range(3)], SEED_QUESTIONS)
    questions, leakage = assemble_questions(
        seeds, table([], SYNTHETIC_QUESTIONS), in3("question number 2"), NO_RECORDS, SPLIT
    )
    assert len(questions) == 2
    assert list(leakage["test_set"]) == ["in3"]
    assert list(leakage["action"]) == ["dropped"]


def test_shares_that_exceed_one_are_refused() -> None:
    with pytest.raises(ValueError, match="exceed 1"):
        SynthesisOptions(enrich_share=0.8, simplify_share=0.5)
