"""A loaded model, and how prompts are put to it: batched by length, padded on the left, greedy or drawn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm.auto import tqdm

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_for_inference
from clarilm_kedro.finetuning.encoding import decision_tokens, render_prompt, token_ids
from clarilm_kedro.finetuning.template import Message, decision
from clarilm_kedro.text.hashing import stable_id

if TYPE_CHECKING:
    import numpy as np
    import torch


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


class Decoder:
    """A loaded model and how prompts are put to it.

    Args:
        base: The base model.
        adapter: Folder of a LoRA adapter on it, or None.
        batch_size: Prompts per forward pass.

    Raises:
        ClarilmError: The model cannot be loaded, or the adapter belongs to another one.
    """

    def __init__(self, base: BaseModelSpec, adapter: Path | None, batch_size: int) -> None:
        self.model, self._tokenizer = load_for_inference(base, adapter)
        self._batch_size = batch_size

    def ids(self, text: str) -> list[int]:
        """Tokenize text as it stands."""
        return token_ids(self._tokenizer, text)

    def start(self, prompt: Sequence[Message], reply: Sequence[int] = ()) -> list[int]:
        """Tokenize a prompt, followed by a reply that was begun."""
        return [*self.ids(render_prompt(self._tokenizer, prompt)), *reply]

    def ask_probabilities(self, prompts: Sequence[Sequence[Message]]) -> "np.ndarray":
        """Give P(ask): the softmax over the Yes and the No token after "Need Clarification:", from one forward pass.

        Args:
            prompts: Chat messages before the reply.

        Returns:
            Array [len(prompts)] of floats in [0, 1].
        """
        import numpy as np
        import torch

        p_ask = np.zeros(len(prompts))
        tokens = decision_tokens(self._tokenizer)
        starts = [self.start(prompt, tokens.before) for prompt in prompts]
        for rows, ids, mask in self.batches(starts, "P(ask)"):
            with torch.inference_mode():
                out = self.model(input_ids=ids, attention_mask=mask, logits_to_keep=1, use_cache=False)
            both = out.logits[:, -1, [tokens.yes, tokens.no]].float()
            p_ask[rows] = torch.softmax(both, dim=-1)[:, 0].cpu().numpy()
        return p_ask

    def replies(
        self,
        prompts: Sequence[Sequence[Message]],
        asks: Sequence[bool],
        max_new_tokens: int,
        draw: Draw | None = None,
    ) -> list[str]:
        """Decode the reply's text with the decision line already written.

        Args:
            prompts: Chat messages before the reply.
            asks: Per prompt, whether the reply is to be a clarifying question.
            max_new_tokens: Length limit.
            draw: How replies are drawn; None takes the likeliest token every time.

        Returns:
            Per prompt, the clarifying question or the answer.
        """
        starts = [self.begun(prompt, bool(ask)) for prompt, ask in zip(prompts, asks, strict=True)]
        settings = {"do_sample": False, "max_new_tokens": max_new_tokens}
        return [row[0].text for row in self.generate(starts, settings, "replies", draw=draw)]

    def begun(self, prompt: Sequence[Message], asks: bool) -> list[int]:
        """Tokenize a prompt, followed by a reply whose decision line is written."""
        return self.start(prompt, self.ids(decision(asks) + "\n"))

    def stream(self, start: list[int], max_new_tokens: int, shown: Callable[[str], None]) -> str:
        """Decode one reply greedily, handing over its text as it comes.

        Args:
            start: Tokens of the prompt and of what is written of the reply.
            max_new_tokens: Length limit.
            shown: Is given each piece of text.

        Returns:
            The whole text.
        """
        import torch
        from transformers import TextStreamer

        pieces: list[str] = []

        class Streamer(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
                if text:
                    pieces.append(text)
                    shown(text)

        streamer = Streamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._configure({"do_sample": False, "max_new_tokens": max_new_tokens})
        ids = torch.tensor([start], device=self.model.device)
        with torch.inference_mode():
            self.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), streamer=streamer)
        return "".join(pieces).strip()

    def batches(
        self, starts: Sequence[list[int]], label: str
    ) -> "Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]":
        """Batch what was tokenized, sorted by length, then content: row numbers, ids and mask, padded on the left."""
        import torch

        order = sorted(range(len(starts)), key=lambda row: (len(starts[row]), starts[row]))
        with tqdm(total=len(order), desc=label, unit="prompt", leave=False, disable=len(order) < 2) as bar:
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

        self._configure(settings)
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

    def _configure(self, settings: dict[str, Any]) -> None:
        from transformers import GenerationConfig

        # A configuration of its own: what the model was published with (penalties, say) is not to leak in.
        self.model.generation_config = GenerationConfig(
            **settings,
            bos_token_id=self._tokenizer.bos_token_id,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.pad_token_id,
        )

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
