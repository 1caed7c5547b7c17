"""FM-LOG: facets as users of the logs clarified them (sections 3.2.2 and 3.2.3)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoder import Generation
from clarilm_kedro.finetuning.decoding import SamplingOptions, sample_generations
from clarilm_kedro.finetuning.launch import IN_PROCESS, LaunchOptions
from clarilm_kedro.finetuning.options import OnTooFew, SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.sft import train_sft
from clarilm_kedro.finetuning.template import fm_log_prompt, parse_fm_log
from clarilm_kedro.text.normalise import normalise_facet

#: What can become of a generation.
OUTCOMES = ("kept", "repeated", "malformed", "unfinished", "too_long")


class FacetCandidate(NamedTuple):
    """A facet that FM-LOG proposes for a question.

    Attributes:
        facet: A short noun or clause.
        clarifying_question: The question that asks for it.
        sample: Number of the generation it was read from, from 0.
    """

    facet: str
    clarifying_question: str
    sample: int


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


def draw(
    base: BaseModelSpec, adapter: Path, questions: Sequence[str], options: SamplingOptions
) -> list[list[Generation]]:
    """Draw k generations per question (Eq. 3), in this process.

    Args:
        base: The base model FM-LOG was trained on.
        adapter: Folder of FM-LOG's adapter.
        questions: User questions.
        options: How they are drawn.

    Returns:
        Per question, k generations, to be read by :func:`read_generations`.
    """
    return sample_generations(base, adapter, [fm_log_prompt(question) for question in questions], options)


def read_generations(drawn: Sequence[Generation], facet_words: int) -> tuple[list[FacetCandidate], list[str]]:
    """Read one question's generations, wherever they were drawn.

    Args:
        drawn: Generations in the order they were drawn.
        facet_words: Longest facet allowed, in words.

    Returns:
        Candidates with distinct facets (compared in normal form), and what became of each generation: one of
        :data:`OUTCOMES`.
    """
    candidates: dict[str, FacetCandidate] = {}
    outcomes = []
    for sample, generation in enumerate(drawn):
        parsed = parse_fm_log(generation.text) if generation.finished else None
        key = normalise_facet(parsed[0]) if parsed else ""
        if not generation.finished:
            outcomes.append("unfinished")
        elif parsed is None or not key:
            outcomes.append("malformed")
        elif len(parsed[0].split()) > facet_words:
            outcomes.append("too_long")
        elif key in candidates:
            outcomes.append("repeated")
        else:
            outcomes.append("kept")
            candidates[key] = FacetCandidate(*parsed, sample)
    return list(candidates.values()), outcomes
