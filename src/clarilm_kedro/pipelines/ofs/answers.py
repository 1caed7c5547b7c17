"""Nodes that give every question its direct answer a, which joins the candidates (section 3.3.3)."""

import re
from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel
from clarilm_kedro.pipelines.ofs.schemas import ANSWERS, AnswerOptions
from clarilm_kedro.pipelines.stages import ask_each, failed_calls, made_by, rejected, with_rejected
from clarilm_kedro.tables import records, table

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def answer_questions(
    questions: pd.DataFrame,
    seed_questions: pd.DataFrame,
    sessions: ir.Table,
    answer_prompt: str,
    chat_llm: ChatModel,
    options: AnswerOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every question a direct answer: a strong model's, or the one that stands in the log.

    The paper calls a "the original answer" (section 3.3.3). Only questions of Q^L have one; with ``source: log`` it is
    taken where it is there, and the model answers the rest.

    Args:
        questions: Columns question_id, question.
        seed_questions: Columns question_id, session_id.
        sessions: Columns session_id, source, first_answer.
        answer_prompt: The prompt for a direct answer.
        chat_llm: The strong chat model.
        options: Where answers come from, and length limits.

    Returns:
        One answer per question with its source, and the failed calls.
    """
    logged = _logged_answers(seed_questions, sessions) if options.source == "log" else {}
    rows, refused = [], []
    prompts = {}
    for row in records(questions):
        row_id = row["question_id"]
        if row_id in logged:
            log, answer = logged[row_id]
            rows.append(_answer(row_id, answer, options, source="log", teacher=log, prompt_sha=None, request_key=None))
        else:
            prompts[row_id] = {"question": row["question"][: options.question_chars]}
    results, failures = ask_each(prompts, answer_prompt, chat_llm, stage="answer")
    for row_id, result in results.items():
        if result.text.strip():
            made = made_by(chat_llm, answer_prompt, result)
            rows.append(_answer(row_id, result.text, options, source="generated", **made))
        else:
            refused.append(rejected(row_id, "answer", "an empty answer", chat_llm.name, result.text))
    return table(rows, ANSWERS, sort_by="question_id"), with_rejected(failures, refused)


def accept_answers(answer_replies: pd.DataFrame, answers_failed: pd.DataFrame, options: AnswerOptions) -> pd.DataFrame:
    """Accept the answers unless too many calls failed.

    Args:
        answer_replies: One answer per question.
        answers_failed: Failed calls.
        options: ``max_failed_share``.

    Returns:
        The answers.

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    accept(
        int((answer_replies["source"] == "generated").sum()),
        failed_calls(answers_failed),
        stage="answer",
        max_failed_share=options.max_failed_share,
        dataset="answers_failed",
    )
    return answer_replies


def cut_at_sentence(text: str, limit: int) -> str:
    """Cut a text to at most ``limit`` characters, after its last whole sentence if there is one."""
    if len(text) <= limit:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text[:limit])]
    return text[: ends[-1]] if ends else text[:limit]


def _answer(row_id: str, text: str, options: AnswerOptions, **made: Any) -> dict[str, Any]:
    return {"question_id": row_id, "answer": cut_at_sentence(text.strip(), options.answer_chars), **made}


def _logged_answers(seed_questions: pd.DataFrame, sessions: ir.Table) -> dict[str, tuple[str, str]]:
    """Look up the log's own first reply: question_id to the log's name and the reply."""
    wanted = {row["session_id"]: row["question_id"] for row in records(seed_questions)}
    told = sessions.filter(sessions.session_id.isin(list(wanted)), sessions.first_answer.notnull())
    found = told.select("session_id", "source", "first_answer").to_pandas()
    return {
        wanted[row["session_id"]]: (row["source"], row["first_answer"])
        for row in records(found)
        if row["first_answer"].strip()
    }
