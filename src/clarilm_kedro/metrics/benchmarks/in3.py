"""IN3 (Qian et al. 2024): 108 test tasks with the label ``vague`` and the details that are missing."""

from collections.abc import Mapping
from typing import Any

from clarilm_kedro.metrics.benchmarks.shape import (
    Benchmark,
    Content,
    RowError,
    optional_text,
    required_label,
    required_text,
)


def parse_in3(data: Mapping[str, Any]) -> Content:
    """Read one IN3 row; its references are the inquiries of all missing details, its facets their descriptions.

    Args:
        data: ``task`` (text), ``vague`` (bool), ``missing_details`` (list of objects with ``description``,
            ``importance`` (1 to 3, a number or a text) and ``inquiry``), ``category``.

    Raises:
        RowError: A field is missing or of another type.
    """
    question, vague = required_text(data, "task"), required_label(data, "vague")
    details = data.get("missing_details")
    if not isinstance(details, list) or not all(isinstance(each, Mapping) for each in details):
        raise RowError("bad_details", "'missing_details' is not a list of objects")
    category = optional_text(data, "category")
    if not vague:
        return Content(question, vague, (), category=category)
    asked = [(inquiry, _importance(each)) for each in details if (inquiry := optional_text(each, "inquiry"))]
    return Content(
        question,
        vague,
        references=tuple(inquiry for inquiry, _ in asked),
        importances=tuple(importance for _, importance in asked),
        facets=tuple(facet for each in details if (facet := optional_text(each, "description"))),
        category=category,
    )


def _importance(detail: Mapping[str, Any]) -> int:
    """Read 1, 2 or 3.

    Raises:
        RowError: It is something else.
    """
    value = str(detail.get("importance")).strip()
    if value not in ("1", "2", "3"):
        raise RowError("bad_importance", f"'importance' is {detail.get('importance')!r}, expected 1, 2 or 3")
    return int(value)


BENCHMARK = Benchmark("in3", "IN3", parse_in3, dataset="in3_test")
