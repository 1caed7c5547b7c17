"""What each variant of the paper's Table 2 is trained on (section 4.4): SFT-IN3, SFT-Q^L only, SFT-Full."""

from typing import Any

import pandas as pd

from clarilm_kedro.logs.question_sets import read_in3
from clarilm_kedro.logs.records import Records
from clarilm_kedro.pipelines.ofs.schemas import SFT_ROWS
from clarilm_kedro.pipelines.training.schemas import VariantOptions
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.normalise import normalise_question

LOG, IN3, IN3_TESTED = "log", "in3", "in3, in a test set"


def select_in3_rows(
    in3_train_clean: pd.DataFrame, in3_train: Records, benchmark_questions: pd.DataFrame, options: VariantOptions
) -> pd.DataFrame:
    """Turn IN3's training tasks into rows (q, r+).

    A vague task's reply asks for the missing detail of the highest importance, the first of several, in IN3's words.
    IN3 has no answers: the reply to a clear task is the decision alone.

    Args:
        in3_train_clean: IN3's training tasks without those that are test questions.
        in3_train: All of them, as published.
        benchmark_questions: The questions of the public test sets.
        options: ``in3_rows`` says which of the two.

    Returns:
        Columns row_id, question, asks, text, origin, teacher. Where they are taken as published, the origin of those
        that are test questions says so.
    """
    if options.in3_rows == "clean":
        return table([_row(row, IN3) for row in records(in3_train_clean)], SFT_ROWS, sort_by="row_id")
    tested = {normalise_question(text) for text in benchmark_questions["question"]}
    tasks: list[dict[str, Any]] = [
        {
            "row_id": task.row_id,
            "question": task.question,
            "vague": task.vague,
            "missing_details": [
                {"importance": each.importance, "inquiry": each.inquiry} for each in task.missing_details
            ],
        }
        for task in read_in3(in3_train, "in3_train")
    ]
    rows = [_row(task, IN3_TESTED if normalise_question(task["question"]) in tested else IN3) for task in tasks]
    return table(rows, SFT_ROWS, sort_by="row_id")


def select_log_rows(sft_train: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of Q^L.

    Args:
        sft_train: Columns of :data:`clarilm_kedro.pipelines.ofs.schemas.SFT_ROWS`.

    Returns:
        Those whose question is a log's.
    """
    return sft_train[sft_train["origin"] == LOG].reset_index(drop=True)


def join_training_rows(sft_train: pd.DataFrame, in3_rows: pd.DataFrame) -> pd.DataFrame:
    """Put Q^L, Q^G and IN3's training rows together.

    Args:
        sft_train: Q's training rows.
        in3_rows: IN3's.

    Returns:
        All of them.
    """
    return table([*records(sft_train), *records(in3_rows)], SFT_ROWS, sort_by="row_id")


def _row(task: dict[str, Any], origin: str) -> dict[str, Any]:
    asked = sorted(task["missing_details"], key=lambda each: -int(each["importance"])) if task["vague"] else []
    return {
        "row_id": task["row_id"],
        "question": task["question"],
        "asks": task["vague"],
        "text": asked[0]["inquiry"] if asked else "",
        "origin": origin,
        "teacher": "IN3",
    }
