"""From predictions to one score per system, seed, item and metric; every table is a group-by over these rows.

Columns of row scores: benchmark, system, seed, item_id, needs_clarification, asked (after the policy for unparsed
replies), parsed, metric, value. Metrics:
    correct: 1 where the decision equals the label; missing where an unparsed reply is dropped.
    token_f1, token_precision, token_recall, bertscore_f1: quality of the question, on items that need a clarification
        and have a reference. A system that did not ask has asked no question and gets 0 (policy ``gold_zero``: it
        cannot be gamed by asking rarely); the policy ``both`` keeps the rows where ``asked`` is true.
    token_f1_text, bertscore_f1_text: the same of whatever the reply says, on the same items (policy ``gold_text``).
    facet_recall_exact, facet_recall_cosine: share of the gold facets that the question asks for, on items that need a
        clarification and have facets; 0 where the system did not ask.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.asked_facets import AskedFacetOptions, asked_facet_recalls
from clarilm_kedro.metrics.bertscore import BertScore, BertScoreOptions
from clarilm_kedro.metrics.necessity import Unparsed, decide
from clarilm_kedro.metrics.question_quality import Combine, as_targets, question_overlap
from clarilm_kedro.metrics.score_cache import ScoreCache
from clarilm_kedro.options import Options
from clarilm_kedro.tables import table
from clarilm_kedro.text.hashing import stable_order

PREDICTION_COLUMNS = {
    "benchmark": "str",
    "system": "str",
    "seed": "int64",
    "item_id": "str",
    "text": "str",
    "asked": "bool",
    "p_ask": "float64",
    "question": "str",
    "parsed": "bool",
    "threshold": "float64",
}
ROW_SCORE_COLUMNS = {
    "benchmark": "str",
    "system": "str",
    "seed": "int64",
    "item_id": "str",
    "needs_clarification": "bool",
    "asked": "bool",
    "parsed": "bool",
    "metric": "str",
    "value": "float64",
}
QUALITY_METRICS = (
    "token_f1",
    "token_precision",
    "token_recall",
    "bertscore_f1",
    "token_f1_text",
    "bertscore_f1_text",
)
FACET_METRICS = ("facet_recall_exact", "facet_recall_cosine")
_KEY = ["benchmark", "item_id"]
_NAMES = [name for name in ROW_SCORE_COLUMNS if name not in ("metric", "value")]
_OF_ITEMS = ["needs_clarification", "references", "importances", "facets"]


class ScoringOptions(Options):
    """How predictions are scored."""

    unparsed: Unparsed = Field(
        default="as_answer",
        description="What a reply without a readable decision counts as: as_answer, as_ask, as_wrong, drop.",
    )
    references: Combine = Field(
        default="max",
        description=(
            "How several references of one item count: max (a system asks one question), mean, first, top_importance, "
            "concat."
        ),
    )
    bertscore: BertScoreOptions = Field(
        default=BertScoreOptions(), description="The contextual embeddings of BERTScore."
    )
    asked_facets: AskedFacetOptions = Field(
        default=AskedFacetOptions(), description="When a question counts as asking for a gold facet."
    )


def score_rows(
    benchmarks: pd.DataFrame, predictions: pd.DataFrame, options: ScoringOptions, cache: ScoreCache | None = None
) -> pd.DataFrame:
    """Score every prediction.

    Args:
        benchmarks: The items (columns in :mod:`clarilm_kedro.metrics.benchmarks.shape`).
        predictions: One row per system, seed and item (:data:`PREDICTION_COLUMNS`).
        options: Policies and the BERTScore model.
        cache: BERTScores of earlier runs; new ones are added.

    Returns:
        Row scores, ordered by benchmark, system, seed, item and metric.

    Raises:
        ClarilmError: A system has no prediction, or more than one, for an item, or one for an unknown item.
    """
    check_complete(benchmarks, predictions)
    rows = predictions.merge(benchmarks[[*_KEY, *_OF_ITEMS]], on=_KEY)
    rows["asked"], counts = decide(
        rows["needs_clarification"].to_numpy(), rows["asked"].to_numpy(), rows["parsed"].to_numpy(), options.unparsed
    )
    correct = rows.assign(
        metric="correct", value=np.where(counts, rows["needs_clarification"] == rows["asked"], np.nan).astype(float)
    )
    rows = rows[rows["needs_clarification"].to_numpy() & counts]
    quality = _quality(rows[_holds_any(rows["references"])], benchmarks, options, cache)
    facets = _facets(rows[_holds_any(rows["facets"])], options.asked_facets)
    scores = pd.concat([correct[list(ROW_SCORE_COLUMNS)], quality, facets]).astype(ROW_SCORE_COLUMNS)
    return scores.sort_values(["benchmark", "system", "seed", "item_id", "metric"], ignore_index=True)


def check_complete(benchmarks: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Refuse predictions that do not cover, item by item, the benchmarks they are about.

    Raises:
        ClarilmError: Names the system, the benchmark and an item.
    """
    items = set(map(tuple, benchmarks[_KEY].to_numpy()))
    for (system, _, name), rows in predictions.groupby(["system", "seed", "benchmark"]):
        keys = list(map(tuple, rows[_KEY].to_numpy()))
        distinct = set(keys)
        wrong = sorted({key for key in items if key[0] == name}.symmetric_difference(distinct))
        if wrong or len(keys) != len(distinct):
            benchmark, item = wrong[0] if wrong else next(key for key in keys if keys.count(key) > 1)
            raise ClarilmError(
                f"The predictions of '{system}' do not fit the items: look at item '{item}' of benchmark '{benchmark}' "
                "(missing, unknown or there twice). Run the evaluation pipeline from collect_benchmarks on."
            )


def score_floors(
    benchmarks: pd.DataFrame, generic_question: str, seed: int, options: ScoringOptions, cache: ScoreCache | None = None
) -> pd.DataFrame:
    """Score three questions that need no understanding, as floors for the quality columns.

    Args:
        benchmarks: The items.
        generic_question: A question that fits anything.
        seed: Seed of the shuffle.
        options: As for :func:`score_rows`.
        cache: As for :func:`score_rows`.

    Returns:
        Columns benchmark, floor (``generic``: always the same question; ``echo``: the user's question sent back;
        ``shuffled``: the first reference of another item), n, tf, bert; one row per benchmark and floor.
    """
    rows = []
    for benchmark, items in benchmarks[_holds_any(benchmarks["references"])].groupby("benchmark"):
        shuffled = dict(zip(items["item_id"], _others(items, seed), strict=True))
        floors = {
            "generic": [generic_question] * len(items),
            "echo": list(items["question"]),
            "shuffled": [shuffled[item] for item in items["item_id"]],
        }
        for floor, questions in floors.items():
            scores = _compare(questions, _targets(items, options), benchmarks, options, cache)
            rows.append(
                {
                    "benchmark": benchmark,
                    "floor": floor,
                    "n": len(items),
                    "tf": float(np.mean(scores["token_f1"])),
                    "bert": float(np.mean(scores["bertscore_f1"])),
                }
            )
    types = {"benchmark": "str", "floor": "str", "n": "int64", "tf": "float64", "bert": "float64"}
    return table(rows, types)


def _holds_any(lists: pd.Series) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.array([len(each) > 0 for each in lists], dtype=bool)


def _others(items: pd.DataFrame, seed: int) -> list[str]:
    """Give every item the first reference of the next one in a seeded circle."""
    circle = stable_order(list(items["item_id"]), seed, str)
    first = {item: references[0] for item, references in zip(items["item_id"], items["references"], strict=True)}
    following = {item: circle[(i + 1) % len(circle)] for i, item in enumerate(circle)}
    return [first[following[item]] for item in items["item_id"]]


def _targets(rows: pd.DataFrame, options: ScoringOptions) -> list[list[str]]:
    """What the question of each row is compared with."""
    return [
        as_targets(list(references), options.references, list(importances))
        for references, importances in zip(rows["references"], rows["importances"], strict=True)
    ]


def _quality(
    rows: pd.DataFrame, benchmarks: pd.DataFrame, options: ScoringOptions, cache: ScoreCache | None
) -> pd.DataFrame:
    """Score the questions of rows that need one, in the long form."""
    asked = rows["asked"].to_numpy()
    said = [
        question if asks else text for question, text, asks in zip(rows["question"], rows["text"], asked, strict=True)
    ]
    scores = _compare(said, _targets(rows, options), benchmarks, options, cache)
    wide = rows.assign(**scores, token_f1_text=scores["token_f1"], bertscore_f1_text=scores["bertscore_f1"])
    # A reference of stop words only agrees with an empty text, but nothing said is nothing.
    wide.loc[[not each.strip() for each in said], list(QUALITY_METRICS)] = 0.0
    # Not asking is no question at all, whatever the answer has in common with the reference.
    wide.loc[~asked, ["token_f1", "token_precision", "token_recall", "bertscore_f1"]] = 0.0
    return _long(wide, QUALITY_METRICS)


def _facets(rows: pd.DataFrame, options: AskedFacetOptions) -> pd.DataFrame:
    """Score which facets the questions of rows with gold facets ask for, in the long form."""
    questions = [question if asks else "" for question, asks in zip(rows["question"], rows["asked"], strict=True)]
    recalls = asked_facet_recalls(
        questions, [list(each) for each in rows["facets"]], [list(each) for each in rows["references"]], options
    )
    exact, cosine = zip(*recalls, strict=True) if recalls else ((), ())
    return _long(rows.assign(facet_recall_exact=exact, facet_recall_cosine=cosine), FACET_METRICS)


def _long(wide: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    return wide.melt(id_vars=_NAMES, value_vars=list(metrics), var_name="metric", value_name="value")


def _compare(
    questions: Sequence[str],
    targets: Sequence[Sequence[str]],
    benchmarks: pd.DataFrame,
    options: ScoringOptions,
    cache: ScoreCache | None,
) -> dict[str, list[float]]:
    """Token overlap and BERTScore of one question per item."""
    scorer = BertScore(options.bertscore, cache)
    scorer.fit_idf([text for each in benchmarks["references"] for text in each])
    overlaps = [
        question_overlap(question, each, options.references) for question, each in zip(questions, targets, strict=True)
    ]
    return {
        "token_f1": [each.f1 for each in overlaps],
        "token_precision": [each.precision for each in overlaps],
        "token_recall": [each.recall for each in overlaps],
        "bertscore_f1": scorer.f1_of_items(questions, targets, options.references),
    }
