"""The nodes of clarification facet detection, in the order rows pass them; each family lives in a file of its own."""

from clarilm_kedro.pipelines.cfd.detection import (
    accept_llm_facets,
    accept_log_facets,
    detect_log_facets,
    list_llm_facets,
)
from clarilm_kedro.pipelines.cfd.fusion import fuse_facets
from clarilm_kedro.pipelines.cfd.mining import (
    accept_clarifications,
    build_fm_log_examples,
    extract_clarifications,
    train_fm_log,
)
from clarilm_kedro.pipelines.held_out import collect_benchmark_questions

__all__ = [
    "accept_clarifications",
    "accept_llm_facets",
    "accept_log_facets",
    "build_fm_log_examples",
    "collect_benchmark_questions",
    "detect_log_facets",
    "extract_clarifications",
    "fuse_facets",
    "list_llm_facets",
    "train_fm_log",
]
