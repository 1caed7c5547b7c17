"""What a base model, with or without an adapter, replies: sampled candidates, P(ask), replies with a given decision.

Prompts are decoded in batches of similar length. Everything is deterministic for a seed, and does not depend on the
order the prompts come in. Replies that are drawn do not depend on the batches either (:class:`Draw`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoder import Decoder, Draw, Generation
from clarilm_kedro.finetuning.template import Message, clarification_prompt
from clarilm_kedro.options import Options

if TYPE_CHECKING:
    import numpy as np


class SamplingOptions(Options):
    """How candidates are drawn; temperature and top-p from section 4.5."""

    seed: int = Field(0, ge=0, description="Seeds the draws.")
    k: int = Field(5, ge=1, description="Candidates per prompt.")
    num_beams: int = Field(1, ge=1, description="1: sampling alone; k or more: beam search with sampling (3.2.3).")
    temperature: float = Field(0.5, gt=0, description="Higher draws more varied candidates.")
    top_k: int = Field(50, ge=1, description="Only the k likeliest tokens are drawn from.")
    top_p: float = Field(0.9, gt=0, le=1, description="Only the likeliest tokens up to this mass are drawn from.")
    max_new_tokens: int = Field(48, ge=1, description="Tokens per candidate; one not ended by then is unfinished.")
    batch_size: int = Field(16, ge=1, description="Prompts per batch; k candidates each.")

    @model_validator(mode="after")
    def _beams_hold_k(self) -> "SamplingOptions":
        if 1 < self.num_beams < self.k:
            raise ValueError(f"num_beams {self.num_beams} must be 1 or at least k = {self.k}")
        return self


def sample_candidates(
    base: BaseModelSpec, adapter: Path | None, prompts: Sequence[Sequence[Message]], options: SamplingOptions
) -> list[list[str]]:
    """Draw k replies per prompt.

    Args:
        base: The base model.
        adapter: Folder of a LoRA adapter, or None.
        prompts: Chat messages before the reply.
        options: How they are drawn.

    Returns:
        Per prompt, k texts; best first where beams are used.
    """
    return [[drawn.text for drawn in row] for row in sample_generations(base, adapter, prompts, options)]


def sample_generations(
    base: BaseModelSpec, adapter: Path | None, prompts: Sequence[Sequence[Message]], options: SamplingOptions
) -> list[list[Generation]]:
    """Draw k replies per prompt, as :func:`sample_candidates`, and say which of them ended by themselves."""
    if not prompts:
        return []
    decoder = Decoder(base, adapter, options.batch_size)
    starts = [decoder.start(prompt) for prompt in prompts]
    settings = {
        "do_sample": True,
        "num_beams": options.num_beams,
        "num_return_sequences": options.k,
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "max_new_tokens": options.max_new_tokens,
    }
    return decoder.generate(starts, settings, "sampling candidates", options.seed)


def ask_probabilities(
    base: BaseModelSpec, adapter: Path | None, questions: Sequence[str], batch_size: int = 32
) -> "np.ndarray":
    """Give P(ask) of ClariLM's own prompt; see :func:`ask_probabilities_of`.

    Args:
        base: The base model.
        adapter: Folder of ClariLM's adapter, or None.
        questions: User questions.
        batch_size: Questions per forward pass.

    Returns:
        Array [len(questions)] of floats in [0, 1].
    """
    return ask_probabilities_of(base, adapter, [clarification_prompt(question) for question in questions], batch_size)


def ask_probabilities_of(
    base: BaseModelSpec, adapter: Path | None, prompts: Sequence[Sequence[Message]], batch_size: int = 32
) -> "np.ndarray":
    """Give P(ask): the softmax over the Yes and the No token after "Need Clarification:", from one forward pass.

    Args:
        base: The base model.
        adapter: Folder of a LoRA adapter, or None.
        prompts: Chat messages before the reply.
        batch_size: Prompts per forward pass.

    Returns:
        Array [len(prompts)] of floats in [0, 1].
    """
    import numpy as np

    return Decoder(base, adapter, batch_size).ask_probabilities(prompts) if prompts else np.zeros(0)


def reply_given_decision(
    base: BaseModelSpec,
    adapter: Path | None,
    questions: Sequence[str],
    asks: Sequence[bool],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 32,
) -> list[str]:
    """Decode the reply to ClariLM's own prompt greedily; see :func:`replies_given_decision`.

    Args:
        base: The base model.
        adapter: Folder of ClariLM's adapter, or None.
        questions: User questions.
        asks: Per question, whether the reply is to be a clarifying question.
        max_new_tokens: Length limit.
        batch_size: Questions per batch.

    Returns:
        Per question, the clarifying question or the answer.
    """
    prompts = [clarification_prompt(question) for question in questions]
    return replies_given_decision(base, adapter, prompts, asks, max_new_tokens=max_new_tokens, batch_size=batch_size)


def replies_given_decision(
    base: BaseModelSpec,
    adapter: Path | None,
    prompts: Sequence[Sequence[Message]],
    asks: Sequence[bool],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 32,
    draw: Draw | None = None,
) -> list[str]:
    """Decode the reply's text with the decision line already written.

    Args:
        base: The base model.
        adapter: Folder of a LoRA adapter, or None.
        prompts: Chat messages before the reply.
        asks: Per prompt, whether the reply is to be a clarifying question.
        max_new_tokens: Length limit.
        batch_size: Prompts per batch.
        draw: How replies are drawn; None takes the likeliest token every time.

    Returns:
        Per prompt, the clarifying question or the answer.
    """
    if not prompts:
        return []
    return Decoder(base, adapter, batch_size).replies(prompts, asks, max_new_tokens, draw)
