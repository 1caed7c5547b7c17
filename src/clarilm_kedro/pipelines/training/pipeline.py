"""Training ClariLM: from annotated replies and preferences to an adapter and its threshold."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.training.nodes import align_clarilm_dpo, calibrate_ask_threshold, train_clarilm_sft


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that trains and calibrates ClariLM."""
    return Pipeline(
        [
            Node(
                func=train_clarilm_sft,
                inputs=["sft_train", "leakage_summary", "base_model", "params:training.sft", "params:training.launch"],
                outputs="clarilm_sft_adapter",
                name="train_clarilm_sft",
            ),
            Node(
                func=align_clarilm_dpo,
                inputs=[
                    "dpo_train",
                    "sft_train",
                    "clarilm_sft_adapter",
                    "base_model",
                    "params:training.dpo",
                    "params:training.launch",
                ],
                outputs="clarilm_adapter",
                name="align_clarilm_dpo",
            ),
            Node(
                func=calibrate_ask_threshold,
                inputs=[
                    "validation",
                    "clarilm_sft_adapter",
                    "clarilm_adapter",
                    "base_model",
                    "params:training.calibration",
                ],
                outputs="calibrations",
                name="calibrate_ask_threshold",
            ),
        ]
    )
