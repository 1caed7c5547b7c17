"""Score facets: recall at k of FM-LLM, of FM-LOG and of both fused."""

from collections.abc import Mapping, Sequence

import pandas as pd

from clarilm_kedro.logs.records import Records
from clarilm_kedro.metrics.facet_recall import FacetLists, embed_facets, same_facets
from clarilm_kedro.pipelines.audit.schemas import DISAGREEMENTS, FACET_RECALL, SCORES, ScoringOptions
from clarilm_kedro.pipelines.audit.score_rows import ALL, recalls
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.tables import records, table


def score_facets(
    questions: pd.DataFrame, in3_tasks: pd.DataFrame, llm_facets: pd.DataFrame, options: ScoringOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare FM-LLM's facets with gold: recall at k on the sample world's vague questions and on IN3.

    Args:
        questions: The questions with gold labels.
        in3_tasks: IN3 tasks with the details they leave open.
        llm_facets: FM-LLM's candidates.
        options: When facets are the same, and intervals.

    Returns:
        Recall at every k in both senses; of IN3 also by importance, each importance matched by itself. And, as
        disagreements, the gold facets that no candidate stands for in either sense.
    """
    vague = [row for row in records(questions) if row["needs_clarification"]]
    offered = ranked_facets(llm_facets)
    gold_lists = {row["question_id"]: row["gold_facets"] for row in vague}
    rows = recalls("facets", ALL, _lists(gold_lists, offered), options)
    for subset, lists in _in3_lists(in3_tasks, offered).items():
        rows += recalls("in3_facets", subset, lists, options)
    wanted = [
        *(("facets", row, row["gold_facets"]) for row in vague),
        *(("in3_facets", row, row["details"]) for row in records(in3_tasks)),
    ]
    vectors = embed_facets(
        (text for _, row, gold in wanted for text in (*gold, *offered.get(row["question_id"], ()))), options.matching
    )
    lost = []
    for task, row, gold in wanted:
        given = offered.get(row["question_id"], ())
        same = same_facets(gold, given, "cosine", options.matching.threshold, vectors)
        missed = [facet for facet, hit in zip(gold, same, strict=True) if not hit.any()]
        if missed:
            lost.append(
                {
                    "task": task,
                    "item_id": row["question_id"],
                    "question": row["question"],
                    "gold": "; ".join(missed),
                    "given": "; ".join(given),
                    "text": f"{len(missed)} of {len(gold)} gold facets missed",
                }
            )
    return table(rows, SCORES), table(lost, DISAGREEMENTS)


def score_recall(
    questions: pd.DataFrame,
    log_facets: pd.DataFrame,
    llm_facets: pd.DataFrame,
    facets: pd.DataFrame,
    gold_facets: Records,
    in3_tasks: pd.DataFrame,
    in3_log_facets: pd.DataFrame,
    in3_llm_facets: pd.DataFrame,
    in3_facets: pd.DataFrame,
    options: ScoringOptions,
) -> pd.DataFrame:
    """Measure facet recall by source: FM-LOG, FM-LLM and both fused (section 3.2).

    Args:
        questions: Q of the run; those that have gold facets (the vague ones of the sample world) are measured.
        log_facets: The run's candidates of FM-LOG.
        llm_facets: The run's candidates of FM-LLM.
        facets: The run's fused candidates.
        gold_facets: Fields question, facets.
        in3_tasks: IN3 tasks with the details they leave open.
        in3_log_facets: FM-LOG's candidates for them.
        in3_llm_facets: FM-LLM's candidates for them.
        in3_facets: The fused candidates for them.
        options: When facets are the same, and intervals.

    Returns:
        Columns of :data:`clarilm_kedro.pipelines.audit.schemas.FACET_RECALL`; no row where there is nothing to measure.
    """
    gold = {question_identity(record.data["question"]): record.data["facets"] for record in gold_facets.rows}
    measured = {row_id: gold[row_id] for row_id in questions["question_id"] if row_id in gold}
    rows = []
    for source, own, of_in3 in (
        ("log", log_facets, in3_log_facets),
        ("llm", llm_facets, in3_llm_facets),
        ("fused", facets, in3_facets),
    ):
        found = {"sample_world": {ALL: _lists(measured, ranked_facets(own))}}
        found["in3"] = _in3_lists(in3_tasks, ranked_facets(of_in3))
        rows += [
            {**row, "benchmark": benchmark, "source": source}
            for benchmark, subsets in found.items()
            for subset, lists in subsets.items()
            for row in recalls("", subset, lists, options)
        ]
    return table(rows, FACET_RECALL)


def ranked_facets(facets: pd.DataFrame) -> dict[str, list[str]]:
    """Give each question's facets, the best first.

    Args:
        facets: Columns question_id, facet, rank, and candidate_id where there is one, which settles equal ranks.

    Returns:
        Facets by question.
    """
    order = [name for name in ("question_id", "rank", "candidate_id") if name in facets.columns]
    ranked: dict[str, list[str]] = {}
    for row in records(facets.sort_values(order, kind="stable")):
        ranked.setdefault(row["question_id"], []).append(row["facet"])
    return ranked


def _lists(gold: Mapping[str, Sequence[str]], offered: Mapping[str, Sequence[str]]) -> list[FacetLists]:
    return [FacetLists(tuple(facets), tuple(offered.get(row_id, ()))) for row_id, facets in sorted(gold.items())]


def _in3_lists(in3_tasks: pd.DataFrame, offered: Mapping[str, Sequence[str]]) -> dict[str, list[FacetLists]]:
    """IN3's lists, of all details and of those of one importance."""
    tasks = records(in3_tasks)
    wanted: dict[str, set[int]] = {ALL: {1, 2, 3}, **{f"importance_{each}": {each} for each in (3, 2, 1)}}
    return {
        subset: _lists(
            {
                row["question_id"]: [
                    detail
                    for detail, importance in zip(row["details"], row["importances"], strict=True)
                    if importance in importances
                ]
                for row in tasks
            },
            offered,
        )
        for subset, importances in wanted.items()
    }
