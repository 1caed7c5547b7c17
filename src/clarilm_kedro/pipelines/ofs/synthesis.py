"""Nodes that write Q^G, the synthetic questions (section 3.3.2)."""

import math
from collections.abc import Collection
from typing import Any

import pandas as pd

from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel
from clarilm_kedro.logs.question_sets import read_personas
from clarilm_kedro.logs.records import Records
from clarilm_kedro.pipelines.dropping import (
    CALL_FAILED,
    DROPPED,
    EMPTY,
    EQUAL,
    OVER_TARGET,
    drop_near_duplicates,
    dropped,
)
from clarilm_kedro.pipelines.held_out import LEAKAGE, LeakageOptions, drop_leaks, find_leaks
from clarilm_kedro.pipelines.ofs.schemas import (
    PLAN,
    SYNTHETIC_QUESTIONS,
    TUNED,
    WRITTEN,
    SynthesisOptions,
    TunedQuestion,
    WrittenQuestions,
)
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.pipelines.stages import MADE_BY, ask_each, failed_calls, made_by, rejected, with_rejected
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_id, stable_order, stable_unit
from clarilm_kedro.text.similarity import NearDuplicateRule

_STAGE = "accept_synthetic_questions"


def plan_synthesis(personas: Records, in_context_examples: pd.DataFrame, options: SynthesisOptions) -> pd.DataFrame:
    """Draw a persona and in-context examples for every synthesis call.

    Args:
        personas: Persona profiles; they are reused in turn where more calls are needed.
        in_context_examples: Columns example_id, origin, question.
        options: Size, examples per call and the weight of each source.

    Returns:
        One call a row: call_id, persona, example_ids, examples, count.
    """
    people = stable_order(read_personas(personas), options.seed, lambda row: row.question)
    if not people:
        return table([], PLAN)
    by_origin: dict[str, list[dict[str, Any]]] = {}
    for row in records(in_context_examples):
        by_origin.setdefault(row["origin"], []).append(row)
    n_calls = math.ceil(options.target * options.oversample / options.per_call)
    rows = []
    for number in range(n_calls):
        persona = people[number % len(people)].question
        call_id = stable_id(options.seed, persona, number)
        drawn = _draw_examples(by_origin, call_id, options)
        rows.append(
            {
                "call_id": call_id,
                "persona": persona,
                "example_ids": [row["example_id"] for row in drawn],
                "examples": [row["question"] for row in drawn],
                "count": options.per_call,
            }
        )
    return table(rows, PLAN, sort_by="call_id")


def synthesize_questions(
    synthesis_plan: pd.DataFrame, synthesis_prompt: str, chat_llm: ChatModel, options: SynthesisOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Let a strong model write questions for each persona.

    Args:
        synthesis_plan: One call a row.
        synthesis_prompt: The synthesis prompt.
        chat_llm: The strong chat model.
        options: ``max_chars``.

    Returns:
        One written question a row, and the failed calls and rejected questions.
    """
    calls = {row["call_id"]: row for row in records(synthesis_plan)}
    prompts = {
        call_id: {
            "persona": row["persona"],
            "examples": [{"question": text} for text in row["examples"]],
            "count": str(row["count"]),
        }
        for call_id, row in calls.items()
    }
    results, failures = ask_each(prompts, synthesis_prompt, chat_llm, stage="synthesis", reply=WrittenQuestions)
    rows, refused = [], []
    for call_id, result in results.items():
        for number, text in enumerate(result.parsed.questions):
            question = text.strip()
            if not question or len(question) > options.max_chars:
                reason = "an empty question" if not question else f"longer than {options.max_chars} characters"
                refused.append(rejected(call_id, "synthesis", reason, chat_llm.name, text))
                continue
            rows.append(
                {
                    **calls[call_id],
                    "row_id": f"{call_id}-{number}",
                    "question": question,
                    **made_by(chat_llm, synthesis_prompt, result),
                }
            )
    return table(rows, WRITTEN, sort_by="row_id"), with_rejected(failures, refused)


def tune_clarification(
    written_questions: pd.DataFrame, tuning_prompt: str, chat_llm: ChatModel, options: SynthesisOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Controlled clarification tuning: keep most questions, enrich some, simplify some (section 3.3.2).

    Args:
        written_questions: One written question a row.
        tuning_prompt: The prompt that enriches or simplifies.
        chat_llm: The strong chat model.
        options: The shares; which question gets which treatment depends on the seed and its id only.

    Returns:
        One question a row with its tuning and, where it was changed, the question it came from and who changed it;
        and the failed calls.
    """
    rows = {row["row_id"]: {**row, "tuning": _tuning(row["row_id"], options)} for row in records(written_questions)}
    prompts = {
        row_id: {"question": row["question"], "adjustment": row["tuning"]}
        for row_id, row in rows.items()
        if row["tuning"] != "keep"
    }
    results, failures = ask_each(prompts, tuning_prompt, chat_llm, stage="tuning", reply=TunedQuestion)
    tuned = []
    for row_id, row in rows.items():
        if row["tuning"] == "keep":
            tuned.append({**row, "parent": None, **dict.fromkeys(f"tuning_{name}" for name in MADE_BY)})
        elif row_id in results:
            by = made_by(chat_llm, tuning_prompt, results[row_id])
            changed = {"question": results[row_id].parsed.question.strip(), "parent": row["question"]}
            tuned.append({**row, **changed, **{f"tuning_{name}": value for name, value in by.items()}})
    named = [{**row, "question_id": question_identity(row["question"])} for row in tuned]
    return table(named, TUNED, sort_by="row_id"), failures


def accept_synthetic_questions(
    written_questions: pd.DataFrame,
    tuned_questions: pd.DataFrame,
    synthesis_failed: pd.DataFrame,
    tuning_failed: pd.DataFrame,
    synthesis_plan: pd.DataFrame,
    seed_questions: pd.DataFrame,
    in_context_examples: pd.DataFrame,
    benchmark_questions: pd.DataFrame,
    options: SynthesisOptions,
    deduplication: NearDuplicateRule,
    leakage: LeakageOptions,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Accept Q^G unless too many calls failed: near-duplicates once, nothing of Q^L, no example and no test question.

    Args:
        written_questions: One written question a row.
        tuned_questions: What tuning made of them.
        synthesis_failed: Failed synthesis calls and rejected questions.
        tuning_failed: Failed tuning calls.
        synthesis_plan: The planned calls.
        seed_questions: Q^L.
        in_context_examples: The examples; a copy of one is nothing new.
        benchmark_questions: Questions of IN3 test and CLAMBER.
        options: ``target`` and ``max_failed_share``.
        deduplication: When two questions are near-duplicates.
        leakage: What counts as a leak.

    Returns:
        Q^G, at most ``target`` questions; the written questions that are not in it; and the leaks.

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    failed = failed_calls(synthesis_failed)
    answered = len(synthesis_plan) - len(failed)
    accept(answered, failed, stage="synthesis", max_failed_share=options.max_failed_share)
    n_tuned = int((tuned_questions["tuning"] != "keep").sum())
    accept(n_tuned, failed_calls(tuning_failed), stage="tuning", max_failed_share=options.max_failed_share)
    known = {row["question_id"]: row for row in records(seed_questions)}
    for row in records(in_context_examples):
        question_id = question_identity(row["question"])
        known.setdefault(question_id, {"question_id": question_id, "question": row["question"]})
    rows, gone = _distinct_questions(written_questions, tuned_questions, set(known))
    questions = {row["question_id"]: row["question"] for row in rows}
    leaks = find_leaks(questions, benchmark_questions, "synthetic_questions", leakage)
    free, leaking = drop_leaks(rows, leaks, _STAGE)
    alone, repeated = drop_near_duplicates(free, _STAGE, deduplication, kept=known.values())
    ordered = stable_order(alone, options.seed, lambda row: row["question_id"])
    rest = [dropped(row, _STAGE, OVER_TARGET) for row in ordered[options.target :]]
    return (
        table(ordered[: options.target], SYNTHETIC_QUESTIONS, sort_by="question_id"),
        table([*gone, *leaking, *repeated, *rest], DROPPED, sort_by="row_id"),
        table(leaks, LEAKAGE),
    )


def _distinct_questions(
    written_questions: pd.DataFrame, tuned_questions: pd.DataFrame, known: Collection[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Leave out what tuning did not return or left empty, and what is equal to a known question or one before it."""
    tuned = {row["row_id"]: row for row in records(tuned_questions)}
    rows: dict[str, dict[str, Any]] = {}
    gone = []
    for written in sorted(records(written_questions), key=lambda row: row["row_id"]):
        row = tuned.get(written["row_id"])
        if row is None:
            gone.append(dropped(written, _STAGE, CALL_FAILED))
        elif not row["question"]:
            gone.append(dropped(written, _STAGE, EMPTY))
        elif row["question_id"] in known or row["question_id"] in rows:
            gone.append(dropped(row, _STAGE, EQUAL, other_id=row["question_id"], score=1.0))
        else:
            rows[row["question_id"]] = row
    return list(rows.values()), gone


def _draw_examples(
    by_origin: dict[str, list[dict[str, Any]]], call_id: str, options: SynthesisOptions
) -> list[dict[str, Any]]:
    """Draw a source by weight, then one of its rows, per example; a row drawn twice counts once."""
    origins = sorted(by_origin)
    total = sum(options.example_weights[origin] for origin in origins)
    drawn: dict[str, dict[str, Any]] = {}
    for slot in range(options.examples_per_call if total else 0):
        left = stable_unit(options.seed, call_id, slot, "origin") * total
        for origin in origins:
            left -= options.example_weights[origin]
            if left < 0:
                break
        rows = by_origin[origin]
        row = rows[int(stable_unit(options.seed, call_id, slot, "row") * len(rows))]
        drawn[row["example_id"]] = row
    return list(drawn.values())


def _tuning(row_id: str, options: SynthesisOptions) -> str:
    unit = stable_unit(options.seed, "tuning", row_id)
    if unit < options.enrich_share:
        return "enrich"
    return "simplify" if unit < options.enrich_share + options.simplify_share else "keep"
