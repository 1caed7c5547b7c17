"""Nodes that give every question its direct answer a, which joins the candidates (section 3.3.3)."""

import re

import ibis.expr.types as ir
import pandas as pd

from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel
from clarilm_kedro.pipelines.ofs.schemas import ANSWERS, AnswerOptions
from clarilm_kedro.pipelines.stages import ask_each, failed_calls, made_by, rejected, with_rejected
from clarilm_kedro.tables import records, table

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def look_up_log_answers(seed_questions: pd.DataFrame, sessions: ir.Table, options: AnswerOptions) -> pd.DataFrame:
    """Look the log's own first reply up, which the paper calls "the original answer" (section 3.3.3).

    Args:
        seed_questions: Columns question_id, session_id; only Q^L has a log.
        sessions: Columns session_id, source, first_answer.
        options: ``source`` and the length limit.

    Returns:
        One answer per question of Q^L that has one; none unless ``source`` is ``log``.
    """
    if options.source != "log":
        return table([], ANSWERS)
    wanted = {row["session_id"]: row["question_id"] for row in records(seed_questions)}
    replied = sessions.filter(sessions.session_id.isin(list(wanted)), sessions.first_answer.notnull())
    found = records(replied.select("session_id", "source", "first_answer").to_pandas())
    rows = [
        {
            "question_id": wanted[row["session_id"]],
            "answer": cut_at_sentence(row["first_answer"].strip(), options.answer_chars),
            "source": "log",
            "teacher": row["source"],
            "prompt_sha": None,
            "request_key": None,
        }
        for row in found
        if row["first_answer"].strip()
    ]
    return table(rows, ANSWERS, sort_by="question_id")


def answer_questions(
    questions: pd.DataFrame,
    log_answers: pd.DataFrame,
    answer_prompt: str,
    chat_llm: ChatModel,
    options: AnswerOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give every question a direct answer: the log's own where it is wanted and there, else a strong model's.

    Args:
        questions: Columns question_id, question.
        log_answers: Answers of the log.
        answer_prompt: The prompt for a direct answer.
        chat_llm: The strong chat model.
        options: Length limits.

    Returns:
        One answer per question with its source, and the failed calls.
    """
    logged = {row["question_id"]: row for row in records(log_answers)}
    asked = records(questions)
    rows = [logged[row["question_id"]] for row in asked if row["question_id"] in logged]
    prompts = {
        row["question_id"]: {"question": row["question"][: options.question_chars]}
        for row in asked
        if row["question_id"] not in logged
    }
    refused = []
    results, failures = ask_each(prompts, answer_prompt, chat_llm, stage="answer")
    for row_id, result in results.items():
        if result.text.strip():
            made = made_by(chat_llm, answer_prompt, result)
            answer = cut_at_sentence(result.text.strip(), options.answer_chars)
            rows.append({"question_id": row_id, "answer": answer, "source": "generated", **made})
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
