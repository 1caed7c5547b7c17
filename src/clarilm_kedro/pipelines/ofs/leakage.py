"""The leak guard: nothing that is trained on, shown as an example or written is a test question.

What leaks was dropped where it came in; here the finished tables are looked at once more, and a test question that is
still in one of them stops the run.
"""

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.pipelines.held_out import (
    BENCHMARK_QUESTIONS,
    CLAMBER,
    DROPPED,
    LEAKAGE,
    REMAINS,
    LeakageOptions,
    find_leaks,
)
from clarilm_kedro.pipelines.ofs.schemas import LEAKAGE_SUMMARY, SynthesisOptions
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.similarity import EXACT

OUR_TEST = "our_test"
VALIDATION = "validation"


def with_held_out(benchmark_questions: pd.DataFrame, seed_questions: pd.DataFrame) -> pd.DataFrame:
    """Add the held-out questions of Q^L to the test questions.

    Args:
        benchmark_questions: Columns test_set, test_id, question.
        seed_questions: Q^L with its split.

    Returns:
        Columns test_set, test_id, question.
    """
    names = {"test": OUR_TEST, "valid": VALIDATION}
    rows = [
        {"test_set": names[row["split"]], "test_id": row["question_id"], "question": row["question"]}
        for row in records(seed_questions)
        if row["split"] in names
    ]
    return table([*records(benchmark_questions), *rows], BENCHMARK_QUESTIONS)


def find_leakage(
    fm_log_leaks: pd.DataFrame,
    first_question_leaks: pd.DataFrame,
    in3_train_leaks: pd.DataFrame,
    example_leaks: pd.DataFrame,
    synthetic_leaks: pd.DataFrame,
    benchmark_questions: pd.DataFrame,
    our_test: pd.DataFrame,
    in_context_examples: pd.DataFrame,
    fm_log_examples: pd.DataFrame,
    sft_train: pd.DataFrame,
    dpo_train: pd.DataFrame,
    validation: pd.DataFrame,
    options: LeakageOptions,
    synthesis: SynthesisOptions,
) -> pd.DataFrame:
    """Compare the finished training tables with every test set, and list that with what was dropped before.

    Args:
        fm_log_leaks: Leaks among the mined clarifications.
        first_question_leaks: Leaks among the first questions.
        in3_train_leaks: Leaks among IN3's training rows.
        example_leaks: Leaks among the examples.
        synthetic_leaks: Leaks among the written questions.
        benchmark_questions: Questions of IN3 test and CLAMBER.
        our_test: Our-test.
        in_context_examples: Examples that synthesis was shown.
        fm_log_examples: FM-LOG's training rows.
        sft_train: Rows for supervised fine-tuning.
        dpo_train: Preference pairs.
        validation: Rows that fit the asking threshold.
        options: What counts as a leak.
        synthesis: Whether CLAMBER may be an example.

    Returns:
        One row per pair of a test question and a row: ``dropped`` before training, ``review`` (close, still there),
        ``allowed`` (still there on purpose) or ``remains`` (still there, and it should not be).
    """
    ours = [{"test_set": OUR_TEST, "test_id": row["item_id"], "question": row["question"]} for row in records(our_test)]
    tests = table([*records(benchmark_questions), *ours], BENCHMARK_QUESTIONS)
    finished = {
        "in_context_examples": (in_context_examples, "example_id", allowed_examples(synthesis)),
        "fm_log_examples": (fm_log_examples, "example_id", frozenset()),
        "sft_train": (sft_train, "row_id", frozenset()),
        "dpo_train": (dpo_train, "row_id", frozenset()),
        "validation": (validation, "row_id", frozenset()),
    }
    rows = [
        leak
        for frame in (fm_log_leaks, first_question_leaks, in3_train_leaks, example_leaks, synthetic_leaks)
        for leak in records(frame)
    ]
    for name, (frame, key, allowed) in finished.items():
        questions = dict(zip(frame[key], frame["question"], strict=True))
        found = find_leaks(questions, tests, name, options, allowed=allowed)
        rows += [{**leak, "action": REMAINS if leak["action"] == DROPPED else leak["action"]} for leak in found]
    keys = ("train_table", "train_id", "test_set", "test_id")
    return table({tuple(row[key] for key in keys): row for row in rows}.values(), LEAKAGE).sort_values(
        list(keys), ignore_index=True
    )


def check_leakage(leakage: pd.DataFrame) -> pd.DataFrame:
    """Stop the run if a test question is still in a training table word for word.

    Args:
        leakage: What :func:`find_leakage` gives.

    Returns:
        Counts by train_table, test_set, method and action.

    Raises:
        ClarilmError: It is; names the rows.
    """
    left = leakage[(leakage["method"] == EXACT) & (leakage["action"] == REMAINS)]
    if len(left):
        named = [
            f"{row['train_table']} {row['train_id']} is {row['test_set']} {row['test_id']}" for row in records(left)
        ]
        raise ClarilmError(
            f"{len(left)} rows to train on are test questions word for word: {'; '.join(named[:5])}"
            f"{' ...' if len(named) > 5 else ''}. All stand in the dataset 'leakage' with action '{REMAINS}'. A table "
            "made by an earlier run with other options or inputs is the likely cause: run cfd and ofs again."
        )
    groups = ["train_table", "test_set", "method", "action"]
    counts = leakage.groupby(groups, sort=True).size().rename("n").reset_index()
    return table(records(counts), LEAKAGE_SUMMARY)


def allowed_examples(synthesis: SynthesisOptions) -> frozenset[str]:
    """Name the test sets whose questions may be examples, as the paper's mix has it."""
    return frozenset({CLAMBER} if synthesis.example_weights.get(CLAMBER) else ())
