"""Evaluation: predict, score rows, build tables, write the report (paper, sections 4.2 to 4.6)."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.evaluation import nodes
from clarilm_kedro.pipelines.evaluation.drawing_pipeline import create_drawing
from clarilm_kedro.pipelines.training import VARIANTS, system_of


def create_pipeline(**_: object) -> Pipeline:
    """Create the evaluation pipeline."""
    return _predict() + _predict_variants() + _score() + _report() + create_drawing()


def _predict() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.collect_benchmarks,
                inputs=["our_test", "in3_test", "clamber", "params:evaluation.benchmarks"],
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


def _score() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.score_rows,
                inputs=["benchmarks", "predictions", "params:evaluation.scoring"],
                outputs="row_scores",
                name="score_rows",
            ),
            Node(
                func=nodes.score_floors,
                inputs=["benchmarks", "params:evaluation.baselines", "params:evaluation.scoring"],
                outputs="quality_floors",
                name="score_floors",
            ),
            Node(
                func=nodes.build_results_table,
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
                func=nodes.compare_systems,
                inputs=["row_scores", "params:evaluation.comparison"],
                outputs="comparisons",
                name="compare_systems",
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
                inputs="results_table",
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
