"""Nodes that score predictions and compare systems."""

from collections.abc import Mapping

import pandas as pd

from clarilm_kedro.metrics import aggregation, categories, comparing, scoring
from clarilm_kedro.metrics.baselines import TF_IDF, BaselineOptions
from clarilm_kedro.metrics.bertscore import score_hash
from clarilm_kedro.metrics.categories import CategoryOptions
from clarilm_kedro.metrics.comparing import ComparisonOptions
from clarilm_kedro.metrics.outcomes import TRAINED
from clarilm_kedro.metrics.score_cache import ScoreCache
from clarilm_kedro.metrics.scoring import ScoringOptions
from clarilm_kedro.pipelines.evaluation.schemas import ITEM_CLUSTERS
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.deduplication import clusters
from clarilm_kedro.text.similarity import pairs_within

SFT_IN3 = "sft-in3"


def score_rows(
    benchmarks: pd.DataFrame, predictions: pd.DataFrame, cache: ScoreCache, options: ScoringOptions
) -> pd.DataFrame:
    """Score every prediction: see :func:`clarilm_kedro.metrics.scoring.score_rows`."""
    return scoring.score_rows(benchmarks, predictions, options, cache)


def score_floors(
    benchmarks: pd.DataFrame, cache: ScoreCache, baselines: BaselineOptions, options: ScoringOptions
) -> pd.DataFrame:
    """Score questions that understand nothing: see :func:`clarilm_kedro.metrics.scoring.score_floors`."""
    return scoring.score_floors(benchmarks, baselines.generic_question, baselines.seed, options, cache)


def build_results_table(
    row_scores: pd.DataFrame,
    predictions: pd.DataFrame,
    sft_train: pd.DataFrame,
    options: ScoringOptions,
    comparison: ComparisonOptions,
) -> pd.DataFrame:
    """Aggregate to one row per benchmark and system.

    Args:
        row_scores: One score per system, seed, item and metric.
        predictions: Predictions, for the thresholds that were used.
        sft_train: Training rows, for the teacher that made them.
        options: The BERTScore model.
        comparison: How intervals are drawn.

    Returns:
        Columns of :data:`clarilm_kedro.metrics.aggregation.RESULT_COLUMNS`.
    """
    used = predictions.dropna(subset=["threshold"]).drop_duplicates(["benchmark", "system"])
    thresholds = {(row["benchmark"], row["system"]): row["threshold"] for row in records(used)}
    teacher = ", ".join(sorted(set(sft_train["teacher"]))) or "none"
    return aggregation.results_table(
        row_scores,
        thresholds,
        {**dict.fromkeys((TF_IDF, *TRAINED), teacher), SFT_IN3: "IN3"},
        score_hash(options.bertscore),
        comparison,
    )


def build_category_results(
    row_scores: pd.DataFrame, benchmarks: pd.DataFrame, options: CategoryOptions
) -> pd.DataFrame:
    """Break results up by category: see :func:`clarilm_kedro.metrics.categories.category_results`."""
    return categories.category_results(row_scores, benchmarks, options)


def cluster_items(benchmarks: pd.DataFrame, options: ComparisonOptions) -> pd.DataFrame:
    """Say which items of a benchmark are near-duplicates of one another, such as questions made from one template.

    Args:
        benchmarks: The items.
        options: Whether items or templates are drawn, and what makes a template.

    Returns:
        Columns of :data:`clarilm_kedro.pipelines.evaluation.schemas.ITEM_CLUSTERS`; where items are drawn every item is
        a cluster of its own, and nothing is compared.
    """
    rows = []
    for benchmark, items in benchmarks.groupby("benchmark"):
        ids, questions = list(items["item_id"]), list(items["question"])
        by_template = options.unit == "template"
        names = clusters(questions, pairs_within(questions, options.templates)) if by_template else ids
        rows += [
            {"benchmark": benchmark, "item_id": item, "cluster": name} for item, name in zip(ids, names, strict=True)
        ]
    return table(rows, ITEM_CLUSTERS).sort_values(["benchmark", "item_id"], ignore_index=True)


def compare_systems(row_scores: pd.DataFrame, item_clusters: pd.DataFrame, options: ComparisonOptions) -> pd.DataFrame:
    """Compare ClariLM with every other system: see :func:`clarilm_kedro.metrics.comparing.comparisons`."""
    return comparing.comparisons(row_scores, options, _clusters(item_clusters, options))


def compare_all_systems(
    row_scores: pd.DataFrame, item_clusters: pd.DataFrame, options: ComparisonOptions
) -> pd.DataFrame:
    """Compare every pair of systems: see :func:`clarilm_kedro.metrics.comparing.comparison_matrix`."""
    return comparing.comparison_matrix(row_scores, options, _clusters(item_clusters, options))


def compare_by_category(
    row_scores: pd.DataFrame, benchmarks: pd.DataFrame, options: ComparisonOptions, groups: CategoryOptions
) -> pd.DataFrame:
    """Compare ClariLM within categories: see :func:`clarilm_kedro.metrics.comparing.category_comparisons`."""
    return comparing.category_comparisons(row_scores, benchmarks, options, groups)


def _clusters(item_clusters: pd.DataFrame, options: ComparisonOptions) -> Mapping[tuple[str, str], str] | None:
    if options.unit == "item":
        return None
    return {(row["benchmark"], row["item_id"]): row["cluster"] for row in records(item_clusters)}
