"""Evaluation: predict, score rows, build tables, write the report (paper, sections 4.2 to 4.6)."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.metrics.benchmarks.registry import published_benchmarks
from clarilm_kedro.pipelines.evaluation import nodes, scoring
from clarilm_kedro.pipelines.evaluation.drawing_pipeline import create_drawing
from clarilm_kedro.pipelines.evaluation.given import read_given_predictions
from clarilm_kedro.pipelines.evaluation.local import predict_local
from clarilm_kedro.pipelines.evaluation.prompted import accept_prompted, predict_prompted
from clarilm_kedro.pipelines.training import VARIANTS, system_of


def create_pipeline(**_: object) -> Pipeline:
    """Create the evaluation pipeline."""
    return _predict() + _predict_variants() + _predict_others() + _score() + _compare() + _report() + create_drawing()


def _predict() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.collect_benchmarks,
                inputs=[
                    "our_test",
                    "params:evaluation.benchmarks",
                    *(benchmark.rows for benchmark in published_benchmarks()),
                ],
                outputs=["benchmarks", "rejected_benchmark_rows"],
                name="collect_benchmarks",
            ),
            Node(
                func=nodes.predict_baselines,
                inputs=["benchmarks", "sft_train", "validation", "params:evaluation.baselines"],
                outputs="baseline_predictions",
                name="predict_baselines",
            ),
            Node(
                func=nodes.predict_base,
                inputs=["base_model", "calibrations", "benchmarks", "params:evaluation.decoding", "adapter_server"],
                outputs="base_predictions",
                name="predict_base",
            ),
            Node(
                func=nodes.merge_predictions,
                inputs=[
                    "baseline_predictions",
                    "base_predictions",
                    *(f"{variant}_predictions" for variant in VARIANTS),
                    "prompted_predictions",
                    "local_predictions",
                    "read_predictions",
                ],
                outputs="predictions",
                name="merge_predictions",
            ),
        ]
    )


def _predict_variants() -> Pipeline:
    """One node per trained variant. Without namespaces: the trainings have those, and the calibration lies between."""
    return Pipeline(
        [
            Node(
                func=nodes.predict_node(system_of(variant)),
                inputs=[
                    "base_model",
                    f"{variant}_adapter",
                    "calibrations",
                    "benchmarks",
                    "params:evaluation.decoding",
                    "adapter_server",
                ],
                outputs=f"{variant}_predictions",
                name=f"predict_{variant}",
            )
            for variant in VARIANTS
        ]
    )


def _predict_others() -> Pipeline:
    """Systems that the user lists: chat endpoints, further models on this machine, files."""
    return Pipeline(
        [
            Node(
                func=predict_prompted,
                inputs=["benchmarks", "zero_shot_prompt", "baseline_llms", "params:evaluation.decoding"],
                outputs=["prompted_replies", "prompted_predictions_failed"],
                name="predict_prompted",
            ),
            Node(
                func=accept_prompted,
                inputs=["prompted_replies", "prompted_predictions_failed", "params:evaluation.prompted"],
                outputs="prompted_predictions",
                name="accept_prompted",
            ),
            Node(
                func=predict_local,
                inputs=[
                    "local_systems",
                    "zero_shot_prompt",
                    "benchmarks",
                    "params:evaluation.decoding",
                    "adapter_server",
                ],
                outputs="local_predictions",
                name="predict_local",
            ),
            Node(
                func=read_given_predictions,
                inputs=["given_predictions", "benchmarks"],
                outputs="read_predictions",
                name="read_given_predictions",
            ),
        ]
    )


def _score() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=scoring.score_rows,
                inputs=["benchmarks", "predictions", "score_cache", "params:evaluation.scoring"],
                outputs="row_scores",
                name="score_rows",
            ),
            Node(
                func=scoring.score_floors,
                inputs=["benchmarks", "score_cache", "params:evaluation.baselines", "params:evaluation.scoring"],
                outputs="quality_floors",
                name="score_floors",
            ),
            Node(
                func=scoring.build_results_table,
                inputs=[
                    "row_scores",
                    "predictions",
                    "sft_train",
                    "params:evaluation.scoring",
                    "params:evaluation.comparison",
                ],
                outputs="results_table",
                name="build_results_table",
            ),
            Node(
                func=scoring.build_category_results,
                inputs=["row_scores", "benchmarks", "params:evaluation.categories"],
                outputs="category_results",
                name="build_category_results",
            ),
        ]
    )


def _compare() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=scoring.cluster_items,
                inputs=["benchmarks", "params:evaluation.comparison"],
                outputs="item_clusters",
                name="cluster_items",
            ),
            Node(
                func=scoring.compare_systems,
                inputs=["row_scores", "item_clusters", "params:evaluation.comparison"],
                outputs="comparisons",
                name="compare_systems",
            ),
            Node(
                func=scoring.compare_all_systems,
                inputs=["row_scores", "item_clusters", "params:evaluation.comparison"],
                outputs="comparison_matrix",
                name="compare_all_systems",
            ),
            Node(
                func=scoring.compare_by_category,
                inputs=["row_scores", "benchmarks", "params:evaluation.comparison", "params:evaluation.categories"],
                outputs="category_comparisons",
                name="compare_by_category",
            ),
        ]
    )


def _report() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.explain_skipped,
                inputs=[
                    "benchmarks",
                    "sft_train",
                    "fm_log_adapter",
                    *(f"{variant}_adapter" for variant in VARIANTS),
                    "calibrations",
                ],
                outputs="skipped_stages",
                name="explain_skipped",
            ),
            Node(
                func=nodes.write_results_markdown,
                inputs=["results_table", "quality_floors"],
                outputs="results_markdown",
                name="write_results_markdown",
            ),
            Node(
                func=nodes.write_results_html,
                inputs=["results_table", "params:evaluation.report"],
                outputs="results_html",
                name="write_results_html",
            ),
            Node(
                func=nodes.write_report,
                inputs=[
                    "results_table",
                    "comparisons",
                    "quality_floors",
                    "benchmarks",
                    "predictions",
                    "log_statistics",
                    "skipped_stages",
                    "params:evaluation.report",
                ],
                outputs="report",
                name="write_report",
            ),
        ]
    )
