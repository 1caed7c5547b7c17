"""Nodes that turn annotations into preference pairs and training tables (sections 3.3.3 to 3.3.5)."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.finetuning.template import clarification_prompt, completion
from clarilm_kedro.pipelines.ofs.candidates import candidates_by_question
from clarilm_kedro.pipelines.ofs.schemas import DPO_ROWS, OUR_TEST, PREFERENCES, SFT_ROWS, PreferenceOptions
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_id, stable_order
from clarilm_kedro.text.normalise import normalise_question

CLARIFY_OVER_ANSWER = "clarify>answer"
ANSWER_OVER_CLARIFY = "answer>clarify"
BETTER_QUESTION = "better>worse question"


def build_preferences(annotations: pd.DataFrame, candidates: pd.DataFrame, options: PreferenceOptions) -> pd.DataFrame:
    """Make the pairs (q, r+, r-) of the paper's three types (section 3.3.3).

    Where a question was chosen it is preferred to the direct answer and to other questions; where the answer was chosen
    it is preferred to questions. The options say to how many, and to which.

    Args:
        annotations: One annotation per question.
        candidates: What each question could be met with.
        options: How many replies are rejected, and which.

    Returns:
        One pair a row, with both replies as texts and as the completions of T(.) of Eq. 5, and the prompt as JSON chat
        messages. Never are both replies the same.
    """
    offered = candidates_by_question(candidates)
    rows = [
        pair
        for annotation in records(annotations)
        for pair in _pairs(annotation, offered[annotation["question_id"]], options)
    ]
    return table(rows, PREFERENCES, sort_by="preference_id")


def build_training_tables(
    annotations: pd.DataFrame, preferences: pd.DataFrame, options: PreferenceOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Split annotations and preferences into what is trained on, what fits the threshold, and Our-test.

    Args:
        annotations: One annotation per question.
        preferences: Preference pairs.
        options: How many pairs DPO uses.

    Returns:
        sft_train (q, r+), dpo_train (q, r+, r-), validation (never trained on) and our_test.
    """
    rows = [
        {
            "row_id": row["question_id"],
            "item_id": row["question_id"],
            "question": row["question"],
            "asks": row["choice_kind"] == "ask",
            "needs_clarification": row["choice_kind"] == "ask",
            "text": row["text"],
            "reference": row["text"],
            "references": [row["text"]] if row["choice_kind"] == "ask" else [],
            "facet": row["facet"],
            "thought": row["thought"],
            "origin": row["origin"],
            "teacher": row["teacher"],
            "split": row["split"],
        }
        for row in records(annotations)
    ]
    pairs = [{**row, "row_id": row["preference_id"]} for row in records(preferences) if row["split"] == "train"]
    used = stable_order(pairs, options.seed, lambda row: row["row_id"])[: options.max_pairs]
    return (
        table([row for row in rows if row["split"] == "train"], SFT_ROWS, sort_by="row_id"),
        table(used, DPO_ROWS, sort_by="row_id"),
        table([row for row in rows if row["split"] == "valid"], SFT_ROWS, sort_by="row_id"),
        table([row for row in rows if row["split"] == "test"], OUR_TEST, sort_by="item_id"),
    )


def _pairs(
    annotation: dict[str, Any], offered: Sequence[dict[str, Any]], options: PreferenceOptions
) -> Iterator[dict[str, Any]]:
    chosen = next(each for each in offered if each["candidate_id"] == annotation["choice_id"])
    said = normalise_question(chosen["text"])
    others = [each for each in offered if normalise_question(each["text"]) != said]
    answers = [each for each in others if each["kind"] == "answer"]
    questions = _negatives(annotation["question_id"], [each for each in others if each["kind"] == "ask"], options)
    if chosen["kind"] == "ask":
        yield from (_pair(annotation, CLARIFY_OVER_ANSWER, chosen, each, options) for each in answers)
        worse = questions[: options.worse_questions]
        yield from (_pair(annotation, BETTER_QUESTION, chosen, each, options) for each in worse)
    else:
        needless = questions[: options.needless_questions]
        yield from (_pair(annotation, ANSWER_OVER_CLARIFY, chosen, each, options) for each in needless)


def _negatives(
    question_id: str, questions: Sequence[dict[str, Any]], options: PreferenceOptions
) -> list[dict[str, Any]]:
    """Order the questions that could be rejected, the first to be taken first."""
    drawn = stable_order(questions, options.seed, lambda each: (question_id, each["candidate_id"]))
    if options.negatives == "random":
        return drawn
    return sorted(drawn, key=lambda each: int(each["rank"]), reverse=options.negatives == "worst")


def _pair(
    annotation: dict[str, Any], kind: str, chosen: dict[str, Any], rejected: dict[str, Any], options: PreferenceOptions
) -> dict[str, Any]:
    sides = {
        name: value
        for side, each in (("chosen", chosen), ("rejected", rejected))
        for name, value in {
            side: each["text"],
            f"{side}_completion": completion(each["kind"] == "ask", each["text"]),
            f"{side}_asks": each["kind"] == "ask",
            f"{side}_id": each["candidate_id"],
            f"{side}_source": "+".join(each["sources"]),
        }.items()
    }
    return {
        **annotation,
        **sides,
        "preference_id": stable_id(annotation["question_id"], kind, rejected["candidate_id"]),
        "type": kind,
        "prompt": json.dumps(clarification_prompt(annotation["question"]), ensure_ascii=False),
        "seed": options.seed,
    }
