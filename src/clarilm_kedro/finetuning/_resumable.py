"""What our trainers share: order and counts that go on after an interruption. It imports torch and transformers."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler

from clarilm_kedro.finetuning._scoring import Scoring
from clarilm_kedro.finetuning.flops import Batch, TrainingFlops


class GroupedByLength(LengthGroupedSampler):
    """transformers' sampler, seeded by the epoch: it draws from torch's global generator, which a resumed run has not
    where it was when the epoch began.

    Args:
        step: Rows per optimizer step, over all processes.
        lengths: Tokens of each row.
        seed: Draws the order, with the epoch.
        epoch: Tells the epoch that begins.
    """

    def __init__(self, lengths: Sequence[int], step: int, seed: int, epoch: Callable[[], int]) -> None:
        super().__init__(step, lengths=list(lengths))
        self._seed, self._epoch = seed, epoch

    def __iter__(self) -> Any:
        self.generator = torch.Generator().manual_seed(self._seed + self._epoch())
        return super().__iter__()


class SortedWithinSteps(Sampler[int]):
    """Rows in random order, those of one optimizer step by length: its forward passes then have little padding.

    A step sees the rows that it would see without sorting, so nothing is learnt differently. The order is that of
    accelerate's seedable sampler, ``randperm`` of seed + epoch.

    Args:
        lengths: Tokens of each row.
        step: Rows per optimizer step, over all processes.
        seed: Draws the order, with the epoch.
        epoch: Tells the epoch that begins. accelerate's ``set_epoch`` does not reach a sampler inside the batches of a
            resumed training of several processes.
    """

    def __init__(self, lengths: Sequence[int], step: int, seed: int, epoch: Callable[[], int]) -> None:
        self._lengths, self._step, self._seed, self._epoch = lengths, step, seed, epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch())
        order = torch.randperm(len(self._lengths), generator=generator).tolist()
        for start in range(0, len(order), self._step):
            rows = order[start : start + self._step]
            # The longest first: memory that does not suffice shows in the first step. A last step that is not full is
            # left alone: processes fill it up with its first rows, and DPO would weigh the longest more.
            whole = len(rows) == self._step
            yield from sorted(rows, key=self._lengths.__getitem__, reverse=True) if whole else rows


class Resumable:
    """What both trainers add: an order of rows and a count of tokens that go on where a checkpoint stopped.

    The count is part of what the trainer logs, and its log is part of a checkpoint's state. ``flops`` and ``peak``
    (of one device, per second) make tokens into MFU; without them there is none.
    """

    lengths: Sequence[int]
    grouped = False
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

    def _get_train_sampler(self, *_: Any) -> Any:
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        kind = GroupedByLength if self.grouped else SortedWithinSteps
        return kind(self.lengths, step, self.args.data_seed, self._epoch)

    def _epoch(self) -> int:
        """The epoch that begins or, in a resumed training, goes on; the state counts in fractions."""
        return int((self.state.epoch or 0.0) + 1e-6)

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

    def count(self, scoring: Scoring, *, reference: str | None = None) -> None:
        """Count a batch's tokens and model FLOPs.

        Args:
            scoring: What was computed; a prompt that both replies of a pair share counts once.
            reference: ``sft`` or ``base`` where that model answered too.
        """
        lengths = scoring.kept.sum(dim=1)
        numbers = torch.stack([lengths.sum(), (lengths**2).sum(), scoring.scored.sum()])
        batch = Batch(*(int(each) for each in numbers.tolist()))
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
