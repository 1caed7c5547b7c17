"""Nodes of the annotation protocol CoTAP: think over all candidates, then choose one (section 3.3.3)."""

import json
from collections import Counter
from typing import Any

import pandas as pd

from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel
from clarilm_kedro.pipelines.ofs.candidates import candidates_by_question, nothing_to_choose, shown_order
from clarilm_kedro.pipelines.ofs.choices import choice_among
from clarilm_kedro.pipelines.ofs.schemas import ANNOTATIONS, VOTES, AnnotationOptions
from clarilm_kedro.pipelines.stages import ask_each, failed_calls, made_by, rejected, with_rejected
from clarilm_kedro.tables import records, table


def annotate_optimal_facet(
    questions: pd.DataFrame,
    candidates: pd.DataFrame,
    annotation_prompt: str,
    reasoning_llm: ChatModel,
    options: AnnotationOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """CoTAP: let a reasoning model think over all candidates and choose one (section 3.3.3).

    With ``self_consistency`` above 1 it is asked that many times (Wang et al., "Self-Consistency Improves Chain of
    Thought Reasoning", 2023), each time with the candidates in another order.

    Args:
        questions: Columns question_id, question.
        candidates: One candidate a row.
        annotation_prompt: The CoTAP prompt.
        reasoning_llm: The reasoning model.
        options: Number of votes and the seed of the orders.

    Returns:
        One vote a row with thought and choice; and what failed: calls (a choice that is no candidate among them) and
        questions that have no answer or no facet to choose from.
    """
    offered = candidates_by_question(candidates)
    texts = {row["question_id"]: row["question"][: options.question_chars] for row in records(questions)}
    refused = [
        {**rejected(question_id, "choice", reason, reasoning_llm.name, texts[question_id]), "attempts": 0}
        for question_id in sorted(texts)
        if (reason := nothing_to_choose(offered.get(question_id, [])))
    ]
    without = {row["row_id"] for row in refused}
    ballots = {
        _vote_id(question_id, vote): _ballot(question_id, offered[question_id], options.seed, vote)
        for question_id in texts
        if question_id not in without
        for vote in range(options.self_consistency)
    }
    results, failures = ask_each(
        {
            vote_id: {"question": texts[ballot["question_id"]], "candidates": ballot["shown"]}
            for vote_id, ballot in ballots.items()
        },
        annotation_prompt,
        reasoning_llm,
        stage="choice",
        reply=lambda vote_id: choice_among(tuple(each["id"] for each in ballots[vote_id]["shown"])),
        sample_index=lambda vote_id: int(ballots[vote_id]["vote"]),
    )
    votes = [
        {
            **ballots[vote_id],
            "shown": ballots[vote_id]["order"],
            "choice_id": ballots[vote_id]["order"][int(result.parsed.choice.removeprefix("c")) - 1],
            "thought": result.reasoning or result.parsed.thought,
            "read_as": "json" if result.text.startswith("{") else "prose",
            **made_by(reasoning_llm, annotation_prompt, result),
        }
        for vote_id, result in results.items()
    ]
    return table(votes, VOTES), with_rejected(failures, refused)


def accept_annotations(
    annotation_votes: pd.DataFrame,
    annotations_failed: pd.DataFrame,
    questions: pd.DataFrame,
    candidates: pd.DataFrame,
    options: AnnotationOptions,
) -> pd.DataFrame:
    """Count the votes, unless too many calls failed.

    The candidate with most votes is chosen; of several that have the most, the one voted for first. A question of
    which half of the votes or more are missing is not annotated.

    Args:
        annotation_votes: One vote a row.
        annotations_failed: Failed calls and unusable choices.
        questions: Columns question_id, question, origin, split.
        candidates: One candidate a row.
        options: ``self_consistency`` and ``max_failed_share``.

    Returns:
        One annotation per question: the chosen candidate, the thought of the first vote for it, and how the votes fell
        (``votes``: JSON of candidate id to number; ``agreement``: the share of the chosen one).

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    accept(
        len(annotation_votes),
        failed_calls(annotations_failed),
        stage="choice",
        max_failed_share=options.max_failed_share,
        dataset="annotations_failed",
    )
    offered = {(row["question_id"], row["candidate_id"]): row for row in records(candidates)}
    asked = {row["question_id"]: row for row in records(questions)}
    cast: dict[str, list[dict[str, Any]]] = {}
    for vote in records(annotation_votes.sort_values(["question_id", "vote"])):
        cast.setdefault(vote["question_id"], []).append(vote)
    annotations = []
    for question_id, votes in cast.items():
        if 2 * len(votes) <= options.self_consistency:
            continue
        counts = Counter(vote["choice_id"] for vote in votes)
        # Counter keeps the order of first votes, and max takes the first of the largest.
        choice_id = max(counts, key=lambda key: counts[key])
        first = next(vote for vote in votes if vote["choice_id"] == choice_id)
        chosen = offered[question_id, choice_id]
        annotations.append(
            {
                **first,
                **asked[question_id],
                "choice_kind": chosen["kind"],
                "facet": chosen["facet"],
                "text": chosen["text"],
                "sources": chosen["sources"],
                "votes": json.dumps(dict(sorted(counts.items()))),
                "n_votes": len(votes),
                "agreement": counts[choice_id] / len(votes),
            }
        )
    return table(annotations, ANNOTATIONS, sort_by="question_id")


def _vote_id(question_id: str, vote: int) -> str:
    return f"{question_id}#{vote}" if vote else question_id


def _ballot(question_id: str, offered: list[dict[str, Any]], seed: int, vote: int) -> dict[str, Any]:
    """What one vote is shown: the candidates in its order, under ids that say nothing."""
    by_id = {each["candidate_id"]: each for each in offered}
    order = shown_order(question_id, list(by_id), seed, vote=vote)
    shown = [
        {"id": f"c{place}", **{name: by_id[key][name] for name in ("kind", "facet", "text")}}
        for place, key in enumerate(order, start=1)
    ]
    return {"question_id": question_id, "vote": vote, "seed": seed, "order": order, "shown": shown}
