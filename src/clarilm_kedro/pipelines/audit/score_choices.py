"""Score decisions: the question filter, and the annotation's choices (CoTAP), against gold labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.metrics.facet_recall import SENSES, Sense, Vectors, embed_facets, same_facets
from clarilm_kedro.pipelines.audit.schemas import DISAGREEMENTS, SCORES, ScoringOptions
from clarilm_kedro.pipelines.audit.score_rows import ALL, decisions, means
from clarilm_kedro.pipelines.ofs.candidates import candidates_by_question
from clarilm_kedro.tables import records, table

#: What the annotation chooses from: the teacher's own candidates, or the gold ones.
OWN_CANDIDATES, GOLD_CANDIDATES = "own_candidates", "gold_candidates"

Row = Mapping[str, Any]


def score_question_filter(
    filter_questions: pd.DataFrame, first_question_judgements: pd.DataFrame, options: ScoringOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the question filter with whether a text stands alone.

    Args:
        filter_questions: Columns question_id, question, stands_alone.
        first_question_judgements: Columns question_id, keep, reason.
        options: Intervals.

    Returns:
        Accuracy, kappa and the share judged at all; and the disagreements.
    """
    judged = {row["question_id"]: row for row in records(first_question_judgements)}
    asked = records(filter_questions)
    both = [(row, judged[row["question_id"]]) for row in asked if row["question_id"] in judged]
    rows = decisions("question_filter", ALL, [(row["stands_alone"], given["keep"]) for row, given in both], options)
    rows += means("question_filter", ALL, ["judged"], [[row["question_id"] in judged] for row in asked], options)
    wrong = [
        {
            "task": "question_filter",
            "item_id": row["question_id"],
            "question": row["question"],
            "gold": "keep" if row["stands_alone"] else "reject",
            "given": "keep" if given["keep"] else "reject",
            "text": given["reason"],
        }
        for row, given in both
        if row["stands_alone"] != given["keep"]
    ]
    return table(rows, SCORES), table(wrong, DISAGREEMENTS)


def score_annotation(
    questions: pd.DataFrame,
    candidates: pd.DataFrame,
    annotations: pd.DataFrame,
    gold_candidates: pd.DataFrame,
    gold_annotations: pd.DataFrame,
    options: ScoringOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the reasoning model's choices with gold, among the teacher's own candidates and among gold ones.

    Args:
        questions: The questions with gold labels.
        candidates: The teacher's own candidates.
        annotations: Choices among them.
        gold_candidates: The gold facets of the intent, and the answer.
        gold_annotations: Choices among them.
        options: When facets are the same, and intervals.

    Returns:
        For both: accuracy and kappa of asking or answering; on vague questions whose best facet was among the
        candidates, the share in which it was chosen; the share in which it was among them; and the share annotated at
        all. And the disagreements.
    """
    rows, wrong = [], []
    for subset, offered, chosen in (
        (OWN_CANDIDATES, candidates, annotations),
        (GOLD_CANDIDATES, gold_candidates, gold_annotations),
    ):
        facets = {
            question_id: [each["facet"] for each in rows if each["kind"] == "ask"]
            for question_id, rows in candidates_by_question(offered).items()
        }
        given = [{**row, "offered": facets.get(row["question_id"], [])} for row in records(chosen)]
        scores, disagreements = _score_choices(subset, records(questions), given, options)
        rows += scores
        wrong += disagreements
    return table(rows, SCORES), table(wrong, DISAGREEMENTS)


def _score_choices(
    subset: str, questions: Sequence[Row], chosen: Sequence[Row], options: ScoringOptions
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    by_id = {row["question_id"]: row for row in chosen}
    both = [(row, by_id[row["question_id"]]) for row in questions if row["question_id"] in by_id]
    asks = [(row["needs_clarification"], given["choice_kind"] == "ask") for row, given in both]
    rows = decisions("annotation", subset, asks, options)
    rows += means("annotation", subset, ["annotated"], [[row["question_id"] in by_id] for row in questions], options)
    wrong = [
        _disagreement(f"annotation/{subset}", row, given, _kind(needed), _kind(asked))
        for (row, given), (needed, asked) in zip(both, asks, strict=True)
        if needed != asked
    ]
    vague = [(row, given) for row, given in both if row["needs_clarification"]]
    vectors = embed_facets(
        (text for row, given in vague for text in (row["gold_facets"][0], *given["offered"])), options.matching
    )
    for sense in SENSES:
        judged = [_best_facet(row, given, sense, options, vectors) for row, given in vague]
        offered = [[there] for there, _ in judged]
        hits = [[hit] for there, hit in judged if there]
        rows += means("annotation", subset, [f"best_facet_offered_{sense}"], offered, options)
        rows += means("annotation", subset, [f"best_facet_chosen_{sense}"], hits, options)
    # What is left of `judged` are the pairs in the wider sense: only what misses in it too is worth reading.
    worse = [
        _disagreement(f"annotation_facet/{subset}", row, given, row["gold_facets"][0], given["facet"])
        for (row, given), (there, hit) in zip(vague, judged, strict=True)
        if there and not hit and given["choice_kind"] == "ask"
    ]
    return rows, [*wrong, *worse]


def _best_facet(row: Row, given: Row, sense: Sense, options: ScoringOptions, vectors: Vectors) -> tuple[bool, bool]:
    """Whether the best facet was among the candidates, and whether it was chosen."""
    offered = given["offered"]
    same = same_facets([row["gold_facets"][0]], offered, sense, options.matching.threshold, vectors)[0]
    best = {facet for facet, hit in zip(offered, same, strict=True) if hit}
    return bool(best), given["choice_kind"] == "ask" and given["facet"] in best


def _kind(asks: bool) -> str:
    return "ask" if asks else "answer"


def _disagreement(task: str, row: Row, chosen: Row, gold: str, given: str) -> dict[str, Any]:
    return {
        "task": task,
        "item_id": row["question_id"],
        "question": row["question"],
        "gold": gold,
        "given": given,
        "text": f"{chosen['text']} | {chosen['thought']}",
    }
