"""Evaluation: predict, score rows, build tables, write the report (paper, sections 4.2 to 4.6)."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.evaluation import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Create the evaluation pipeline."""
    return _predict() + _score() + _report()


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
                func=nodes.predict_clarilm_sft,
                inputs=[
                    "base_model",
                    "clarilm_sft_adapter",
                    "calibrations",
                    "benchmarks",
                    "params:evaluation.decoding",
                    "adapter_server",
                ],
                outputs="clarilm_sft_predictions",
                name="predict_clarilm_sft",
            ),
            Node(
                func=nodes.predict_clarilm,
                inputs=[
                    "base_model",
                    "clarilm_adapter",
                    "calibrations",
                    "benchmarks",
                    "params:evaluation.decoding",
                    "adapter_server",
                ],
                outputs="clarilm_predictions",
                name="predict_clarilm",
            ),
            Node(
                func=nodes.merge_predictions,
                inputs=["baseline_predictions", "base_predictions", "clarilm_sft_predictions", "clarilm_predictions"],
                outputs="predictions",
                name="merge_predictions",
            ),
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
                    "clarilm_sft_adapter",
                    "clarilm_adapter",
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
