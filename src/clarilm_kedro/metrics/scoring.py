"""From predictions to one score per system, item and metric; every table is a group-by over these rows.

Columns of row scores: benchmark, system, item_id, needs_clarification, asked (after the policy for unparsed replies),
parsed, metric, value. Metrics:
    correct: 1 where the decision equals the label; missing where an unparsed reply is dropped.
    token_f1, token_precision, token_recall, bertscore_f1: quality of the question, on items that need a clarification
        and have a reference. A system that did not ask has asked no question and gets 0 (policy ``gold_zero``: it
        cannot be gamed by asking rarely); the policy ``both`` keeps the rows where ``asked`` is true.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.bertscore import BertScoreOptions, get_bert_score
from clarilm_kedro.metrics.necessity import Unparsed, decide
from clarilm_kedro.metrics.question_quality import Combine, Overlap, question_overlap
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
QUALITY_METRICS = ("token_f1", "token_precision", "token_recall", "bertscore_f1")
_KEY = ["benchmark", "item_id"]


class ScoringOptions(Options):
    """How predictions are scored."""

    unparsed: Unparsed = Field(
        default="as_answer",
        description="What a reply without a readable decision counts as: as_answer, as_ask, as_wrong, drop.",
    )
    references: Combine = Field(
        default="max",
        description="How several references of one item count: max (a system asks one question), mean, first, concat.",
    )
    bertscore: BertScoreOptions = Field(
        default=BertScoreOptions(), description="The contextual embeddings of BERTScore."
    )


def score_rows(benchmarks: pd.DataFrame, predictions: pd.DataFrame, options: ScoringOptions) -> pd.DataFrame:
    """Score every prediction.

    Args:
        benchmarks: The items (columns in :mod:`clarilm_kedro.metrics.benchmarks.shape`).
        predictions: One row per system and item (:data:`PREDICTION_COLUMNS`).
        options: Policies and the BERTScore model.

    Returns:
        Row scores, ordered by benchmark, system, item and metric.

    Raises:
        ClarilmError: A system has no prediction, or more than one, for an item, or one for an unknown item.
    """
    check_complete(benchmarks, predictions)
    rows = predictions.merge(benchmarks[[*_KEY, "needs_clarification", "references"]], on=_KEY)
    rows["asked"], counts = decide(
        rows["needs_clarification"].to_numpy(), rows["asked"].to_numpy(), rows["parsed"].to_numpy(), options.unparsed
    )
    correct = rows.assign(
        metric="correct", value=np.where(counts, rows["needs_clarification"] == rows["asked"], np.nan).astype(float)
    )
    has_reference = np.array([len(each) > 0 for each in rows["references"]], dtype=bool)
    quality = _quality(rows[rows["needs_clarification"].to_numpy() & has_reference & counts], benchmarks, options)
    scores = pd.concat([correct[list(ROW_SCORE_COLUMNS)], quality]).astype(ROW_SCORE_COLUMNS)
    return scores.sort_values(["benchmark", "system", "seed", "item_id", "metric"], ignore_index=True)


def check_complete(benchmarks: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Refuse predictions that do not cover, item by item, the benchmarks they are about.

    Raises:
        ClarilmError: Names the system, the benchmark and an item.
    """
    items = set(map(tuple, benchmarks[_KEY].to_numpy()))
    for (system, _, name), rows in predictions.groupby(["system", "seed", "benchmark"]):
        keys = list(map(tuple, rows[_KEY].to_numpy()))
        wrong = sorted({key for key in items if key[0] == name}.symmetric_difference(keys))
        if wrong or len(keys) != len(set(keys)):
            benchmark, item = wrong[0] if wrong else next(key for key in keys if keys.count(key) > 1)
            raise ClarilmError(
                f"The predictions of '{system}' do not fit the items: look at item '{item}' of benchmark '{benchmark}' "
                "(missing, unknown or there twice). Run the evaluation pipeline from collect_benchmarks on."
            )


def score_floors(benchmarks: pd.DataFrame, generic_question: str, seed: int, options: ScoringOptions) -> pd.DataFrame:
    """Score three questions that need no understanding, as floors for the quality columns.

    Args:
        benchmarks: The items.
        generic_question: A question that fits anything.
        seed: Seed of the shuffle.
        options: As for :func:`score_rows`.

    Returns:
        Columns benchmark, floor (``generic``: always the same question; ``echo``: the user's question sent back;
        ``shuffled``: the first reference of another item), n, tf, bert; one row per benchmark and floor.
    """
    has_reference = np.array([len(each) > 0 for each in benchmarks["references"]], dtype=bool)
    rows = []
    for benchmark, items in benchmarks[has_reference].groupby("benchmark"):
        references = [list(each) for each in items["references"]]
        shuffled = dict(zip(items["item_id"], _others(items, seed), strict=True))
        floors = {
            "generic": [generic_question] * len(items),
            "echo": list(items["question"]),
            "shuffled": [shuffled[item] for item in items["item_id"]],
        }
        for floor, questions in floors.items():
            overlaps, similar = _compare(questions, references, benchmarks, options)
            rows.append(
                {
                    "benchmark": benchmark,
                    "floor": floor,
                    "n": len(items),
                    "tf": float(np.mean([each.f1 for each in overlaps])),
                    "bert": float(np.mean(similar)),
                }
            )
    types = {"benchmark": "str", "floor": "str", "n": "int64", "tf": "float64", "bert": "float64"}
    return table(rows, types)


def _others(items: pd.DataFrame, seed: int) -> list[str]:
    """Give every item the first reference of the next one in a seeded circle."""
    circle = stable_order(list(items["item_id"]), seed, str)
    first = {item: references[0] for item, references in zip(items["item_id"], items["references"], strict=True)}
    following = {item: circle[(i + 1) % len(circle)] for i, item in enumerate(circle)}
    return [first[following[item]] for item in items["item_id"]]


def _quality(rows: pd.DataFrame, benchmarks: pd.DataFrame, options: ScoringOptions) -> pd.DataFrame:
    """Score the questions of rows that need one, in the long form."""
    questions = [question if asked else "" for question, asked in zip(rows["question"], rows["asked"], strict=True)]
    overlaps, similar = _compare(questions, [list(each) for each in rows["references"]], benchmarks, options)
    asked = rows["asked"].to_numpy()
    wide = rows.assign(
        token_f1=[each.f1 for each in overlaps],
        token_precision=[each.precision for each in overlaps],
        token_recall=[each.recall for each in overlaps],
        bertscore_f1=similar,
    )
    # A reference of stop words only agrees with an empty question, but not asking is no question at all.
    wide.loc[~asked, list(QUALITY_METRICS)] = 0.0
    return wide.melt(
        id_vars=["benchmark", "system", "seed", "item_id", "needs_clarification", "asked", "parsed"],
        value_vars=list(QUALITY_METRICS),
        var_name="metric",
        value_name="value",
    )


def _compare(
    questions: Sequence[str], references: Sequence[Sequence[str]], benchmarks: pd.DataFrame, options: ScoringOptions
) -> tuple[list[Overlap], list[float]]:
    """Token overlap and BERTScore of one question per item."""
    scorer = get_bert_score(options.bertscore)
    scorer.fit_idf([text for each in benchmarks["references"] for text in each])
    overlaps = [
        question_overlap(question, each, options.references)
        for question, each in zip(questions, references, strict=True)
    ]
    return overlaps, scorer.f1_of_items(questions, references, options.references)
