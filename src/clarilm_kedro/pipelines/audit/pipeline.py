"""The audit of a teacher on gold labels, and facet recall by source."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines import cfd, ingestion, ofs
from clarilm_kedro.pipelines.audit import drawing, reporting, score_choices, score_extraction, score_facets
from clarilm_kedro.pipelines.audit.observing import observe

_SCORED = ("extraction", "question_filter", "facet", "annotation")
#: Nodes that ask, in the order of the report, under the names they have here.
_ASKING = (
    "extract_clarifications",
    "judge_first_questions",
    "list_llm_facets",
    "answer_questions",
    "annotate_optimal_facet",
    "annotate_given_gold",
)
_SHARED = {
    "chat_llm",
    "reasoning_llm",
    "extraction_prompt",
    "facets_prompt",
    "question_quality_prompt",
    "answer_prompt",
    "annotation_prompt",
    "in3_train",
    "in3_test",
}


def create_pipeline(**_: object) -> Pipeline:
    """Create the audit: the pipelines' own nodes on the sample world, and their scores, under the namespace ``audit``.

    Its logs and gold labels are those of the sample world whatever the inputs of the run are; IN3 is the run's.
    """
    inner = _draw() + _work() + _score()
    return Pipeline(
        inner,
        namespace="audit",
        inputs=_SHARED & inner.inputs(),
        outputs={"teacher_audit", "audit_disagreements", "audit_markdown"},
        parameters={name for name in inner.inputs() if name.startswith("params:")},
    )


def create_recall(**_: object) -> Pipeline:
    """Create the measurement of facet recall by source (log, llm, fused).

    It needs FM-LOG and the facets of a run, so it stands beside the audit, which comes before any spending. It shares
    the namespace, the questions drawn and FM-LLM's candidates with it.
    """
    of_run = ("questions", "log_facets", "llm_facets", "facets")
    inner = observe(
        cfd.create_facet_detection().only_nodes("detect_log_facets", "accept_log_facets", "fuse_facets"),
        names={
            "detect_log_facets": "detect_in3_log_facets",
            "accept_log_facets": "accept_in3_log_facets",
            "fuse_facets": "fuse_in3_facets",
        },
        datasets={
            "questions": "in3_tasks",
            "log_facet_replies": "in3_log_facet_replies",
            "log_facets_failed": "in3_log_facets_failed",
            "log_facets": "in3_log_facets",
            "fm_log_generations": "in3_fm_log_generations",
            "facets": "in3_facets",
            "facet_merges": "in3_facet_merges",
        },
    ) + Pipeline(
        [
            Node(
                func=score_facets.score_recall,
                inputs=[
                    *(f"{name}_of_run" for name in of_run),
                    "gold_facets",
                    "in3_tasks",
                    "in3_log_facets",
                    "llm_facets",
                    "in3_facets",
                    "params:audit.scoring",
                ],
                outputs="facet_recall",
                name="score_recall",
            )
        ]
    )
    own = {"in3_tasks", "llm_facets", "gold_facets"}
    shared = {name: name.removesuffix("_of_run") for name in inner.inputs() - own if not name.startswith("params:")}
    return Pipeline(
        inner,
        namespace="audit",
        inputs=shared,
        outputs={"facet_recall"},
        parameters={name for name in inner.inputs() if name.startswith("params:")},
    )


def _draw() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=drawing.draw_sessions,
                inputs=["all_sessions", "gold_clarifications", "params:audit.draw"],
                outputs="sessions",
                name="draw_sessions",
            ),
            Node(
                func=drawing.draw_questions,
                inputs=["gold_necessity", "gold_facets", "params:audit.draw"],
                outputs="questions",
                name="draw_questions",
            ),
            Node(
                func=drawing.draw_filter_questions,
                inputs=["gold_intents", "params:audit.draw"],
                outputs="filter_questions",
                name="draw_filter_questions",
            ),
            Node(
                func=drawing.draw_in3_tasks,
                inputs=["in3_train", "in3_test", "params:audit.draw"],
                outputs="in3_tasks",
                name="draw_in3_tasks",
            ),
            Node(
                func=drawing.gather_facet_questions,
                inputs=["questions", "in3_tasks"],
                outputs=["facet_questions", "log_facets", "log_answers"],
                name="gather_facet_questions",
            ),
            Node(
                func=drawing.list_gold_candidates,
                inputs="questions",
                outputs="gold_facet_candidates",
                name="list_gold_candidates",
            ),
        ]
    )


def _work() -> Pipeline:
    """The pipelines' own nodes."""
    selection = ofs.create_pipeline()
    annotation = selection.only_nodes("build_candidates", "annotate_optimal_facet", "accept_annotations")
    return (
        observe(ingestion.create_pipeline().to_outputs("sessions"), datasets={"sessions": "all_sessions"})
        + observe(cfd.create_pipeline().only_nodes("extract_clarifications", "accept_clarifications"))
        + observe(selection.only_nodes("judge_first_questions"), datasets={"first_questions": "filter_questions"})
        + observe(
            cfd.create_facet_detection().only_nodes("list_llm_facets", "accept_llm_facets", "fuse_facets"),
            datasets={"questions": "facet_questions"},
        )
        + observe(selection.only_nodes("answer_questions", "accept_answers"))
        + observe(annotation)
        + observe(
            annotation,
            names={
                "build_candidates": "build_gold_candidates",
                "annotate_optimal_facet": "annotate_given_gold",
                "accept_annotations": "accept_given_gold",
            },
            datasets={
                "facets": "gold_facet_candidates",
                "candidates": "gold_candidates",
                "annotation_votes": "gold_annotation_votes",
                "annotations_failed": "gold_annotations_failed",
                "annotations": "gold_annotations",
            },
        )
    )


def _score() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=score_extraction.score_extraction,
                inputs=["all_sessions", "sessions", "gold_clarifications", "clarifications", "params:audit.scoring"],
                outputs=["extraction_scores", "extraction_disagreements"],
                name="score_extraction",
            ),
            Node(
                func=score_choices.score_question_filter,
                inputs=["filter_questions", "first_question_judgements", "params:audit.scoring"],
                outputs=["question_filter_scores", "question_filter_disagreements"],
                name="score_question_filter",
            ),
            Node(
                func=score_facets.score_facets,
                inputs=["questions", "in3_tasks", "llm_facets", "params:audit.scoring"],
                outputs=["facet_scores", "facet_disagreements"],
                name="score_facets",
            ),
            Node(
                func=score_choices.score_annotation,
                inputs=[
                    "questions",
                    "candidates",
                    "annotations",
                    "gold_candidates",
                    "gold_annotations",
                    "params:audit.scoring",
                ],
                outputs=["annotation_scores", "annotation_disagreements"],
                name="score_annotation",
            ),
            Node(
                func=reporting.report_audit,
                inputs=[
                    *(f"{name}_{what}" for what in ("scores", "disagreements") for name in _SCORED),
                    *(f"{name}_usage" for name in _ASKING),
                ],
                outputs=["teacher_audit", "audit_disagreements"],
                name="report_audit",
            ),
            Node(
                func=reporting.write_audit_markdown,
                inputs=["teacher_audit", "audit_disagreements"],
                outputs="audit_markdown",
                name="write_audit_markdown",
            ),
        ]
    )
