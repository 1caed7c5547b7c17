"""The leak guard: nothing that is trained on, shown as an example or written is a test question.

A question leaks where its normal form equals that of a test question, where their character 5-grams have a Jaccard
similarity of at least 0.6, or where the cosine of their embeddings is at least 0.9; from 0.8 on a pair is reported for
review. The thresholds are those at which pairs of IN3's and CLAMBER's questions, read one by one, were the same task.
A test set is never changed: what leaks is dropped on the other side.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.question_sets import read_clamber, read_in3
from clarilm_kedro.logs.records import Records
from clarilm_kedro.pipelines.ofs.dropping import LEAK, dropped
from clarilm_kedro.pipelines.ofs.schemas import (
    BENCHMARK_QUESTIONS,
    LEAKAGE,
    LEAKAGE_SUMMARY,
    LeakageOptions,
    SynthesisOptions,
)
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.similarity import EXACT, SEMANTIC, NearDuplicateRule, pairs_between

OUR_TEST = "our_test"
VALIDATION = "validation"
CLAMBER = "clamber"
#: The row is left out; it is close enough to look at; options ask for it; it is still there at the end.
DROPPED, REVIEW, ALLOWED, REMAINS = "dropped", "review", "allowed", "remains"


def collect_benchmark_questions(in3_test: Records, clamber: Records) -> pd.DataFrame:
    """Gather the questions of the public test sets, all of them.

    Args:
        in3_test: IN3 test rows.
        clamber: CLAMBER rows.

    Returns:
        Columns test_set, test_id, question.
    """
    rows = [
        {"test_set": name, "test_id": row.row_id, "question": row.question}
        for name, items in (("in3", read_in3(in3_test)), (CLAMBER, read_clamber(clamber)))
        for row in items
    ]
    return table(rows, BENCHMARK_QUESTIONS)


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


def find_leaks(
    questions: Mapping[str, str],
    tests: pd.DataFrame,
    train_table: str,
    options: LeakageOptions,
    *,
    allowed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Compare questions with every test question.

    Args:
        questions: Row id to question.
        tests: Columns test_set, test_id, question.
        train_table: Where the questions stand.
        options: What counts as a leak.
        allowed: Test sets that the options ask for as examples.

    Returns:
        Rows of :data:`clarilm_kedro.pipelines.ofs.schemas.LEAKAGE`, one per pair.
    """
    ids, texts = list(questions), list(questions.values())
    items = records(tests)
    wanted = options.model_dump(exclude={"review_cosine"})
    if options.cosine is not None:
        wanted["cosine"] = options.review_cosine
    pairs = pairs_between(texts, [item["question"] for item in items], NearDuplicateRule(**wanted))
    return [
        {
            "test_set": items[pair["right"]]["test_set"],
            "test_id": items[pair["right"]]["test_id"],
            "train_table": train_table,
            "train_id": ids[pair["left"]],
            "method": pair["method"],
            "score": pair["score"],
            "action": _action(pair, items[pair["right"]]["test_set"], options, allowed),
            "test_text": items[pair["right"]]["question"],
            "train_text": texts[pair["left"]],
        }
        for pair in records(pairs)
    ]


def drop_leaks(
    rows: Iterable[Mapping[str, Any]], leaks: Iterable[Mapping[str, Any]], stage: str, *, key: str = "question_id"
) -> tuple[list[Mapping[str, Any]], list[dict[str, Any]]]:
    """Drop the rows that leak.

    Args:
        rows: Rows with ``key`` and question.
        leaks: What :func:`find_leaks` gives for them.
        stage: The node that drops them.
        key: The column that names a row.

    Returns:
        The rows that stay, and the dropped ones with the most similar test item.
    """
    worst: dict[str, Mapping[str, Any]] = {}
    for leak in leaks:
        if leak["action"] == DROPPED and leak["score"] > worst.get(leak["train_id"], {"score": -1})["score"]:
            worst[leak["train_id"]] = leak
    stay, gone = [], []
    for row in rows:
        found = worst.get(row[key])
        if found is None:
            stay.append(row)
        else:
            gone.append(dropped(row, stage, LEAK, other_id=found["test_id"], score=found["score"]))
    return stay, gone


def find_leakage(
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

    FM-LOG's rows come from the logs that Our-test is drawn from, too. It only proposes candidates, also those of
    Our-test, and no system that is tested learns from its rows; they are reported and left as they are.

    Args:
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
    every_set = frozenset(tests["test_set"])
    finished = {
        "in_context_examples": (in_context_examples, "example_id", allowed_examples(synthesis)),
        "fm_log_examples": (fm_log_examples, "example_id", every_set),
        "sft_train": (sft_train, "row_id", frozenset()),
        "dpo_train": (dpo_train, "row_id", frozenset()),
        "validation": (validation, "row_id", frozenset()),
    }
    rows = [
        leak
        for frame in (first_question_leaks, in3_train_leaks, example_leaks, synthetic_leaks)
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
            "made by an earlier run with other options or inputs is the likely cause: run the pipeline ofs again."
        )
    groups = ["train_table", "test_set", "method", "action"]
    counts = leakage.groupby(groups, sort=True).size().rename("n").reset_index()
    return table(records(counts), LEAKAGE_SUMMARY)


def allowed_examples(synthesis: SynthesisOptions) -> frozenset[str]:
    """Name the test sets whose questions may be examples, as the paper's mix has it."""
    return frozenset({CLAMBER} if synthesis.example_weights.get(CLAMBER) else ())


def _action(pair: Mapping[str, Any], test_set: str, options: LeakageOptions, allowed: Collection[str]) -> str:
    if test_set in allowed:
        return ALLOWED
    if pair["method"] == SEMANTIC and options.cosine is not None and pair["score"] < options.cosine:
        return REVIEW
    return DROPPED
