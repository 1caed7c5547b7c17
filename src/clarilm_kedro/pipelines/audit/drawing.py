"""Nodes that draw what a teacher is asked in an audit, from the gold labels of the sample world and from IN3."""

from collections.abc import Callable, Iterable
from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clarilm_kedro.logs.question_sets import In3Task, read_in3
from clarilm_kedro.logs.records import Records
from clarilm_kedro.pipelines.audit.schemas import (
    FACET_QUESTIONS,
    FILTER_QUESTIONS,
    IN3_TASKS,
    QUESTIONS,
    DrawOptions,
)
from clarilm_kedro.pipelines.cfd.schemas import CANDIDATES, FACETS
from clarilm_kedro.pipelines.ofs.schemas import ANSWERS
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_id, stable_order
from clarilm_kedro.text.normalise import normalise_facet

_STAND_ALONE = frozenset({"vague", "specified", "fact"})
# Next steps and follow-ups are left out: some of them can be understood on their own and some cannot.
_DEPEND = frozenset({"says"})


def draw_sessions(all_sessions: ir.Table, gold_clarifications: Records, options: DrawOptions) -> ir.Table:
    """Draw sessions, those with gold clarifications and those without in the shares they have.

    Args:
        all_sessions: The sessions of the sample logs; columns session_id, chat_id and others.
        gold_clarifications: Gold clarifications; field chat_id.
        options: ``max_sessions``, ``seed``.

    Returns:
        The drawn rows, ordered by session_id.
    """
    clarified = {record.data["chat_id"] for record in gold_clarifications.rows}
    known = records(all_sessions.select("session_id", "chat_id").to_pandas())
    drawn = draw_in_shares(
        known,
        options.max_sessions,
        options.seed,
        lambda row: row["session_id"],
        lambda row: row["chat_id"] in clarified,
    )
    ids = [row["session_id"] for row in drawn]
    return all_sessions.filter(all_sessions.session_id.isin(ids)).order_by("session_id")


def draw_questions(gold_necessity: Records, gold_facets: Records, options: DrawOptions) -> pd.DataFrame:
    """Draw questions with their gold labels, vague and clear ones in the shares they have.

    Clear facts of which no reading is ambiguous have no facet in the gold labels and are left out: with the answer as
    the only candidate there is nothing to choose.

    Args:
        gold_necessity: Fields question, needs_clarification, intent.
        gold_facets: Fields intent, facets, clarifying_questions, one row per vague question.
        options: ``max_questions``, ``seed``.

    Returns:
        Columns of :data:`clarilm_kedro.pipelines.audit.schemas.QUESTIONS`; a question has all facets of its intent, the
        most useful first, also where it needs none.
    """
    by_intent = {record.data["intent"]: record.data for record in gold_facets.rows}
    rows: dict[str, dict[str, Any]] = {}
    for record in gold_necessity.rows:
        gold = by_intent.get(record.data["intent"])
        if gold is None:
            continue
        question_id = question_identity(record.data["question"])
        row = {
            **record.data,
            "question_id": question_id,
            "origin": "audit",
            "split": "audit",
            "gold_facets": gold["facets"],
            "gold_questions": gold["clarifying_questions"],
        }
        rows.setdefault(question_id, row)
    drawn = draw_in_shares(
        rows.values(), options.max_questions, options.seed, _question_id, lambda row: row["needs_clarification"]
    )
    return table(drawn, QUESTIONS, sort_by="question_id")


def draw_filter_questions(gold_intents: Records, options: DrawOptions) -> pd.DataFrame:
    """Draw texts for the question filter: requests that stand alone, and additions that mean nothing alone.

    Args:
        gold_intents: Fields question, role.
        options: ``max_questions``, ``seed``.

    Returns:
        Columns question_id, question, session_id (empty), source, stands_alone.
    """
    rows = {
        question_identity(record.data["question"]): record.data
        for record in gold_intents.rows
        if record.data["role"] in _STAND_ALONE | _DEPEND
    }
    labelled = [
        {
            "question_id": question_id,
            "question": row["question"],
            "session_id": "",
            "source": "gold",
            "stands_alone": row["role"] in _STAND_ALONE,
        }
        for question_id, row in rows.items()
    ]
    drawn = draw_in_shares(labelled, options.max_questions, options.seed, _question_id, lambda row: row["stands_alone"])
    return table(drawn, FILTER_QUESTIONS, sort_by="question_id")


def draw_in3_tasks(in3_train: Records, in3_test: Records, options: DrawOptions) -> pd.DataFrame:
    """Draw vague IN3 tasks with the details they leave open, test and training tasks in the shares they have.

    Args:
        in3_train: IN3's training rows; a task that is also a test task counts as one of those.
        in3_test: IN3's test rows.
        options: ``max_in3_tasks``, ``seed``.

    Returns:
        Columns question_id, question, source (in3_test, in3_train), details (their descriptions), importances (1 to 3).
    """
    rows: dict[str, dict[str, Any]] = {}
    for source, task in [
        *(("in3_test", task) for task in read_in3(in3_test, "in3_test")),
        *(("in3_train", task) for task in read_in3(in3_train, "in3_train")),
    ]:
        rows.setdefault(question_identity(task.question), _in3_row(source, task))
    vague = [row for row in rows.values() if row["details"]]
    drawn = draw_in_shares(vague, options.max_in3_tasks, options.seed, _question_id, lambda row: row["source"])
    return table(drawn, IN3_TASKS, sort_by="question_id")


def gather_facet_questions(
    questions: pd.DataFrame, in3_tasks: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put together what facets are listed for, each question once, and leave FM-LOG and answers of logs out.

    FM-LOG has to be trained on what the teacher extracted, so an audit that comes before any spending is without it;
    the pipeline ``recall`` measures it.

    Args:
        questions: The questions with gold labels.
        in3_tasks: The IN3 tasks.

    Returns:
        Columns question_id, question; and tables without rows in the place of FM-LOG's candidates and logs' answers.
    """
    rows = {row["question_id"]: row for frame in (in3_tasks, questions) for row in records(frame)}
    asked = table(rows.values(), FACET_QUESTIONS, sort_by="question_id")
    return asked, table([], CANDIDATES), table([], ANSWERS)


def list_gold_candidates(questions: pd.DataFrame) -> pd.DataFrame:
    """Offer every question the gold facets of its intent, so that a choice is judged apart from what FM-LLM found.

    Args:
        questions: The questions with gold labels.

    Returns:
        Columns of :data:`clarilm_kedro.pipelines.cfd.schemas.FACETS`, source ``gold``.
    """
    rows = [
        {
            **dict.fromkeys(FACETS),
            **row,
            "candidate_id": stable_id(row["question_id"], normalise_facet(facet), length=8),
            "facet": facet,
            "clarifying_question": clarifying_question,
            "sources": ["gold"],
            "members": [facet],
            "rank": rank,
        }
        for row in records(questions)
        for rank, (facet, clarifying_question) in enumerate(zip(row["gold_facets"], row["gold_questions"], strict=True))
    ]
    return table(rows, FACETS)


def draw_in_shares(
    rows: Iterable[dict[str, Any]],
    limit: int | None,
    seed: int,
    key: Callable[[dict[str, Any]], str],
    label: Callable[[dict[str, Any]], object],
) -> list[dict[str, Any]]:
    """Draw rows so that every class has about the share it has in the whole.

    Args:
        rows: What to draw from.
        limit: How many; None takes all.
        seed: The project's seed option.
        key: Identity of a row.
        label: Class of a row.

    Returns:
        The rows; a larger limit keeps all that a smaller one kept.
    """
    classes: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        classes.setdefault(str(label(row)), []).append(row)
    placed = [
        ((place + 0.5) / len(members), name, row)
        for name, members in classes.items()
        for place, row in enumerate(stable_order(members, seed, key))
    ]
    return [row for _, _, row in sorted(placed, key=lambda each: each[:2])[:limit]]


def _question_id(row: dict[str, Any]) -> str:
    return str(row["question_id"])


def _in3_row(source: str, task: In3Task) -> dict[str, Any]:
    details = task.missing_details if task.vague else ()
    return {
        "question_id": question_identity(task.question),
        "question": task.question,
        "source": source,
        "details": [detail.description for detail in details],
        "importances": [detail.importance for detail in details],
    }
