"""Options and columns of the inference pipeline.

Columns of ``asked_questions``:
    question_id: ``id`` or ``question_id`` of the row where it has one, else ``<file>-<row>``.
    question: What the user asked.

Columns of ``assistant_replies``:
    question_id, question: As above.
    asked: Whether the reply is a clarifying question.
    p_ask: Probability of asking, 0 to 1.
    threshold: It asks where P(ask) is at least this.
    text: The clarifying question, or the answer.
    model: Which assistant replied.

Columns of ``questions_not_put`` and ``questions_unanswered``: question_id, reason, excerpt.
"""

from pydantic import Field

from clarilm_kedro.finetuning.assistant import AssistantOptions

ASKED = {"question_id": "str", "question": "str"}
REPLIES = {
    **ASKED,
    "asked": "bool",
    "p_ask": "float64",
    "threshold": "float64",
    "text": "str",
    "model": "str",
}
WITHOUT_REPLY = {"question_id": "str", "reason": "str", "excerpt": "str"}


class InferenceOptions(AssistantOptions):
    """How questions are replied to."""

    threshold: float | None = Field(
        default=None, ge=0, le=1, description="It asks where P(ask) is at least this; null takes the fitted one."
    )
    chunk: int = Field(
        default=256, ge=1, description="Questions between two commits; an interrupted run loses one chunk at most."
    )
