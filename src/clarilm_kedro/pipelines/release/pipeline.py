"""Release: from tables, adapter and results to cards and a registered model."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.release.nodes import describe_data, describe_model, package_assistant


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that describes data and model and registers the model."""
    return Pipeline(
        [
            Node(
                func=describe_data,
                inputs=[
                    "log_statistics",
                    "data_summary",
                    "preference_statistics",
                    "leakage_summary",
                    "download_sources",
                    "params:release.cards",
                ],
                outputs="data_card",
                name="describe_data",
            ),
            Node(
                func=describe_model,
                inputs=[
                    "clarilm_adapter",
                    "clarilm_sft_adapter",
                    "base_model",
                    "calibrations",
                    "results_table",
                    "comparisons",
                    "download_sources",
                    "params:release.cards",
                ],
                outputs="model_card",
                name="describe_model",
            ),
            Node(
                func=package_assistant,
                inputs=["clarilm_adapter", "base_model", "calibrations", "results_table", "model_card"],
                outputs="registered_model",
                name="package_assistant",
            ),
        ]
    )
