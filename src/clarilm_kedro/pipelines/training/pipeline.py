"""Training ClariLM and the variants it is compared with: from annotated replies to adapters and their thresholds."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.training import nodes
from clarilm_kedro.pipelines.training.schemas import Variant

#: Variant -> the rows it is trained on, and what makes these of which datasets.
_ROWS: dict[Variant, str] = {
    "sft_in3": "in3_rows",
    "sft_ql": "log_rows",
    "sft_full": "full_rows",
    "clarilm_sft": "sft_train",
}


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that trains and calibrates the variants; ``training.variants.train`` says which."""
    return _rows() + sum((_sft(variant, rows) for variant, rows in _ROWS.items()), Pipeline([])) + _dpo() + _calibrate()


def _rows() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.select_in3_rows,
                inputs=["in3_train_clean", "in3_train", "benchmark_questions", "params:training.variants"],
                outputs="in3_rows",
                name="select_in3_rows",
            ),
            Node(func=nodes.select_log_rows, inputs="sft_train", outputs="log_rows", name="select_log_rows"),
            Node(
                func=nodes.join_training_rows,
                inputs=["sft_train", "in3_rows"],
                outputs="full_rows",
                name="join_training_rows",
            ),
        ]
    )


def _sft(variant: Variant, rows: str) -> Pipeline:
    """One variant, in a namespace of its own."""
    parameters = ("training.sft", "training.launch", "training.variants")
    train = Node(
        func=nodes.sft_node(variant),
        inputs=["rows", "leakage_summary", "base_model", *(f"params:{name}" for name in parameters)],
        outputs="adapter",
        name=f"train_{variant}",
    )
    return Pipeline(
        [train],
        namespace=variant,
        inputs={"rows": rows, "leakage_summary": "leakage_summary", "base_model": "base_model"},
        outputs={"adapter": f"{variant}_adapter"},
        parameters={f"params:{name}" for name in parameters},
    )


def _dpo() -> Pipeline:
    parameters = ("training.dpo", "training.launch", "training.variants")
    inputs = ("dpo_train", "sft_train", "clarilm_sft_adapter", "base_model")
    align = Node(
        func=nodes.align_clarilm_dpo,
        inputs=[*inputs, *(f"params:{name}" for name in parameters)],
        outputs="clarilm_adapter",
        name="align_clarilm_dpo",
    )
    return Pipeline(
        [align],
        namespace="clarilm",
        inputs=set(inputs),
        outputs={"clarilm_adapter"},
        parameters={f"params:{name}" for name in parameters},
    )


def _calibrate() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.calibrate_ask_threshold,
                inputs=[
                    "validation",
                    *(f"{variant}_adapter" for variant in _ROWS),
                    "clarilm_adapter",
                    "base_model",
                    "params:training.calibration",
                ],
                outputs="calibrations",
                name="calibrate_ask_threshold",
            ),
        ]
    )
