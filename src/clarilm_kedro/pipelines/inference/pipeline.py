"""Inference: from a file of questions to decisions and replies."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.inference.nodes import read_questions, reply_to_questions


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that replies to questions with the trained model; it is run by name only."""
    return Pipeline(
        [
            Node(
                func=read_questions,
                inputs="new_questions",
                outputs=["asked_questions", "questions_not_put"],
                name="read_questions",
            ),
            Node(
                func=reply_to_questions,
                inputs=[
                    "asked_questions",
                    "clarilm_adapter",
                    "base_model",
                    "calibrations",
                    "registered_assistant",
                    "reply_cache",
                    "adapter_server",
                    "params:inference",
                ],
                outputs=["assistant_replies", "questions_unanswered"],
                name="reply_to_questions",
            ),
        ]
    )
