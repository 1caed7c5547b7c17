"""FM-LOG: facets as users of the logs clarified them (sections 3.2.2 and 3.2.3)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoding import Generation, SamplingOptions, sample_generations
from clarilm_kedro.finetuning.launch import IN_PROCESS, LaunchOptions
from clarilm_kedro.finetuning.options import OnTooFew, SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.sft import train_sft
from clarilm_kedro.finetuning.template import fm_log_prompt, parse_fm_log
from clarilm_kedro.text.normalise import normalise_facet

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FacetCandidate:
    """A facet that FM-LOG proposes for a question.

    Attributes:
        facet: A short noun or clause.
        clarifying_question: The question that asks for it.
        rank: Position among the question's distinct candidates, from 0.
    """

    facet: str
    clarifying_question: str
    rank: int


def train(
    examples: Sequence[tuple[str, str]],
    base: BaseModelSpec,
    options: SftOptions,
    *,
    launch: LaunchOptions = IN_PROCESS,
    min_examples: int = 1,
    on_too_few: OnTooFew = "fail",
) -> TrainedAdapter:
    """Fine-tune FM-LOG on q_i -> (f, c) (Eq. 2).

    Args:
        examples: Question and completion, the latter from :func:`template.fm_log_completion`.
        base: The base model.
        options: How it is trained.
        launch: See :func:`sft.train_sft`.
        min_examples: Fewer usable examples than this train nothing.
        on_too_few: Whether that is recorded as a skip or stops the run.

    Returns:
        The adapter and its report.

    Raises:
        ClarilmError: See :func:`sft.train_sft`.
    """
    rows = [(fm_log_prompt(question), completion) for question, completion in examples]
    return train_sft(
        rows,
        base,
        options,
        launch=launch,
        run_name="fm_log_sft",
        min_examples=min_examples,
        on_too_few=on_too_few,
    )


def detect(
    base: BaseModelSpec, adapter: Path, questions: Sequence[str], options: SamplingOptions
) -> list[list[FacetCandidate]]:
    """Draw k candidates per question and drop facets that are identical to an earlier one (Eq. 3).

    Generations that are not a facet and a question, or that ran into the length limit, are left out and counted in
    the log.

    Args:
        base: The base model FM-LOG was trained on.
        adapter: Folder of FM-LOG's adapter.
        questions: User questions.
        options: How candidates are drawn.

    Returns:
        Per question, at most k candidates with distinct facets.
    """
    drawn = sample_generations(base, adapter, [fm_log_prompt(question) for question in questions], options)
    found = [distinct_candidates(row) for row in drawn]
    n, malformed = sum(map(len, drawn)), sum(missing for _, missing in found)
    kept = sum(len(row) for row, _ in found)
    logger.info(
        "FM-LOG drew %d candidates for %d questions: %d distinct facets, %d repeated, %d malformed.",
        n, len(questions), kept, n - kept - malformed, malformed,
    )  # fmt: skip
    return [row for row, _ in found]


def distinct_candidates(drawn: Sequence[Generation]) -> tuple[list[FacetCandidate], int]:
    """Read one question's generations.

    Args:
        drawn: Generations in the order they were drawn.

    Returns:
        Candidates with distinct facets (compared in normal form), and how many generations were malformed.
    """
    candidates: dict[str, FacetCandidate] = {}
    malformed = 0
    for generation in drawn:
        parsed = parse_fm_log(generation.text) if generation.finished else None
        if parsed is None:
            malformed += 1
        else:
            key = normalise_facet(parsed[0])
            candidates.setdefault(key, FacetCandidate(*parsed, rank=len(candidates)))
    return list(candidates.values()), malformed
