"""Nodes that prepare what synthesis and training take from the public sets, cleaned of every test question."""

from typing import Any

import pandas as pd

from clarilm_kedro.logs.question_sets import In3Task, read_clamber, read_in3, read_questions
from clarilm_kedro.logs.records import Records
from clarilm_kedro.pipelines.dropping import DROPPED, drop_near_duplicates
from clarilm_kedro.pipelines.held_out import LEAKAGE, LeakageOptions, drop_leaks, find_leaks
from clarilm_kedro.pipelines.ofs.leakage import allowed_examples, with_held_out
from clarilm_kedro.pipelines.ofs.schemas import EXAMPLES, IN3_TRAIN, SynthesisOptions
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.tables import table
from clarilm_kedro.text.hashing import stable_id
from clarilm_kedro.text.similarity import NearDuplicateRule


def clean_in3_train(
    in3_train: Records,
    benchmark_questions: pd.DataFrame,
    seed_questions: pd.DataFrame,
    leakage: LeakageOptions,
    deduplication: NearDuplicateRule,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Clean IN3's training split of test questions and of its own duplicates; 42 of the 108 test tasks stand in it.

    Args:
        in3_train: IN3 training rows.
        benchmark_questions: Questions of IN3 test and CLAMBER.
        seed_questions: Q^L, whose held-out questions are test questions too.
        leakage: What counts as a leak.
        deduplication: When two rows are near-duplicates.

    Returns:
        The rows that may be trained on (row_id, question, vague, missing_details as a list of description, importance,
        inquiry and options), the dropped rows, and the leaks.
    """
    rows = [_in3_row(task) for task in read_in3(in3_train, "in3_train")]
    tests = with_held_out(benchmark_questions, seed_questions)
    leaks = find_leaks({row["row_id"]: row["question"] for row in rows}, tests, "in3_train", leakage)
    clean, leaking = drop_leaks(rows, leaks, "clean_in3_train", key="row_id")
    kept, repeated = drop_near_duplicates(clean, "clean_in3_train", deduplication, key="row_id")
    return (
        table(kept, IN3_TRAIN),
        table([*leaking, *repeated], DROPPED, sort_by="row_id"),
        table(leaks, LEAKAGE),
    )


def collect_examples(
    seed_questions: pd.DataFrame,
    ambigqa: Records,
    natural_questions: Records,
    popqa: Records,
    in3_train_clean: pd.DataFrame,
    clamber: Records,
    benchmark_questions: pd.DataFrame,
    options: SynthesisOptions,
    leakage: LeakageOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Gather the questions that synthesis may be shown as examples, without any held-out or benchmark question.

    Args:
        seed_questions: Q^L; only its training split is used.
        ambigqa: AmbigQA rows.
        natural_questions: NQ-open rows.
        popqa: PopQA rows.
        in3_train_clean: IN3 training rows that are in no test set.
        clamber: CLAMBER rows, no examples unless their weight says that they are wanted.
        benchmark_questions: Questions of IN3 test and CLAMBER.
        options: ``example_weights``; a source of weight 0 is left out.
        leakage: What counts as a leak.

    Returns:
        Columns example_id, origin, question; and the leaks, those that are dropped and those that the weights allow.
    """
    sources = {
        "seed_questions": list(seed_questions.loc[seed_questions["split"] == "train", "question"]),
        "in3": list(in3_train_clean["question"]),
        "ambigqa": [row.question for row in read_questions(ambigqa, "ambigqa")],
        "natural_questions": [row.question for row in read_questions(natural_questions, "natural_questions")],
        "popqa": [row.question for row in read_questions(popqa, "popqa")],
        "clamber": [row.question for row in read_clamber(clamber)],
    }
    rows = {
        stable_id(origin, question_identity(text)): {"origin": origin, "question": text}
        for origin, texts in sources.items()
        if options.example_weights.get(origin)
        for text in texts
        if len(text) <= options.max_chars
    }
    leaks = find_leaks(
        {row_id: row["question"] for row_id, row in rows.items()},
        with_held_out(benchmark_questions, seed_questions),
        "in_context_examples",
        leakage,
        allowed=allowed_examples(options),
    )
    named: list[dict[str, Any]] = [{**row, "example_id": row_id} for row_id, row in rows.items()]
    kept, _ = drop_leaks(named, leaks, "collect_examples", key="example_id")
    return table(kept, EXAMPLES, sort_by="example_id"), table(leaks, LEAKAGE)


def _in3_row(task: In3Task) -> dict[str, Any]:
    details = [
        {
            "description": each.description,
            "importance": each.importance,
            "inquiry": each.inquiry,
            "options": list(each.options),
        }
        for each in task.missing_details
    ]
    return {"row_id": task.row_id, "question": task.question, "vague": task.vague, "missing_details": details}
