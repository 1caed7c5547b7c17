"""Nodes that mine clarifications from the logs and train FM-LOG on them (paper, sections 3.2.1 and 3.2.2)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel, ChatResult
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.fm_log import train
from clarilm_kedro.finetuning.launch import LaunchOptions
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import fm_log_completion
from clarilm_kedro.pipelines.cfd.extraction import Demonstrations, complaint, shown_questions, windows
from clarilm_kedro.pipelines.cfd.schemas import (
    CLARIFICATIONS,
    EXTRACTION_REPLIES,
    FM_LOG_EXAMPLES,
    Extraction,
    ExtractionOptions,
    FmLogOptions,
)
from clarilm_kedro.pipelines.dropping import DROPPED, HELD_BACK, dropped
from clarilm_kedro.pipelines.held_out import (
    LEAKAGE,
    LeakageOptions,
    SplitOptions,
    drop_leaks,
    find_leaks,
    held_back,
)
from clarilm_kedro.pipelines.stages import MADE_BY, ask_each, failed_calls, made_by, rejected, with_rejected
from clarilm_kedro.tables import draw, records, table
from clarilm_kedro.text.hashing import stable_id


def extract_clarifications(
    sessions: ir.Table, extraction_prompt: str, chat_llm: ChatModel, options: ExtractionOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Let a strong model find consecutive questions of which the second clarifies the first (section 3.2.1).

    Args:
        sessions: Columns session_id, source, user_questions.
        extraction_prompt: The prompt of Figure 3.
        chat_llm: The strong chat model.
        options: Which sessions are read and what an instance must look like.

    Returns:
        One row per prompt with the instances that passed the checks (JSON), and what failed or was rejected.
    """
    read = sessions.select("session_id", "source", "user_questions")
    asked: dict[str, dict[str, Any]] = {}
    for session in draw(read, options.seed, "session_id", options.max_sessions):
        for window in windows(len(session["user_questions"]), options.window_questions):
            row_id = f"{session['session_id']}#{window.start}"
            shown = shown_questions(session["user_questions"], window, options.question_chars)
            asked[row_id] = {
                "session_id": session["session_id"],
                "source": session["source"],
                "window": window.start,
                "shown": shown,
            }
    prompts = {row_id: {"user_questions": _as_rows(row["shown"])} for row_id, row in asked.items()}
    results, failures = ask_each(prompts, extraction_prompt, chat_llm, stage="extraction", reply=Extraction)
    demonstrations = Demonstrations.of(extraction_prompt)
    rows, refused = [], []
    for row_id, result in results.items():
        good, bad = _checked(result, asked[row_id]["shown"], options.facet_words, demonstrations)
        refused += [rejected(row_id, "extraction", reason, chat_llm.name, item) for item, reason in bad]
        origin = made_by(chat_llm, extraction_prompt, result)
        rows.append({**asked[row_id], **origin, "row_id": row_id, "clarifications": json.dumps(good)})
    return table(rows, EXTRACTION_REPLIES, sort_by="row_id"), with_rejected(failures, refused)


def accept_clarifications(
    extraction_replies: pd.DataFrame, clarifications_failed: pd.DataFrame, options: ExtractionOptions
) -> pd.DataFrame:
    """Accept the extraction unless too many calls failed.

    Args:
        extraction_replies: One row per prompt.
        clarifications_failed: Failed calls and rejected instances.
        options: ``max_failed_share``.

    Returns:
        One clarification (q_i, c, q_{i+1}, f) a row, with the window it was seen in and who made it.

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    calls = failed_calls(clarifications_failed)
    accept(
        len(extraction_replies),
        calls,
        stage="extraction",
        max_failed_share=options.max_failed_share,
        dataset="clarifications_failed",
    )
    kept = ("session_id", "source", "window", *MADE_BY)
    rows = [
        {
            **item,
            **{name: reply[name] for name in kept},
            "clarification_id": stable_id(reply["session_id"], item["first"]),
            "index": item["first"],
        }
        for reply in records(extraction_replies)
        for item in json.loads(reply["clarifications"])
    ]
    return table(rows, CLARIFICATIONS, sort_by="clarification_id")


def build_fm_log_examples(
    clarifications: pd.DataFrame, benchmark_questions: pd.DataFrame, leakage: LeakageOptions, split: SplitOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Turn clarifications into FM-LOG's training rows, q_i -> (f, c) (section 3.2.2), without any test question.

    Args:
        clarifications: Columns clarification_id, session_id, question, facet, clarifying_question.
        benchmark_questions: Questions of IN3 test and CLAMBER.
        leakage: What counts as a leak.
        split: Which sessions are held back, so that Our-test can have their first questions.

    Returns:
        Columns example_id, question, completion, clarification_ids (list), equal rows once with every clarification
        they come from; the clarifications that are not used; and the leaks.
    """
    mined = records(clarifications)
    usable = [row for row in mined if not held_back(row["session_id"], split)]
    leaks = find_leaks(
        {row["clarification_id"]: row["question"] for row in usable}, benchmark_questions, "fm_log_examples", leakage
    )
    kept, leaking = drop_leaks(usable, leaks, "build_fm_log_examples", key="clarification_id")
    unused = [
        dropped(row, "build_fm_log_examples", HELD_BACK, row_id=row["clarification_id"])
        for row in mined
        if held_back(row["session_id"], split)
    ]
    return (
        _fm_log_rows(kept),
        table([*unused, *leaking], DROPPED, sort_by="row_id"),
        table(leaks, LEAKAGE),
    )


def _fm_log_rows(clarifications: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    rows: dict[str, dict[str, Any]] = {}
    for row in clarifications:
        completion = fm_log_completion(row["facet"], row["clarifying_question"])
        example_id = stable_id(row["question"], completion)
        example = {"example_id": example_id, "question": row["question"], "completion": completion}
        rows.setdefault(example_id, {**example, "clarification_ids": []})["clarification_ids"].append(
            row["clarification_id"]
        )
    examples = [{**row, "clarification_ids": sorted(row["clarification_ids"])} for row in rows.values()]
    return table(examples, FM_LOG_EXAMPLES, sort_by="example_id")


def train_fm_log(
    fm_log_examples: pd.DataFrame, base_model: BaseModelSpec, options: FmLogOptions, launch: LaunchOptions
) -> TrainedAdapter:
    """Fine-tune FM-LOG on q_i -> (f, c) (Eq. 2), or record why it was skipped.

    Args:
        fm_log_examples: Columns question, completion.
        base_model: The base model.
        options: Training options; below ``min_examples`` nothing is trained.
        launch: Where it is trained, and where an interrupted training is kept.

    Returns:
        The adapter with its report.

    Raises:
        ClarilmError: There are too few examples and ``on_too_few`` is ``fail``.
    """
    pairs = [(row["question"], row["completion"]) for row in records(fm_log_examples)]
    return train(
        pairs,
        base_model,
        SftOptions(**options.model_dump(exclude={"min_examples", "on_too_few"})),
        launch=launch,
        min_examples=options.min_examples,
        on_too_few=options.on_too_few,
    )


def _as_rows(shown: dict[int, str]) -> list[dict[str, Any]]:
    return [{"index": index, "question": question} for index, question in shown.items()]


def _checked(
    result: ChatResult, shown: dict[int, str], facet_words: int, demonstrations: Demonstrations
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Split a reply into instances that pass, by index, and those that do not, as JSON with the reason."""
    good: dict[int, dict[str, Any]] = {}
    bad = []
    for item in result.parsed.clarifications:
        reason = complaint(item, shown, facet_words, demonstrations)
        if reason is None and item.first in good:
            reason = f"questions {item.first} and {item.second} were already given"
        if reason is None:
            good[item.first] = item.model_dump()
        else:
            bad.append((item.model_dump_json(), reason))
    return [good[index] for index in sorted(good)], bad
