"""Clarification facet detection: from sessions to FM-LOG, and from a question to its facets (paper, section 3.2)."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.cfd.nodes import (
    accept_clarifications,
    accept_llm_facets,
    accept_log_facets,
    build_fm_log_examples,
    collect_benchmark_questions,
    detect_log_facets,
    extract_clarifications,
    fuse_facets,
    list_llm_facets,
    train_fm_log,
)


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that mines clarifications and trains FM-LOG."""
    return Pipeline(
        [
            Node(
                func=extract_clarifications,
                inputs=["sessions", "extraction_prompt", "chat_llm", "params:cfd.extraction"],
                outputs=["extraction_replies", "clarifications_failed"],
                name="extract_clarifications",
            ),
            Node(
                func=accept_clarifications,
                inputs=["extraction_replies", "clarifications_failed", "params:cfd.extraction"],
                outputs="clarifications",
                name="accept_clarifications",
            ),
            Node(
                func=collect_benchmark_questions,
                inputs=["in3_test", "clamber"],
                outputs="benchmark_questions",
                name="collect_benchmark_questions",
            ),
            Node(
                func=build_fm_log_examples,
                inputs=["clarifications", "benchmark_questions", "params:ofs.leakage", "params:ofs.split"],
                outputs=["fm_log_examples", "fm_log_examples_dropped", "fm_log_leaks"],
                name="build_fm_log_examples",
            ),
            Node(
                func=train_fm_log,
                inputs=["fm_log_examples", "base_model", "params:cfd.fm_log", "params:training.launch"],
                outputs="fm_log_adapter",
                name="train_fm_log",
            ),
        ]
    )


def create_facet_detection(**_: object) -> Pipeline:
    """Create the reusable pipeline from questions to fused facets; ``ofs`` uses it under a namespace."""
    return Pipeline(
        [
            Node(
                func=detect_log_facets,
                inputs=[
                    "questions",
                    "fm_log_adapter",
                    "base_model",
                    "fm_log_server",
                    "params:cfd.detection",
                    "adapter_server",
                ],
                outputs=["log_facet_replies", "log_facets_failed"],
                name="detect_log_facets",
            ),
            Node(
                func=accept_log_facets,
                inputs=["log_facet_replies", "log_facets_failed", "params:cfd.detection"],
                outputs=["log_facets", "fm_log_generations"],
                name="accept_log_facets",
            ),
            Node(
                func=list_llm_facets,
                inputs=["questions", "facets_prompt", "chat_llm", "params:cfd.detection"],
                outputs=["llm_facet_replies", "llm_facets_failed"],
                name="list_llm_facets",
            ),
            Node(
                func=accept_llm_facets,
                inputs=["llm_facet_replies", "llm_facets_failed", "params:cfd.detection"],
                outputs="llm_facets",
                name="accept_llm_facets",
            ),
            Node(
                func=fuse_facets,
                inputs=["log_facets", "llm_facets", "params:cfd.fusion"],
                outputs=["facets", "facet_merges"],
                name="fuse_facets",
            ),
        ]
    )
