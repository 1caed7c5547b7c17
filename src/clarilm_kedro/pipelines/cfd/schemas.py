"""Options, reply shapes and table columns of the CFD pipeline (paper, section 3.2)."""

from pydantic import BaseModel, Field

from clarilm_kedro.finetuning.decoding import SamplingOptions
from clarilm_kedro.finetuning.options import OnTooFew, SftOptions
from clarilm_kedro.options import Options
from clarilm_kedro.pipelines.stages import MADE_BY


class ExtractedClarification(BaseModel):
    """One instance (q_i, c, q_{i+1}, f) as the extraction prompt asks for it (Figure 3)."""

    first: int = Field(description="index of q_i")
    second: int = Field(description="index of q_{i+1}")
    question: str = Field(description="q_i with its full intent")
    clarifying_question: str
    clarified_question: str = Field(description="q_{i+1} with its full intent")
    facet: str


class Extraction(BaseModel):
    """Reply to the extraction prompt."""

    clarifications: list[ExtractedClarification]


class ListedFacet(BaseModel):
    """A facet and the question that asks for it."""

    facet: str
    clarifying_question: str


class ListedFacets(BaseModel):
    """Reply to the FM-LLM prompt."""

    facets: list[ListedFacet]


class ExtractionOptions(Options):
    """Which sessions are read, and what an extracted instance must look like."""

    seed: int = Field(7, description="draws the sessions where there are more than max_sessions")
    max_sessions: int | None = Field(None, ge=1, description="sessions read; null reads all")
    window_questions: int = Field(30, ge=2, description="user questions per prompt; longer sessions are windowed")
    question_chars: int = Field(2000, ge=50, description="a longer question is cut to this many characters")
    facet_words: int = Field(12, ge=1, description="a facet is a short noun or clause: more words are rejected")
    max_failed_share: float = Field(0.02, ge=0, le=1, description="the run stops when more calls than this failed")


class FmLogOptions(SftOptions):
    """Supervised fine-tuning of FM-LOG on q_i -> (f, c) (Eq. 2)."""

    min_examples: int = Field(1000, ge=1, description="below this many examples FM-LOG is not trained")
    on_too_few: OnTooFew = Field("fail", description="skip records it and goes on; fail stops the run")


class DetectionOptions(SamplingOptions):
    """How facets are detected for a question: FM-LOG's sampling and FM-LLM's limits (sections 3.2.3 and 3.2.4)."""

    question_chars: int = Field(2000, ge=50, description="a longer question is cut to this many characters")
    facet_words: int = Field(12, ge=1, description="longer facets are dropped")
    max_facets: int = Field(20, ge=1, description="facets kept per question from FM-LLM's list")
    max_failed_share: float = Field(0.02, ge=0, le=1, description="the run stops when more calls than this failed")


class FusionOptions(Options):
    """When two facets of a question count as one (section 3.2.5)."""

    embedding_model: str = Field("packaged:minilm", description="sentence encoder that facets are compared by")
    threshold: float | None = Field(
        0.90,
        gt=0,
        le=1,
        description="least cosine of two merged facets; 0.80 merges more, some of it wrongly; null: equal ones only",
    )


EXTRACTION_REPLIES = {
    "row_id": "str",
    "session_id": "str",
    "source": "str",
    "window": "int64",
    "clarifications": "str",
    **MADE_BY,
}
CLARIFICATIONS = {
    "clarification_id": "str",
    "session_id": "str",
    "source": "str",
    "window": "int64",
    "index": "int64",
    "question": "str",
    "clarifying_question": "str",
    "clarified_question": "str",
    "facet": "str",
    **MADE_BY,
}
FM_LOG_EXAMPLES = {"example_id": "str", "question": "str", "completion": "str", "clarification_ids": "object"}
#: Which FM-LOG drew a generation: its name, SHA-256 of the adapter (null behind an endpoint), seed of the draws.
_FM_LOG = {"model": "str", "adapter_sha": "str", "seed": "Int64"}
LOG_FACET_REPLIES = {
    "question_id": "str",
    "question": "str",
    "sample": "int64",
    "text": "str",
    "finished": "bool",
    "request_key": "str",
    **_FM_LOG,
}
FM_LOG_GENERATIONS = {
    "model": "str",
    "questions": "int64",
    "drawn": "int64",
    "kept": "int64",
    "repeated": "int64",
    "malformed": "int64",
    "unfinished": "int64",
    "too_long": "int64",
}
FACET_REPLIES = {"question_id": "str", "question": "str", "facets": "str", **MADE_BY}
CANDIDATES = {
    "question_id": "str",
    "question": "str",
    "rank": "int64",
    "facet": "str",
    "clarifying_question": "str",
    "source": "str",
    **MADE_BY,
    **_FM_LOG,
}
FACETS = {
    "question_id": "str",
    "question": "str",
    "candidate_id": "str",
    "facet": "str",
    "clarifying_question": "str",
    "sources": "object",
    "rank": "int64",
    "members": "object",
    **MADE_BY,
    **_FM_LOG,
}
FACET_MERGES = {
    "question_id": "str",
    "facet": "str",
    "other_facet": "str",
    "method": "str",
    "cosine": "float64",
    "words": "str",
    "sources": "object",
    "other_sources": "object",
}
