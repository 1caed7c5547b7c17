"""Options and table columns of the audit."""

from pydantic import Field

from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.metrics.facet_recall import FacetMatching
from clarilm_kedro.options import Options


class DrawOptions(Options):
    """How much a teacher is asked; every draw keeps the shares of its classes."""

    seed: int = Field(7, description="draws sessions, questions and tasks")
    max_sessions: int | None = Field(None, ge=1, description="sessions of the sample logs to extract from; null: all")
    max_questions: int | None = Field(None, ge=1, description="questions to list facets for, answer, annotate, filter")
    max_in3_tasks: int | None = Field(None, ge=1, description="vague IN3 tasks to list facets for; null: all")


class ScoringOptions(Options):
    """How the teacher's work is compared with gold labels."""

    matching: FacetMatching = Field(FacetMatching(), description="when two facets are the same")
    bootstrap: BootstrapOptions = Field(BootstrapOptions(), description="intervals over sessions and questions")


QUESTIONS = {
    "question_id": "str",
    "question": "str",
    "origin": "str",
    "split": "str",
    "intent": "str",
    "needs_clarification": "bool",
    "gold_facets": "object",
    "gold_questions": "object",
}
FILTER_QUESTIONS = {
    "question_id": "str",
    "question": "str",
    "session_id": "str",
    "source": "str",
    "stands_alone": "bool",
}
IN3_TASKS = {
    "question_id": "str",
    "question": "str",
    "source": "str",
    "details": "object",
    "importances": "object",
}
FACET_QUESTIONS = {"question_id": "str", "question": "str"}
USAGE = {
    "stage": "str",
    "asked": "str",
    "model": "str",
    "calls": "int64",
    "failed": "int64",
    "rejected": "int64",
    "prompt_tokens": "float64",
    "completion_tokens": "float64",
    "cost_usd": "float64",
}
SCORES = {
    "task": "str",
    "subset": "str",
    "metric": "str",
    "value": "float64",
    "n": "int64",
    "low": "float64",
    "high": "float64",
}
TEACHER_AUDIT = {**SCORES, "teacher": "str", "reasoning_model": "str", "note": "str"}
DISAGREEMENTS = {
    "task": "str",
    "item_id": "str",
    "question": "str",
    "gold": "str",
    "given": "str",
    "text": "str",
}
FACET_RECALL = {
    "benchmark": "str",
    "source": "str",
    "subset": "str",
    "metric": "str",
    "value": "float64",
    "n": "int64",
    "low": "float64",
    "high": "float64",
}
