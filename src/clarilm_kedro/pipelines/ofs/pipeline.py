"""Optimal facet selection: from first questions to annotated training data (paper, section 3.3)."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.cfd import create_facet_detection
from clarilm_kedro.pipelines.ofs import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that makes Q, its candidates, the annotations and the training tables."""
    detection = create_facet_detection()
    return (
        _questions()
        + Pipeline(
            detection,
            namespace="facet_detection",
            inputs={name for name in detection.inputs() if not name.startswith("params:")},
            outputs=detection.all_outputs(),
            parameters={name for name in detection.inputs() if name.startswith("params:")},
        )
        + _annotation()
    )


def _questions() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.select_first_questions,
                inputs=["sessions", "params:ofs.seeds"],
                outputs="first_questions",
                name="select_first_questions",
            ),
            Node(
                func=nodes.judge_first_questions,
                inputs=["first_questions", "question_quality_prompt", "chat_llm"],
                outputs=["first_question_judgements", "seed_questions_failed"],
                name="judge_first_questions",
            ),
            Node(
                func=nodes.accept_seed_questions,
                inputs=["first_question_judgements", "seed_questions_failed", "params:ofs.seeds", "params:ofs.split"],
                outputs="seed_questions",
                name="accept_seed_questions",
            ),
            Node(
                func=nodes.collect_examples,
                inputs=[
                    "seed_questions",
                    "ambigqa",
                    "natural_questions",
                    "popqa",
                    "in3_train",
                    "in3_test",
                    "clamber",
                    "params:ofs.synthesis",
                ],
                outputs="in_context_examples",
                name="collect_examples",
            ),
            Node(
                func=nodes.plan_synthesis,
                inputs=["personas", "in_context_examples", "params:ofs.synthesis"],
                outputs="synthesis_plan",
                name="plan_synthesis",
            ),
            Node(
                func=nodes.synthesize_questions,
                inputs=["synthesis_plan", "synthesis_prompt", "chat_llm", "params:ofs.synthesis"],
                outputs=["written_questions", "synthesis_failed"],
                name="synthesize_questions",
            ),
            Node(
                func=nodes.tune_clarification,
                inputs=["written_questions", "tuning_prompt", "chat_llm", "params:ofs.synthesis"],
                outputs=["tuned_questions", "tuning_failed"],
                name="tune_clarification",
            ),
            Node(
                func=nodes.accept_synthetic_questions,
                inputs=[
                    "tuned_questions",
                    "synthesis_failed",
                    "tuning_failed",
                    "synthesis_plan",
                    "seed_questions",
                    "params:ofs.synthesis",
                ],
                outputs="synthetic_questions",
                name="accept_synthetic_questions",
            ),
            Node(
                func=nodes.assemble_questions,
                inputs=["seed_questions", "synthetic_questions", "in3_test", "clamber", "params:ofs.split"],
                outputs=["questions", "leakage"],
                name="assemble_questions",
            ),
        ]
    )


def _annotation() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.answer_questions,
                inputs=["questions", "seed_questions", "sessions", "answer_prompt", "chat_llm", "params:ofs.answers"],
                outputs=["answer_replies", "answers_failed"],
                name="answer_questions",
            ),
            Node(
                func=nodes.accept_answers,
                inputs=["answer_replies", "answers_failed", "params:ofs.answers"],
                outputs="answers",
                name="accept_answers",
            ),
            Node(
                func=nodes.build_candidates,
                inputs=["questions", "facets", "answers", "params:ofs.annotation"],
                outputs="candidates",
                name="build_candidates",
            ),
            Node(
                func=nodes.annotate_optimal_facet,
                inputs=["questions", "candidates", "annotation_prompt", "reasoning_llm", "params:ofs.annotation"],
                outputs=["annotation_votes", "annotations_failed"],
                name="annotate_optimal_facet",
            ),
            Node(
                func=nodes.accept_annotations,
                inputs=["annotation_votes", "annotations_failed", "questions", "candidates", "params:ofs.annotation"],
                outputs="annotations",
                name="accept_annotations",
            ),
            Node(
                func=nodes.build_preferences,
                inputs=["annotations", "candidates", "params:ofs.preferences"],
                outputs="preferences",
                name="build_preferences",
            ),
            Node(
                func=nodes.summarise_preferences,
                inputs=["annotations", "annotation_votes", "candidates", "preferences"],
                outputs="preference_statistics",
                name="summarise_preferences",
            ),
            Node(
                func=nodes.build_training_tables,
                inputs=["annotations", "preferences", "params:ofs.preferences"],
                outputs=["sft_train", "dpo_train", "validation", "our_test"],
                name="build_training_tables",
            ),
        ]
    )
