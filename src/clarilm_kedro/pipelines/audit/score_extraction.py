"""Score extraction: clarifications found in the sample logs against those that were written into them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clarilm_kedro.logs.records import Records
from clarilm_kedro.metrics.agreement import found_scores
from clarilm_kedro.metrics.facet_recall import SENSES, embed_facets, same_facets
from clarilm_kedro.pipelines.audit.schemas import DISAGREEMENTS, SCORES, ScoringOptions
from clarilm_kedro.pipelines.audit.score_rows import ALL, means, scored
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.normalise import normalise_question


def score_extraction(
    all_sessions: ir.Table,
    sessions: ir.Table,
    gold_clarifications: Records,
    clarifications: pd.DataFrame,
    options: ScoringOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare extracted clarifications with those that were written into the sample logs.

    A clarification is a session and the index of its first question. Gold is found by chat and the texts of both
    questions, since indexes move where chunks of a chat are joined.

    Args:
        all_sessions: Every session of the sample logs that ingestion keeps.
        sessions: Those the teacher read.
        gold_clarifications: Fields chat_id, question, next_question, facet.
        clarifications: What was extracted; columns session_id, index, question, facet.
        options: When facets are the same, and intervals; they are over sessions, whose errors go together.

    Returns:
        Scores (columns of :data:`clarilm_kedro.pipelines.audit.schemas.SCORES`): precision, recall and F1; the share of
        right ones that name the gold facet; and how much of the gold stands in any session at all, which only ingestion
        can lose. And the disagreements.
    """
    gold_rows = [record.data for record in gold_clarifications.rows]
    gold = {_pair_key(row["chat_id"], row["question"], row["next_question"]): row for row in gold_rows}
    read = records(sessions.select("session_id", "chat_id", "user_questions").to_pandas())
    there = {
        (session["session_id"], place): gold[key]
        for session in read
        for place, (first, second) in enumerate(pairwise(session["user_questions"]))
        if (key := _pair_key(session["chat_id"], first, second)) in gold
    }
    found = {(row["session_id"], row["index"]): row for row in records(clarifications)}
    texts = {session["session_id"]: session["user_questions"] for session in read}
    right = sorted(there.keys() & found.keys())
    per_session = [
        [sum(key[0] == session_id for key in keys) for keys in (right, found, there)] for session_id in texts
    ]
    rows = scored(
        "extraction",
        ALL,
        ("precision", "recall", "f1"),
        per_session,
        lambda sums, _: found_scores(sums[..., 0], sums[..., 1], sums[..., 2]),
        options,
    )
    pairs = [(there[key]["facet"], found[key]["facet"]) for key in right]
    same = _same_pairs(pairs, options)
    rows += means("extraction", ALL, [f"facet_{sense}" for sense in SENSES], same, options)
    rows += _coverage(all_sessions, gold, options)
    missed = [
        _disagreement("extraction", key, texts[key[0]], there[key]["facet"], "", "not extracted")
        for key in sorted(there.keys() - found.keys())
    ]
    surplus = [
        _disagreement("extraction", key, texts[key[0]], "", found[key]["facet"], found[key]["clarifying_question"])
        for key in sorted(found.keys() - there.keys())
    ]
    other = [
        _disagreement("extraction_facet", key, texts[key[0]], *pair, found[key]["clarifying_question"])
        for key, pair, (_, close) in zip(right, pairs, same, strict=True)
        if not close
    ]
    return table(rows, SCORES), table([*missed, *surplus, *other], DISAGREEMENTS)


def _coverage(
    all_sessions: ir.Table, gold: Mapping[tuple[str, str, str], Mapping[str, Any]], options: ScoringOptions
) -> list[dict[str, Any]]:
    """How many of the gold pairs of questions stand in a session, whichever: a copy of a chat is kept once."""
    kept = {
        (normalise_question(first), normalise_question(second))
        for session in records(all_sessions.select("user_questions").to_pandas())
        for first, second in pairwise(session["user_questions"])
    }
    pairs = sorted({key[1:] for key in gold})
    return means("ingestion", ALL, ["gold_in_sessions"], [[pair in kept] for pair in pairs], options)


def _same_pairs(pairs: Sequence[tuple[str, str]], options: ScoringOptions) -> list[list[bool]]:
    """Whether the facets of each pair are the same, in every sense."""
    vectors = embed_facets((text for pair in pairs for text in pair), options.matching)
    return [
        [bool(same_facets([left], [right], sense, options.matching.threshold, vectors)[0, 0]) for sense in SENSES]
        for left, right in pairs
    ]


def _pair_key(chat_id: str, first: str, second: str) -> tuple[str, str, str]:
    return chat_id, normalise_question(first), normalise_question(second)


def _disagreement(
    task: str, key: tuple[str, int], questions: Sequence[str], gold: str, given: str, text: str
) -> dict[str, Any]:
    session_id, place = key
    return {
        "task": task,
        "item_id": f"{session_id}#{place}",
        "question": " -> ".join(questions[place : place + 2]),
        "gold": gold,
        "given": given,
        "text": text,
    }
