"""Nodes that make Q^L, the seed questions, out of the sessions' first questions (section 3.3.1)."""

from collections.abc import Iterable, Mapping
from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel
from clarilm_kedro.pipelines.dropping import (
    CALL_FAILED,
    DROPPED,
    EQUAL,
    MARKED,
    NOT_KEPT,
    OVER_TARGET,
    TOO_SHORT,
    drop_near_duplicates,
    dropped,
)
from clarilm_kedro.pipelines.held_out import (
    LEAKAGE,
    ClusterRule,
    LeakageOptions,
    SplitOptions,
    drop_leaks,
    find_leaks,
)
from clarilm_kedro.pipelines.ofs.schemas import (
    FIRST_QUESTIONS,
    JUDGEMENTS,
    SEED_QUESTIONS,
    QuestionQuality,
    SeedOptions,
)
from clarilm_kedro.pipelines.ofs.splits import split_seed_questions
from clarilm_kedro.pipelines.stages import ask_each, failed_calls, made_by
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_id, stable_order
from clarilm_kedro.text.normalise import normalise_question
from clarilm_kedro.text.similarity import NearDuplicateRule


def select_first_questions(
    sessions: ir.Table,
    benchmark_questions: pd.DataFrame,
    options: SeedOptions,
    deduplication: NearDuplicateRule,
    leakage: LeakageOptions,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Take the first question of every session that has its beginning, near-duplicates once and no test question.

    That comes before the judge, who is paid for every question.

    Args:
        sessions: Columns session_id, source, first_question, starts_mid_chat, near_duplicate_of.
        benchmark_questions: Questions of IN3 test and CLAMBER.
        options: Length limits and how many are taken.
        deduplication: When two questions are near-duplicates.
        leakage: What counts as a leak.

    Returns:
        Columns question_id, question, session_id, source; the dropped questions, of which row_id is the session; and
        the leaks. Sessions that start mid-chat or are too long for ``options.max_chars`` have no first question.
    """
    begun = sessions.filter(~sessions.starts_mid_chat, sessions.first_question.length() <= options.max_chars)
    read = begun.select("session_id", "source", "first_question", "near_duplicate_of").order_by("session_id")
    rows, gone = _distinct_first_questions(records(read.to_pandas()), options)
    questions = {row["question_id"]: row["question"] for row in rows}
    leaks = find_leaks(questions, benchmark_questions, "first_questions", leakage)
    free, leaking = drop_leaks(rows, leaks, "select_first_questions")
    alone, repeated = drop_near_duplicates(free, "select_first_questions", deduplication)
    ordered = stable_order(alone, options.seed, lambda row: row["question_id"])
    chosen = ordered[: options.max_questions]
    rest = [dropped(row, "select_first_questions", OVER_TARGET) for row in ordered[len(chosen) :]]
    return (
        table(chosen, FIRST_QUESTIONS, sort_by="question_id"),
        table([*gone, *leaking, *repeated, *rest], DROPPED, sort_by="row_id"),
        table(leaks, LEAKAGE),
    )


def _distinct_first_questions(
    sessions: Iterable[Mapping[str, Any]], options: SeedOptions
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Leave out what is too short, what is equal to a question before it, and what ingestion marked as like one."""
    rows: dict[str, dict[str, Any]] = {}
    groups: dict[str, str] = {}
    gone = []
    for session in sessions:
        question, alike = session["first_question"], session["near_duplicate_of"]
        question_id = question_identity(question)
        group = alike if isinstance(alike, str) else session["session_id"]
        row = {
            "row_id": session["session_id"],
            "question_id": question_id,
            "question": question,
            "session_id": session["session_id"],
            "source": session["source"],
        }
        if len(question.split()) < options.min_words:
            gone.append(dropped(row, "select_first_questions", TOO_SHORT))
        elif question_id in rows:
            gone.append(dropped(row, "select_first_questions", EQUAL, other_id=question_id, score=1.0))
        elif group in groups:
            gone.append(dropped(row, "select_first_questions", MARKED, other_id=groups[group]))
        else:
            rows[question_id] = row
        if question_id in rows:
            groups.setdefault(group, question_id)
    return list(rows.values()), gone


def judge_first_questions(
    first_questions: pd.DataFrame, question_quality_prompt: str, chat_llm: ChatModel
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Let a strong model say which first questions are well formed and stand on their own.

    Args:
        first_questions: Columns question_id, question, session_id, source.
        question_quality_prompt: The filter prompt.
        chat_llm: The strong chat model.

    Returns:
        One judgement per question with its reason, and the failed calls.
    """
    rows = {row["question_id"]: row for row in records(first_questions)}
    prompts = {row_id: {"question": row["question"]} for row_id, row in rows.items()}
    results, failures = ask_each(
        prompts, question_quality_prompt, chat_llm, stage="question_quality", reply=QuestionQuality
    )
    judged = [
        {**rows[row_id], **result.parsed.model_dump(), **made_by(chat_llm, question_quality_prompt, result)}
        for row_id, result in results.items()
    ]
    return table(judged, JUDGEMENTS, sort_by="question_id"), failures


def accept_seed_questions(
    first_questions: pd.DataFrame,
    first_question_judgements: pd.DataFrame,
    seed_questions_failed: pd.DataFrame,
    fm_log_examples: pd.DataFrame,
    options: SeedOptions,
    split: SplitOptions,
    clusters: ClusterRule,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Keep the questions that were judged good, and set Q^L's share of the held-out questions aside.

    The split is drawn here, before any synthesis, so that no held-out question is ever an in-context example, and by
    whole clusters of near-duplicates; a size may be missed by less than the largest cluster.

    Args:
        first_questions: The questions that were to be judged.
        first_question_judgements: One judgement per question, with the judge's reason.
        seed_questions_failed: Failed calls.
        fm_log_examples: FM-LOG's training rows; what is in a cluster with one of them is not held out.
        options: ``max_failed_share``.
        split: How many questions are held out.
        clusters: Which questions share a split.

    Returns:
        Q^L with its split (train, valid, test), and the questions that are not in it.

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    accept(
        len(first_question_judgements),
        failed_calls(seed_questions_failed),
        stage="question_quality",
        max_failed_share=options.max_failed_share,
        dataset="seed_questions_failed",
    )
    judged = {row["question_id"]: row for row in records(first_question_judgements)}
    kept = [row for row in judged.values() if row["keep"]]
    splits = split_seed_questions(kept, list(fm_log_examples["question"]), clusters, split)
    gone = [
        dropped(row, "accept_seed_questions", NOT_KEPT if row["question_id"] in judged else CALL_FAILED)
        for row in records(first_questions)
        if row["question_id"] not in splits
    ]
    return (
        table([{**row, "split": splits[row["question_id"]]} for row in kept], SEED_QUESTIONS, sort_by="question_id"),
        table(gone, DROPPED, sort_by="row_id"),
    )


def question_identity(question: str) -> str:
    """Name a question by its normal form, so that equal questions have equal ids wherever they come from."""
    return stable_id("question", normalise_question(question))
