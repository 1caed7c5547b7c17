"""What a base model, with or without an adapter, replies: sampled candidates, P(ask), replies with a given decision.

Prompts are decoded in batches of similar length. Everything is deterministic for a seed, and does not depend on the
order the prompts come in. Replies that are drawn do not depend on the batches either (:class:`Draw`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, model_validator
from tqdm.auto import tqdm

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_for_inference
from clarilm_kedro.finetuning.encoding import DecisionTokens, decision_tokens, render_prompt, token_ids
from clarilm_kedro.finetuning.template import Message, clarification_prompt, decision
from clarilm_kedro.options import Options
from clarilm_kedro.text.hashing import stable_id

if TYPE_CHECKING:
    import numpy as np
    import torch


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


class Generation(NamedTuple):
    """A decoded text, and whether it ended by itself rather than at the length limit."""

    text: str
    finished: bool


@dataclass(frozen=True)
class Draw:
    """How replies are drawn where they are not the likeliest ones.

    Every reply has a source of random numbers of its own, seeded by the seed and its prompt: the next token is the
    largest of log-probability plus Gumbel noise, which draws from the distribution (Gumbel-max). So a reply is the same
    in any batch, but for the rounding of logits that padding brings.

    Attributes:
        temperature: Above 0.
        top_p: Only the likeliest tokens up to this mass are drawn from.
        seeds: One per reply.
    """

    temperature: float
    top_p: float
    seeds: Sequence[int]


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
    decoder = _Decoder(base, adapter, options.batch_size)
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
    import torch

    p_ask = np.zeros(len(prompts))
    if not prompts:
        return p_ask
    decoder = _Decoder(base, adapter, batch_size)
    tokens = decoder.decision()
    starts = [decoder.start(prompt, tokens.before) for prompt in prompts]
    for rows, ids, mask in decoder.batches(starts, "P(ask)"):
        with torch.inference_mode():
            out = decoder.model(input_ids=ids, attention_mask=mask, logits_to_keep=1, use_cache=False)
        both = out.logits[:, -1, [tokens.yes, tokens.no]].float()
        p_ask[rows] = torch.softmax(both, dim=-1)[:, 0].cpu().numpy()
    return p_ask


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
    decoder = _Decoder(base, adapter, batch_size)
    lines = {ask: decoder.ids(decision(ask) + "\n") for ask in (True, False)}
    starts = [decoder.start(prompt, lines[bool(ask)]) for prompt, ask in zip(prompts, asks, strict=True)]
    settings = {"do_sample": False, "max_new_tokens": max_new_tokens}
    return [row[0].text for row in decoder.generate(starts, settings, "replies", draw=draw)]


class _Decoder:
    """A loaded model and how prompts are put to it."""

    def __init__(self, base: BaseModelSpec, adapter: Path | None, batch_size: int) -> None:
        self.model, self._tokenizer = load_for_inference(base, adapter)
        self._batch_size = batch_size

    def ids(self, text: str) -> list[int]:
        """Tokenize text as it stands."""
        return token_ids(self._tokenizer, text)

    def decision(self) -> DecisionTokens:
        """Give the tokens that decide."""
        return decision_tokens(self._tokenizer)

    def start(self, prompt: Sequence[Message], reply: Sequence[int] = ()) -> list[int]:
        """Tokenize a prompt, followed by a reply that was begun."""
        return [*self.ids(render_prompt(self._tokenizer, prompt)), *reply]

    def batches(
        self, starts: Sequence[list[int]], label: str
    ) -> "Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]":
        """Batch what was tokenized, sorted by length, then content: row numbers, ids and mask, padded on the left."""
        import torch

        order = sorted(range(len(starts)), key=lambda row: (len(starts[row]), starts[row]))
        with tqdm(total=len(order), desc=label, unit="prompt", leave=False) as bar:
            for at in range(0, len(order), self._batch_size):
                rows = order[at : at + self._batch_size]
                pads = [max(len(starts[row]) for row in rows) - len(starts[row]) for row in rows]
                padded = zip(pads, rows, strict=True)
                ids = [[self._tokenizer.pad_token_id] * pad + starts[row] for pad, row in padded]
                mask = [[0] * pad + [1] * (len(ids[0]) - pad) for pad in pads]
                yield rows, torch.tensor(ids, device=self.model.device), torch.tensor(mask, device=self.model.device)
                bar.update(len(rows))

    def generate(
        self,
        starts: Sequence[list[int]],
        settings: dict[str, Any],
        label: str,
        seed: int = 0,
        draw: Draw | None = None,
    ) -> list[list[Generation]]:
        """Decode; ``settings`` are those of transformers' GenerationConfig, greedy ones where there is a ``draw``."""
        import torch
        from transformers import GenerationConfig

        # A configuration of its own: what the model was published with (penalties, say) is not to leak in.
        self.model.generation_config = GenerationConfig(
            **settings,
            bos_token_id=self._tokenizer.bos_token_id,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        k = settings.get("num_return_sequences", 1)
        replies: list[list[Generation]] = [[] for _ in starts]
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            for rows, ids, mask in self.batches(starts, label):
                noise = _drawing(draw, rows, starts, self.model.device) if draw else None
                out = self.model.generate(input_ids=ids, attention_mask=mask, logits_processor=noise)
                new = out[:, ids.shape[1] :].tolist()
                for at, row in enumerate(rows):
                    replies[row] = [self._read(tokens) for tokens in new[at * k : (at + 1) * k]]
        return replies

    def _read(self, tokens: list[int]) -> Generation:
        end = self._tokenizer.eos_token_id
        finished = end in tokens
        if finished:
            tokens = tokens[: tokens.index(end)]
        return Generation(str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip(), finished)


def _drawing(draw: Draw, rows: Sequence[int], starts: Sequence[list[int]], device: "torch.device") -> Any:
    """What turns the greedy choice of each row of a batch into a draw; a list of transformers' logits processors."""
    import torch
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    keys = [stable_id(draw.seeds[row], starts[row], length=15) for row in rows]
    sources = [torch.Generator(device).manual_seed(int(key, 16)) for key in keys]

    def with_noise(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        waits = torch.empty_like(scores, dtype=torch.float32)
        for at, source in enumerate(sources):
            waits[at].exponential_(generator=source)
        # The negative logarithm of an exponential is a Gumbel; a zero would make one of infinity.
        return scores.float() - waits.clamp_(min=torch.finfo(torch.float32).tiny).log()

    return LogitsProcessorList([TemperatureLogitsWarper(draw.temperature), TopPLogitsWarper(draw.top_p), with_noise])
