"""What falls away on the way to Q and to FM-LOG: each question with its stage, its reason and the one it is like."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.tables import records, table
from clarilm_kedro.text.deduplication import Duplicate, find_duplicates
from clarilm_kedro.text.similarity import NearDuplicateRule

#: ``row_id`` is the row's name at its stage, ``other_id`` what it is like.
DROPPED = {
    "row_id": "str",
    "question_id": "str",
    "question": "str",
    "stage": "str",
    "reason": "str",
    "other_id": "str",
    "score": "float64",
}

TOO_SHORT = "too short"
EQUAL = "equal to another"
NEAR = "near-duplicate"
MARKED = "near-duplicate, as ingestion estimated"
LEAK = "in a test set"
NOT_KEPT = "not kept by the judge"
CALL_FAILED = "the call failed"
EMPTY = "empty after tuning"
OVER_TARGET = "over the target"
HELD_BACK = "its session is held back for the test sets"
TIES_SPLITS = "ties two splits together"


def dropped(
    row: Mapping[str, Any],
    stage: str,
    reason: str,
    *,
    row_id: str | None = None,
    other_id: str | None = None,
    score: float | None = None,
) -> dict[str, Any]:
    """Describe a question that falls away.

    Args:
        row: Its row, with a question and, where it has them, row_id and question_id.
        stage: The node that drops it.
        reason: One of this module's reasons.
        row_id: Name of the row at this stage; without one the row's own row_id or question_id.
        other_id: The question it repeats, or the test item.
        score: How similar the two are.

    Returns:
        A row of :data:`DROPPED`.
    """
    question_id = row.get("question_id")
    return {
        "row_id": row_id or row.get("row_id") or question_id,
        "question_id": question_id,
        "question": row["question"],
        "stage": stage,
        "reason": reason,
        "other_id": other_id,
        "score": score,
    }


def drop_near_duplicates(
    rows: Iterable[Mapping[str, Any]],
    stage: str,
    rule: NearDuplicateRule,
    *,
    kept: Iterable[Mapping[str, Any]] = (),
    key: str = "question_id",
) -> tuple[list[Mapping[str, Any]], list[dict[str, Any]]]:
    """Drop near-duplicates, so that none remain; each dropped row names one that is kept.

    Args:
        rows: Rows with ``key`` and question.
        stage: The node that drops them.
        rule: When two questions are near-duplicates.
        kept: Rows that are kept whatever they are like, and that these rows may not repeat.
        key: The column that names a row.

    Returns:
        The rows that stay, in their order, and the dropped ones.
    """
    before, given = list(kept), list(rows)
    every = [*before, *given]
    found: dict[int, Duplicate] = {
        each.at: each for each in find_duplicates([row["question"] for row in every], rule, len(before))
    }
    stay = [row for at, row in enumerate(given, start=len(before)) if at not in found]
    gone = [
        dropped(every[at], stage, NEAR, other_id=every[each.of][key], score=each.score) for at, each in found.items()
    ]
    return stay, gone


def collect_dropped_questions(
    first_questions_dropped: pd.DataFrame,
    seed_questions_dropped: pd.DataFrame,
    in3_train_dropped: pd.DataFrame,
    synthetic_questions_dropped: pd.DataFrame,
    questions_dropped: pd.DataFrame,
) -> pd.DataFrame:
    """Put everything that fell away on the way to Q in one table.

    At each stage the rows that came in are those that went on and those that stand here.

    Args:
        first_questions_dropped: First questions of sessions that were not judged.
        seed_questions_dropped: Judged questions that are not in Q^L.
        in3_train_dropped: IN3 training rows that are not used.
        synthetic_questions_dropped: Written questions that are not in Q^G.
        questions_dropped: Questions of Q^G that are not in Q.

    Returns:
        One row per question, with its stage, reason and what it is like.
    """
    tables = (
        first_questions_dropped,
        seed_questions_dropped,
        in3_train_dropped,
        synthetic_questions_dropped,
        questions_dropped,
    )
    rows = [row for frame in tables for row in records(frame)]
    return table(sorted(rows, key=lambda row: (row["stage"], row["row_id"])), DROPPED)
