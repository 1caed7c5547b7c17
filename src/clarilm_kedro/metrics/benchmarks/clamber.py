"""CLAMBER (Zhang et al. 2024): ambiguous and clear questions in three categories with subclasses."""

from collections.abc import Mapping
from typing import Any

from clarilm_kedro.metrics.benchmarks.shape import Benchmark, Content, optional_text, required_label, required_text


def parse_clamber(data: Mapping[str, Any]) -> Content:
    """Read one CLAMBER row. The published file also holds a model's own answers (``predict_*``): they are not read.

    Args:
        data: ``question`` (text), ``require_clarification`` (0 or 1), ``clarifying_question`` (text, empty where none
            is needed), ``category`` (FD, LA, MC), ``subclass``, ``context`` (empty in the published file).

    Raises:
        RowError: A field is missing or of another type.
    """
    question, needs = required_text(data, "question"), required_label(data, "require_clarification")
    reference = optional_text(data, "clarifying_question")
    references = (reference,) if needs and reference else ()
    return Content(
        question,
        needs,
        references,
        context=optional_text(data, "context"),
        category=optional_text(data, "category"),
        subclass=optional_text(data, "subclass"),
    )


BENCHMARK = Benchmark("clamber", "CLAMBER", parse_clamber, dataset="clamber")
