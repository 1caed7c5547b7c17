"""What our trainers share: order and counts that go on after an interruption. It imports torch and transformers."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers.trainer_pt_utils import LengthGroupedSampler

from clarilm_kedro.finetuning.flops import Batch, TrainingFlops


class GroupedByLength(LengthGroupedSampler):
    """transformers' sampler, seeded by the epoch: it draws from torch's global generator, which a resumed run has not
    where it was when the epoch began."""

    seed = 0
    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Any:
        self.generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return super().__iter__()


class Resumable:
    """What both trainers add: an order of rows and a count of tokens that go on where a checkpoint stopped.

    The count is part of what the trainer logs, and its log is part of a checkpoint's state. ``flops`` and ``peak``
    (of one device, per second) make tokens into MFU; without them there is none.
    """

    lengths: Sequence[int] = ()
    flops: TrainingFlops | None = None
    peak: float | None = None
    args: Any
    seen_tokens = 0
    seen_flops = 0.0
    started_at: float | None = None
    earlier_tokens = 0
    earlier_seconds = 0.0
    accelerator: Any
    model: Any
    state: Any

    def _get_train_sampler(self, *arguments: Any) -> Any:
        if not self.lengths:
            return super()._get_train_sampler(*arguments)  # type: ignore[misc]
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        sampler = GroupedByLength(batch, lengths=list(self.lengths))
        sampler.seed = self.args.data_seed
        return sampler

    def log(self, logs: dict[str, float], *arguments: Any, **settings: Any) -> None:
        """Add tokens, seconds and rates to a point of the curve, over all processes."""
        if "loss" in logs:
            own = torch.tensor([self.seen_tokens, self.seen_flops], dtype=torch.float64, device=self.accelerator.device)
            tokens, flops = self.accelerator.reduce(own, reduction="sum").tolist()
            seconds = time.monotonic() - (self.started_at or time.monotonic())
            logs["tokens"] = self.earlier_tokens + int(tokens)
            logs["seconds"] = self.earlier_seconds + seconds
            logs["tokens_per_second"] = tokens / max(seconds, 1e-9)
            logs["tflops_per_second"] = flops / max(seconds, 1e-9) / 1e12
            if self.peak:
                logs["mfu"] = flops / max(seconds, 1e-9) / (self.peak * self.accelerator.num_processes)
        super().log(logs, *arguments, **settings)  # type: ignore[misc]

    def count(self, attention_mask: torch.Tensor, scored: torch.Tensor, *, reference: str | None = None) -> None:
        """Count a batch's tokens and model FLOPs.

        Args:
            attention_mask: Shape [rows, length].
            scored: True where a token has a label.
            reference: ``sft`` or ``base`` where that model answered too.
        """
        lengths = attention_mask.sum(dim=1)
        batch = Batch(*(int(each) for each in torch.stack([lengths.sum(), (lengths**2).sum(), scored.sum()]).tolist()))
        self.seen_tokens += batch.tokens
        if self.flops is not None:
            self.seen_flops += self.flops.training(batch)
            if reference:
                self.seen_flops += self.flops.reference(batch, adapter=reference == "sft")

    def start_clock(self) -> None:
        """Start counting, from where the checkpoint stopped if there is one."""
        points = [point for point in self.state.log_history if "tokens" in point]
        if points:
            self.earlier_tokens, self.earlier_seconds = int(points[-1]["tokens"]), float(points[-1]["seconds"])
        self.started_at = time.monotonic()
