"""The candidates C = {c_1 .. c_n} + {a} that a question's optimal reaction is chosen from (section 3.3.3)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.pipelines.ofs.schemas import CANDIDATES, AnnotationOptions
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_order

#: Name of the direct answer among a question's candidates; facets are named by a hash.
ANSWER = "answer"


def build_candidates(
    questions: pd.DataFrame, facets: pd.DataFrame, answers: pd.DataFrame, options: AnnotationOptions
) -> pd.DataFrame:
    """List what a question could be met with: its best facets, each with its clarifying question, and the answer.

    Args:
        questions: Column question_id.
        facets: Fused facet candidates, with their rank.
        answers: Direct answers.
        options: How many facets are offered, and the seed of the order they are shown in.

    Returns:
        One candidate a row. ``position`` is its place, from 1, in the list that the first vote sees.
    """
    offered: dict[str, list[dict[str, Any]]] = {row_id: [] for row_id in questions["question_id"]}
    for row in records(facets.sort_values(["question_id", "rank", "candidate_id"])):
        if len(offered.get(row["question_id"], [None] * options.max_candidates)) < options.max_candidates:
            offered[row["question_id"]].append({**row, "kind": "ask", "text": row["clarifying_question"]})
    for row in records(answers):
        if row["question_id"] in offered:
            answer = {"candidate_id": ANSWER, "kind": "answer", "facet": "", "sources": [ANSWER], "rank": -1}
            offered[row["question_id"]].append({**row, **answer, "text": row["answer"]})
    rows = []
    for row_id in sorted(offered):
        shown = shown_order(row_id, [each["candidate_id"] for each in offered[row_id]], options.seed, vote=0)
        by_id = {each["candidate_id"]: each for each in offered[row_id]}
        rows += [{**by_id[key], "position": place} for place, key in enumerate(shown, start=1)]
    return table(rows, CANDIDATES)


def shown_order(question_id: str, candidate_ids: Sequence[str], seed: int, *, vote: int) -> list[str]:
    """Shuffle a question's candidates for one vote: reasoning models have a position bias.

    Args:
        question_id: The question.
        candidate_ids: Its candidates, in any order.
        seed: The seed option.
        vote: Number of the vote; each sees another order.

    Returns:
        The ids in the order shown.
    """
    return stable_order(candidate_ids, seed, lambda key: (question_id, vote, key))


def candidates_by_question(candidates: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Group the table of candidates by question."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in records(candidates):
        grouped.setdefault(row["question_id"], []).append(row)
    return grouped


def nothing_to_choose(offered: Sequence[dict[str, Any]]) -> str | None:
    """Say why a question's candidates leave no choice, or give ``None`` where they do leave one."""
    kinds = {each["kind"] for each in offered}
    if "answer" not in kinds:
        return "there is no direct answer to choose from"
    if "ask" not in kinds:
        return "there is no facet to choose from"
    return None
