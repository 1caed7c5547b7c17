"""How much memory a LoRA training needs on each device: arithmetic from the base model's configuration.

Weights, adapter, gradients and optimizer are exact. Activations follow what transformers' LLaMA keeps for the backward
pass where the base weights are frozen, after the counting of Korthikanti et al., "Reducing Activation Recomputation in
Large Transformer Models" (2022), section 4, and are good to some 20 %; hence the headroom.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, device, load_config, resolve_dtype
from clarilm_kedro.finetuning.options import LoraOptions, TrainingOptions

_BYTES = {"float32": 4, "bfloat16": 2}
#: AdamW's two moments, and the gradient, in float32; the adapter's weights themselves likewise.
_ADAPTER_BYTES = {"weights": 4, "gradients": 4, "optimizer": 8}
#: Fragments, buffers of kernels and of communication.
_HEADROOM = 0.1


@dataclass(frozen=True)
class ModelShape:
    """What memory depends on.

    Attributes:
        hidden: Width of the residual stream.
        intermediate: Width of the feed-forward layer.
        layers: Number of blocks.
        key_value: Width of keys and values together over their heads (one of the two).
        vocabulary: Number of tokens.
        tied: Whether the output head is the embedding.
    """

    hidden: int
    intermediate: int
    layers: int
    key_value: int
    vocabulary: int
    tied: bool

    @property
    def linear(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of a block's linear layers: q, k, v, o, gate, up, down."""
        h, i, kv = self.hidden, self.intermediate, self.key_value
        return ((h, h), (h, kv), (h, kv), (h, h), (h, i), (h, i), (i, h))

    @property
    def parameters(self) -> int:
        """Number of weights."""
        block = sum(a * b for a, b in self.linear) + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * block + embeddings + self.hidden

    def adapter_parameters(self, rank: int) -> int:
        """Number of weights of a LoRA adapter on every linear layer of the blocks."""
        return self.layers * sum(rank * (a + b) for a, b in self.linear)


@dataclass(frozen=True)
class MemoryPlan:
    """Gigabytes (1e9 bytes) per device.

    Attributes:
        what: Name of the training.
        weights: The frozen base model.
        adapter: The adapter, and its frozen copy where DPO has one.
        optimizer: Gradients and AdamW's moments.
        activations: What the backward pass needs of one micro batch.
        logits: Scores of the output head and their gradient.
        headroom: Set aside for what is not counted.
        available: What the device has; None where it is not known.
    """

    what: str
    weights: float
    adapter: float
    optimizer: float
    activations: float
    logits: float
    headroom: float
    available: float | None

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.adapter + self.optimizer + self.activations + self.logits + self.headroom

    def __str__(self) -> str:
        has = "" if self.available is None else f" of {self.available:.1f} GB"
        return (
            f"{self.what} needs about {self.total:.2f} GB{has} on each device: weights {self.weights:.2f}, adapter "
            f"{self.adapter:.2f}, optimizer {self.optimizer:.2f}, activations {self.activations:.2f}, logits "
            f"{self.logits:.2f}, headroom {self.headroom:.2f}."
        )

    def check(self) -> None:
        """Stop before anything is loaded where it cannot fit.

        Raises:
            ClarilmError: More is needed than the device has. Names the numbers and what would help.
        """
        if self.available is not None and self.total > self.available:
            raise ClarilmError(
                f"{self.what} needs about {self.total:.1f} GB on each device (weights {self.weights:.1f}, activations "
                f"{self.activations:.1f}, logits {self.logits:.1f}), and there are {self.available:.1f} GB. Lower "
                "micro_batch_size or max_length, set gradient_checkpointing, or shard the weights with an "
                "accelerate_config for FSDP2 or ZeRO-3."
            )


def model_shape(spec: BaseModelSpec) -> ModelShape:
    """Read the base model's configuration; no weights are loaded.

    Args:
        spec: The base model.

    Returns:
        Its shape.

    Raises:
        ClarilmError: The configuration cannot be had, or is not one of a LLaMA-like model.
    """
    config = load_config(spec)
    try:
        heads = config.num_attention_heads
        return ModelShape(
            hidden=config.hidden_size,
            intermediate=config.intermediate_size,
            layers=config.num_hidden_layers,
            key_value=config.hidden_size // heads * (getattr(config, "num_key_value_heads", None) or heads),
            vocabulary=config.vocab_size,
            tied=bool(config.tie_word_embeddings),
        )
    except AttributeError as error:
        raise ClarilmError(f"The memory of '{spec.source}' cannot be planned: {error}.") from error


def plan_memory(
    what: str,
    shape: ModelShape,
    options: TrainingOptions,
    *,
    method: Literal["sft", "dpo"],
    dtype: Literal["float32", "bfloat16"],
    rank: int,
    shards: int = 1,
    available: float | None = None,
) -> MemoryPlan:
    """Count the memory of one device.

    Args:
        what: Name of the training.
        shape: The base model.
        options: Micro batch, length and checkpointing.
        method: DPO runs two replies per pair, and keeps a frozen copy of the adapter.
        dtype: The base weights' format, in which activations are computed too.
        rank: Of the adapter.
        shards: Devices that share the base weights (FSDP2, ZeRO-3); 1 where each has all, as under DDP.
        available: Gigabytes of the device.

    Returns:
        The plan.
    """
    size = _BYTES[dtype]
    rows = options.micro_batch_size * (2 if method == "dpo" else 1)
    tokens = rows * options.max_length
    adapter = shape.adapter_parameters(rank)
    copies = 2 if method == "dpo" else 1
    # Kept per token and block: the inputs of both norms (and their float32 copies), of q/k/v, of attention, of
    # o, of gate and up, the two factors of their product, the product, and the low-rank projections.
    h, i, kv = shape.hidden, shape.intermediate, shape.key_value
    block = tokens * (size * (4 * h + (h + 2 * kv) + h + 4 * i + 7 * rank) + 4 * 2 * h)
    border = tokens * size * h
    kept = shape.layers * border + block if options.gradient_checkpointing else shape.layers * block
    # The head runs on columns with labels, at most all: scores in the weights' format and in float32, and a gradient.
    logits = tokens * shape.vocabulary * (size + 4 + 4)
    counted = {
        "weights": shape.parameters * size / shards,
        "adapter": adapter * _ADAPTER_BYTES["weights"] * copies,
        "optimizer": adapter * (_ADAPTER_BYTES["gradients"] + _ADAPTER_BYTES["optimizer"]),
        "activations": kept,
        "logits": logits,
    }
    gigabytes = {name: value / 1e9 for name, value in counted.items()}
    return MemoryPlan(what=what, **gigabytes, headroom=_HEADROOM * sum(gigabytes.values()), available=available)


def device_memory() -> float:
    """Give the memory of the smallest device here in gigabytes: of a GPU, or of the machine."""
    import torch

    if device() == "cuda":
        sizes = [torch.cuda.get_device_properties(at).total_memory for at in range(torch.cuda.device_count())]
        return float(min(sizes)) / 1e9
    import psutil

    return float(psutil.virtual_memory().total) / 1e9


def plan_training(
    what: str,
    spec: BaseModelSpec,
    options: TrainingOptions,
    *,
    method: Literal["sft", "dpo"],
    rank: int = 8,
    shards: int = 1,
    available: float | None = None,
) -> MemoryPlan:
    """Plan a training as its options say.

    Args:
        what: Name of the training.
        spec: The base model.
        options: The method's options.
        method: ``sft`` or ``dpo``.
        rank: Of the adapter that DPO starts from; SFT's stands in its options.
        shards: Devices that share the base weights.
        available: Gigabytes per device; None takes those of this machine.

    Returns:
        The plan.
    """
    return plan_memory(
        what,
        model_shape(spec),
        options,
        method=method,
        dtype=resolve_dtype(spec),
        rank=options.lora_rank if isinstance(options, LoraOptions) else rank,
        shards=shards,
        available=device_memory() if available is None else available,
    )


def as_row(plan: MemoryPlan) -> Mapping[str, Any]:
    """Give the plan's numbers by name, in gigabytes."""
    return {
        "training": plan.what,
        "weights": plan.weights,
        "adapter": plan.adapter,
        "optimizer": plan.optimizer,
        "activations": plan.activations,
        "logits": plan.logits,
        "headroom": plan.headroom,
        "total": plan.total,
        "available": plan.available,
    }
