"""Options, reply shapes and table columns of the OFS pipeline (paper, section 3.3)."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from clarilm_kedro.options import Options
from clarilm_kedro.pipelines.stages import MADE_BY


class QuestionQuality(BaseModel):
    """Reply to the question filter."""

    reason: str
    keep: bool


class WrittenQuestions(BaseModel):
    """Reply to the synthesis prompt."""

    questions: list[str]


class TunedQuestion(BaseModel):
    """Reply to the tuning prompt."""

    question: str


class SeedOptions(Options):
    """Which first questions become Q^L (section 3.3.1)."""

    seed: int = Field(7, description="draws the questions where there are more than max_questions")
    max_questions: int | None = Field(None, ge=1, description="first questions judged; null judges all")
    max_chars: int = Field(1000, ge=20, description="extremely long questions are discarded; the paper gives no figure")
    min_words: int = Field(2, ge=1, description="shorter first messages are no question")
    max_failed_share: float = Field(0.02, ge=0, le=1, description="the run stops when more calls than this failed")


class SynthesisOptions(Options):
    """How Q^G is written (section 3.3.2)."""

    seed: int = Field(7, description="draws personas, examples and the tuning of each question")
    target: int = Field(124_000, ge=1, description="questions wanted (section 3.3.2: about 124k)")
    per_call: int = Field(3, ge=1, description="questions per prompt")
    oversample: float = Field(1.4, ge=1, description="questions asked for per question wanted: some are duplicates")
    examples_per_call: int = Field(6, ge=0, description="in-context examples per prompt")
    example_weights: dict[str, float] = Field(
        {"seed_questions": 1, "in3": 1, "ambigqa": 1, "natural_questions": 1, "popqa": 1, "clamber": 0},
        description="weight of each source of examples; the paper also draws from CLAMBER, which is a test set",
    )
    enrich_share: float = Field(0.1, ge=0, le=1, description="share given additional details (section 3.3.2: 10 %)")
    simplify_share: float = Field(0.1, ge=0, le=1, description="share simplified (section 3.3.2: 10 %)")
    max_chars: int = Field(1000, ge=20, description="longer questions are rejected")
    max_failed_share: float = Field(0.02, ge=0, le=1, description="the run stops when more calls than this failed")

    @model_validator(mode="after")
    def _shares(self) -> "SynthesisOptions":
        if self.enrich_share + self.simplify_share > 1:
            raise ValueError("enrich_share and simplify_share together exceed 1")
        return self


class AnswerOptions(Options):
    """Where direct answers come from (section 3.3.3)."""

    source: Literal["generated", "log"] = Field(
        "generated", description="log takes the log's own first reply where there is one, which only Q^L has"
    )
    question_chars: int = Field(2000, ge=50, description="a longer question is cut in prompts")
    answer_chars: int = Field(1200, ge=50, description="a longer answer is cut at a sentence end")
    max_failed_share: float = Field(0.02, ge=0, le=1, description="the run stops when more calls than this failed")


class AnnotationOptions(Options):
    """How the optimal reaction is chosen (CoTAP, section 3.3.3)."""

    seed: int = Field(7, description="shuffles the candidates: reasoning models have a position bias")
    question_chars: int = Field(2000, ge=50, description="a longer question is cut in prompts")
    max_candidates: int = Field(12, ge=1, description="facet candidates shown to the reasoning model")
    self_consistency: int = Field(1, ge=1, description="votes per question, each over another order of the candidates")
    max_failed_share: float = Field(0.02, ge=0, le=1, description="the run stops when more calls than this failed")


class PreferenceOptions(Options):
    """How preference pairs are made of annotations (section 3.3.3).

    The paper names three types of pairs and neither how many a question gives nor how the worse reply is chosen.
    """

    seed: int = Field(
        7, description="draws the rejected questions, and the pairs used where there are more than max_pairs"
    )
    worse_questions: int = Field(1, ge=0, description="other questions that a chosen question is preferred to")
    needless_questions: int = Field(1, ge=0, description="questions that a chosen answer is preferred to")
    negatives: Literal["random", "best", "worst"] = Field(
        "random", description="which questions are rejected: drawn by the seed, or by their rank among the facets"
    )
    max_pairs: int | None = Field(None, ge=1, description="pairs used for DPO; null uses all")


FIRST_QUESTIONS = {"question_id": "str", "question": "str", "session_id": "str", "source": "str"}
JUDGEMENTS = {**FIRST_QUESTIONS, "keep": "bool", "reason": "str", **MADE_BY}
SEED_QUESTIONS = {**FIRST_QUESTIONS, "reason": "str", "split": "str", **MADE_BY}
IN3_TRAIN = {"row_id": "str", "question": "str", "vague": "bool", "missing_details": "object"}
EXAMPLES = {"example_id": "str", "origin": "str", "question": "str"}
PLAN = {"call_id": "str", "persona": "str", "example_ids": "object", "examples": "object", "count": "int64"}
WRITTEN = {
    "row_id": "str",
    "call_id": "str",
    "question": "str",
    "persona": "str",
    "example_ids": "object",
    **MADE_BY,
}
SYNTHETIC_QUESTIONS = {
    "question_id": "str",
    "question": "str",
    "call_id": "str",
    "persona": "str",
    "example_ids": "object",
    "tuning": "str",
    "parent": "str",
    **MADE_BY,
    **{f"tuning_{name}": kind for name, kind in MADE_BY.items()},
}
TUNED = {**SYNTHETIC_QUESTIONS, "row_id": "str"}
QUESTIONS = {"question_id": "str", "question": "str", "origin": "str", "split": "str", "cluster_id": "str"}
LEAKAGE_SUMMARY = {"train_table": "str", "test_set": "str", "method": "str", "action": "str", "n": "int64"}
ANSWERS = {"question_id": "str", "answer": "str", "source": "str", **MADE_BY}
CANDIDATES = {
    "question_id": "str",
    "candidate_id": "str",
    "kind": "str",
    "facet": "str",
    "text": "str",
    "sources": "object",
    "rank": "int64",
    "position": "int64",
}
VOTES = {
    "question_id": "str",
    "vote": "int64",
    "shown": "object",
    "choice_id": "str",
    "thought": "str",
    "read_as": "str",
    "seed": "int64",
    **MADE_BY,
}
ANNOTATIONS = {
    "question_id": "str",
    "question": "str",
    "origin": "str",
    "split": "str",
    "choice_id": "str",
    "choice_kind": "str",
    "facet": "str",
    "text": "str",
    "sources": "object",
    "thought": "str",
    "votes": "str",
    "n_votes": "int64",
    "agreement": "float64",
    **MADE_BY,
}
PREFERENCES = {
    "preference_id": "str",
    "question_id": "str",
    "question": "str",
    "split": "str",
    "type": "str",
    "prompt": "str",
    "chosen": "str",
    "rejected": "str",
    "chosen_completion": "str",
    "rejected_completion": "str",
    "chosen_asks": "bool",
    "rejected_asks": "bool",
    "chosen_id": "str",
    "rejected_id": "str",
    "chosen_source": "str",
    "rejected_source": "str",
    "seed": "int64",
    **MADE_BY,
}
PREFERENCE_STATISTICS = {"section": "str", "group": "str", "measure": "str", "value": "float64", "n": "int64"}
SFT_ROWS = {
    "row_id": "str",
    "question": "str",
    "asks": "bool",
    "text": "str",
    "origin": "str",
    "teacher": "str",
}
DPO_ROWS = {
    "row_id": "str",
    "question": "str",
    "chosen": "str",
    "rejected": "str",
    "chosen_asks": "bool",
    "rejected_asks": "bool",
    "type": "str",
}
OUR_TEST = {
    "item_id": "str",
    "question": "str",
    "needs_clarification": "bool",
    "reference": "str",
    "references": "object",
    "facet": "str",
    "thought": "str",
    "teacher": "str",
}
