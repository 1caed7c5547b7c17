"""Nodes that compare a teacher's work with gold labels: scores with intervals, and every disagreement to read."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from clarilm_kedro.logs.records import Records
from clarilm_kedro.metrics.agreement import decision_scores, found_scores
from clarilm_kedro.metrics.bootstrap import Interval, sums_intervals
from clarilm_kedro.metrics.facet_recall import SENSES, FacetLists, embed_facets, mean_recalls, same_facets
from clarilm_kedro.pipelines.audit.schemas import DISAGREEMENTS, FACET_RECALL, SCORES, ScoringOptions
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.normalise import normalise_question

#: What the annotation is judged on: the teacher's own candidates, or the gold ones.
END_TO_END, GOLD_CANDIDATES = "own_candidates", "gold_candidates"


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
    gold = {_pair_key(row["chat_id"], row["question"], row["next_question"]): row for row in _data(gold_clarifications)}
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
    rows = _scored(
        "extraction",
        "",
        ("precision", "recall", "f1"),
        per_session,
        lambda sums, _: found_scores(sums[..., 0], sums[..., 1], sums[..., 2]),
        options,
        note=f"{len(there)} gold clarifications",
    )
    pairs = [(there[key]["facet"], found[key]["facet"]) for key in right]
    same = _same_pairs(pairs, options)
    rows += _means("extraction", "", [f"facet_{sense}" for sense in SENSES], same, options)
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
    rows = _decisions("question_filter", "", [(row["stands_alone"], given["keep"]) for row, given in both], options)
    rows += _means("question_filter", "", ["judged"], [[row["question_id"] in judged] for row in asked], options)
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
    rows = _recall_rows("facets", "all", _lists(gold_lists, offered), options)
    for subset, lists in _in3_lists(in3_tasks, offered).items():
        rows += _recall_rows("in3_facets", subset, lists, options)
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


def score_annotation(
    questions: pd.DataFrame, annotations: pd.DataFrame, gold_annotations: pd.DataFrame, options: ScoringOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the reasoning model's choices with gold, among the teacher's own candidates and among gold ones.

    Args:
        questions: The questions with gold labels.
        annotations: Choices among the teacher's own candidates.
        gold_annotations: Choices among the gold facets of the intent and the answer.
        options: When facets are the same, and intervals.

    Returns:
        For both: accuracy and kappa of asking or answering; on vague questions whose best facet was among the
        candidates, the share in which it was chosen; the share in which it was among them; and the share annotated at
        all. And the disagreements.
    """
    rows, wrong = [], []
    for subset, chosen in ((END_TO_END, annotations), (GOLD_CANDIDATES, gold_annotations)):
        scores, disagreements = _score_choices(subset, records(questions), records(chosen), options)
        rows += scores
        wrong += disagreements
    return table(rows, SCORES), table(wrong, DISAGREEMENTS)


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
    gold = {question_identity(row["question"]): row["facets"] for row in _data(gold_facets)}
    measured = {row_id: gold[row_id] for row_id in questions["question_id"] if row_id in gold}
    rows = []
    for source, own, of_in3 in (
        ("log", log_facets, in3_log_facets),
        ("llm", llm_facets, in3_llm_facets),
        ("fused", facets, in3_facets),
    ):
        found = {"sample_world": {"all": _lists(measured, ranked_facets(own))}}
        found["in3"] = _in3_lists(in3_tasks, ranked_facets(of_in3))
        rows += [
            {**row, "benchmark": benchmark, "source": source}
            for benchmark, subsets in found.items()
            for subset, lists in subsets.items()
            for row in _recall_rows("", subset, lists, options)
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


def _score_choices(
    subset: str, questions: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]], options: ScoringOptions
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    by_id = {row["question_id"]: row for row in chosen}
    both = [(row, by_id[row["question_id"]]) for row in questions if row["question_id"] in by_id]
    asks = [(row["needs_clarification"], given["choice_kind"] == "ask") for row, given in both]
    rows = _decisions("annotation", subset, asks, options)
    rows += _means("annotation", subset, ["annotated"], [[row["question_id"] in by_id] for row in questions], options)
    vague = [(row, given) for row, given in both if row["needs_clarification"]]
    best = [row["gold_facets"][0] for row, _ in vague]
    offered = [[each["facet"] for each in json.loads(given["candidates"]) if each["facet"]] for _, given in vague]
    picked = [given["facet"] for _, given in vague]
    vectors = embed_facets((*best, *picked, *(text for each in offered for text in each)), options.matching)
    close = [False] * len(vague)
    for sense in SENSES:

        def same(left: str, right: Sequence[str], sense: Any = sense) -> bool:
            return bool(same_facets([left], right, sense, options.matching.threshold, vectors).any())

        among = [same(facet, each) for facet, each in zip(best, offered, strict=True)]
        hits = [
            given["choice_kind"] == "ask" and same(facet, [given["facet"]])
            for facet, (_, given) in zip(best, vague, strict=True)
        ]
        rows += _means("annotation", subset, [f"best_facet_offered_{sense}"], [[each] for each in among], options)
        chosen_best = [[hit] for hit, there in zip(hits, among, strict=True) if there]
        rows += _means("annotation", subset, [f"best_facet_chosen_{sense}"], chosen_best, options)
        close = [there and not hit for hit, there in zip(hits, among, strict=True)]
    wrong = [
        _choice_disagreement(f"annotation/{subset}", row, given, _kind(row["needs_clarification"]), _kind(asked))
        for (row, given), (_, asked) in zip(both, asks, strict=True)
        if row["needs_clarification"] != asked
    ]
    worse = [
        _choice_disagreement(f"annotation_facet/{subset}", row, given, row["gold_facets"][0], given["facet"])
        for (row, given), other in zip(vague, close, strict=True)
        if other and given["choice_kind"] == "ask"
    ]
    return rows, [*wrong, *worse]


def _lists(gold: Mapping[str, Sequence[str]], offered: Mapping[str, Sequence[str]]) -> list[FacetLists]:
    return [FacetLists(tuple(facets), tuple(offered.get(row_id, ()))) for row_id, facets in sorted(gold.items())]


def _in3_lists(in3_tasks: pd.DataFrame, offered: Mapping[str, Sequence[str]]) -> dict[str, list[FacetLists]]:
    """IN3's lists, of all details and of those of one importance."""
    tasks = records(in3_tasks)
    wanted: dict[str, set[int]] = {"all": {1, 2, 3}, **{f"importance_{each}": {each} for each in (3, 2, 1)}}
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


def _recall_rows(task: str, subset: str, lists: Iterable[FacetLists], options: ScoringOptions) -> list[dict[str, Any]]:
    return [
        _row(task, subset, f"recall_at_{recall.k}_{recall.sense}", recall.n, recall.interval)
        for recall in mean_recalls(lists, options.matching, options.bootstrap)
    ]


def _decisions(
    task: str, subset: str, pairs: Sequence[tuple[bool, bool]], options: ScoringOptions
) -> list[dict[str, Any]]:
    cells = [[yes and said, not yes and said, yes and not said, not yes and not said] for yes, said in pairs]
    return _scored(
        task,
        subset,
        ("accuracy", "kappa"),
        cells,
        lambda sums, _: decision_scores(*np.moveaxis(sums, -1, 0)),
        options,
    )


def _means(
    task: str, subset: str, metrics: Sequence[str], values: Sequence[Sequence[float]], options: ScoringOptions
) -> list[dict[str, Any]]:
    return _scored(task, subset, metrics, values, lambda sums, n: sums / n, options)


def _scored(
    task: str,
    subset: str,
    metrics: Sequence[str],
    per_item: Sequence[Sequence[float]],
    score: Callable[[npt.NDArray[np.float64], int], npt.NDArray[np.float64]],
    options: ScoringOptions,
    note: str = "",
) -> list[dict[str, Any]]:
    """Rows of scores; without items there is no score."""
    if not per_item:
        return [_row(task, subset, metric, 0, Interval(np.nan, np.nan, np.nan), note) for metric in metrics]
    intervals = sums_intervals(per_item, score, options.bootstrap)
    return [
        _row(task, subset, metric, len(per_item), interval, note)
        for metric, interval in zip(metrics, intervals, strict=True)
    ]


def _row(task: str, subset: str, metric: str, n: int, interval: Interval, note: str = "") -> dict[str, Any]:
    return {
        "task": task,
        "subset": subset,
        "metric": metric,
        "value": interval.estimate,
        "n": n,
        "low": interval.low,
        "high": interval.high,
        "note": note,
    }


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
    return _means("ingestion", "", ["gold_in_sessions"], [[pair in kept] for pair in pairs], options)


def _same_pairs(pairs: Sequence[tuple[str, str]], options: ScoringOptions) -> list[list[bool]]:
    """Whether the facets of each pair are the same, in every sense."""
    vectors = embed_facets((text for pair in pairs for text in pair), options.matching)
    return [
        [bool(same_facets([left], [right], sense, options.matching.threshold, vectors)[0, 0]) for sense in SENSES]
        for left, right in pairs
    ]


def _pair_key(chat_id: str, first: str, second: str) -> tuple[str, str, str]:
    return chat_id, normalise_question(first), normalise_question(second)


def _data(gold: Records) -> list[dict[str, Any]]:
    return [record.data for record in gold.rows]


def _kind(asks: bool) -> str:
    return "ask" if asks else "answer"


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


def _choice_disagreement(
    task: str, row: Mapping[str, Any], chosen: Mapping[str, Any], gold: str, given: str
) -> dict[str, Any]:
    return {
        "task": task,
        "item_id": row["question_id"],
        "question": row["question"],
        "gold": gold,
        "given": given,
        "text": f"{chosen['text']} | {chosen['thought']}",
    }
