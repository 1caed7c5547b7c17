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
        + _leak_guard()
    )


def _questions() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.select_first_questions,
                inputs=[
                    "sessions",
                    "benchmark_questions",
                    "params:ofs.seeds",
                    "params:ofs.deduplication",
                    "params:ofs.leakage",
                ],
                outputs=["first_questions", "first_questions_dropped", "first_question_leaks"],
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
                inputs=[
                    "first_questions",
                    "first_question_judgements",
                    "seed_questions_failed",
                    "fm_log_examples",
                    "params:ofs.seeds",
                    "params:ofs.split",
                    "params:ofs.clusters",
                ],
                outputs=["seed_questions", "seed_questions_dropped"],
                name="accept_seed_questions",
            ),
            Node(
                func=nodes.clean_in3_train,
                inputs=[
                    "in3_train",
                    "benchmark_questions",
                    "seed_questions",
                    "params:ofs.leakage",
                    "params:ofs.deduplication",
                ],
                outputs=["in3_train_clean", "in3_train_dropped", "in3_train_leaks"],
                name="clean_in3_train",
            ),
            Node(
                func=nodes.collect_examples,
                inputs=[
                    "seed_questions",
                    "ambigqa",
                    "natural_questions",
                    "popqa",
                    "in3_train_clean",
                    "clamber",
                    "benchmark_questions",
                    "params:ofs.synthesis",
                    "params:ofs.leakage",
                ],
                outputs=["in_context_examples", "example_leaks"],
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
                    "written_questions",
                    "tuned_questions",
                    "synthesis_failed",
                    "tuning_failed",
                    "synthesis_plan",
                    "seed_questions",
                    "in_context_examples",
                    "benchmark_questions",
                    "params:ofs.synthesis",
                    "params:ofs.deduplication",
                    "params:ofs.leakage",
                ],
                outputs=["synthetic_questions", "synthetic_questions_dropped", "synthetic_leaks"],
                name="accept_synthetic_questions",
            ),
            Node(
                func=nodes.assemble_questions,
                inputs=[
                    "seed_questions",
                    "synthetic_questions",
                    "in_context_examples",
                    "in3_train_clean",
                    "fm_log_examples",
                    "params:ofs.split",
                    "params:ofs.clusters",
                ],
                outputs=["questions", "questions_dropped"],
                name="assemble_questions",
            ),
            Node(
                func=nodes.collect_dropped_questions,
                inputs=[
                    "first_questions_dropped",
                    "seed_questions_dropped",
                    "in3_train_dropped",
                    "synthetic_questions_dropped",
                    "questions_dropped",
                ],
                outputs="dropped_questions",
                name="collect_dropped_questions",
            ),
        ]
    )


def _annotation() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.look_up_log_answers,
                inputs=["seed_questions", "sessions", "params:ofs.answers"],
                outputs="log_answers",
                name="look_up_log_answers",
            ),
            Node(
                func=nodes.answer_questions,
                inputs=["questions", "log_answers", "answer_prompt", "chat_llm", "params:ofs.answers"],
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
                func=nodes.summarise_data,
                inputs=[
                    "clarifications",
                    "seed_questions",
                    "synthetic_questions",
                    "facets",
                    "answers",
                    "annotations",
                    "sft_train",
                    "validation",
                    "preferences",
                    "our_test",
                ],
                outputs="data_summary",
                name="summarise_data",
            ),
            Node(
                func=nodes.summarise_preferences,
                inputs=["annotations", "annotation_votes", "candidates", "preferences"],
                outputs="preference_statistics",
                name="summarise_preferences",
            ),
            Node(
                func=nodes.count_source_flow,
                inputs=["facets", "candidates", "annotations", "preferences"],
                outputs="source_flow",
                name="count_source_flow",
            ),
            Node(
                func=nodes.draw_source_flow,
                inputs="source_flow",
                outputs="source_flow_figure",
                name="draw_source_flow",
            ),
            Node(
                func=nodes.build_training_tables,
                inputs=["annotations", "preferences", "params:ofs.preferences"],
                outputs=["sft_train", "dpo_train", "validation", "our_test"],
                name="build_training_tables",
            ),
        ]
    )


def _leak_guard() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.find_leakage,
                inputs=[
                    "fm_log_leaks",
                    "first_question_leaks",
                    "in3_train_leaks",
                    "example_leaks",
                    "synthetic_leaks",
                    "benchmark_questions",
                    "our_test",
                    "in_context_examples",
                    "fm_log_examples",
                    "sft_train",
                    "dpo_train",
                    "validation",
                    "params:ofs.leakage",
                    "params:ofs.synthesis",
                ],
                outputs="leakage",
                name="find_leakage",
            ),
            Node(func=nodes.check_leakage, inputs="leakage", outputs="leakage_summary", name="check_leakage"),
        ]
    )
