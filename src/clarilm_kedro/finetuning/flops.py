"""Model FLOPs of a LoRA training, and the share of a device's peak that they are (MFU).

MFU counts what the mathematics needs and not what was computed: no padding, no recomputation of checkpointed
activations (Chowdhery et al., "PaLM" (2022), section 4.1 and appendix B: 6 N + 12 L H Q T per token where all N weights
are trained).

Per token, a matrix of n weights takes 2 n in the forward pass, 2 n for the gradient of its input and 2 n for that of
its weights. Frozen weights have no gradient of their own, so N frozen and A trained weights take 4 N + 6 A instead of
6 (N + A). Attention multiplies activations only, 4 L H Q per pair of positions, and takes that three times whatever is
trained; as in PaLM the causal half is not subtracted. The output head counts for positions with a label alone, because
only there the loss asks for it. The embedding is looked up, which is no FLOP.
"""

import re
from dataclasses import dataclass

from clarilm_kedro.finetuning.memory_plan import ModelShape

#: Peak of dense bfloat16 matrix products with float32 sums, in TFLOPS, by the name that CUDA gives the device; the
#: first that fits counts. From NVIDIA's data sheets and, for the GeForce cards, the appendices of its papers on the
#: Ampere GA102 and Ada architectures, as of November 2026. Hopper's sheets name twice these figures: with sparsity.
_PEAK_TFLOPS = (
    (r"\bB200\b", 2250.0),
    (r"\bH200\b", 989.4),
    (r"\bH100 NVL\b", 835.5),
    (r"\bH100 PCIe\b", 756.0),
    (r"\bH100\b", 989.4),
    (r"\bA100\b", 312.0),
    (r"\bL40S\b", 362.05),
    (r"\bL40\b", 181.05),
    (r"\bL4\b", 121.0),
    (r"\bA40\b", 149.7),
    (r"\bA10\b", 125.0),
    (r"\bRTX 4090$", 165.2),
    (r"\bRTX 3090$", 71.0),
)


@dataclass(frozen=True)
class Batch:
    """What the FLOPs of a batch depend on.

    Attributes:
        tokens: Positions without padding.
        squares: Sum over rows of the squared number of positions.
        scored: Positions with a label.
    """

    tokens: int
    squares: int
    scored: int


@dataclass(frozen=True)
class TrainingFlops:
    """Counts the model FLOPs of training a LoRA adapter.

    Attributes:
        shape: The base model, frozen.
        adapter: Number of trained weights.
    """

    shape: ModelShape
    adapter: int

    def training(self, batch: Batch) -> float:
        """FLOPs of a forward and a backward pass: 4 N + 6 A + 12 L H Q T per token."""
        return 2 * self._frozen(batch) + 3 * (self._adapter(batch) + self._attention(batch))

    def reference(self, batch: Batch, *, adapter: bool) -> float:
        """FLOPs of a forward pass alone: 2 N + 2 A + 4 L H Q T per token; without an adapter the base model's."""
        return self._frozen(batch) + self._attention(batch) + (self._adapter(batch) if adapter else 0.0)

    def _frozen(self, batch: Batch) -> float:
        blocks = self.shape.layers * sum(a * b for a, b in self.shape.linear)
        return 2.0 * (blocks * batch.tokens + self.shape.vocabulary * self.shape.hidden * batch.scored)

    def _adapter(self, batch: Batch) -> float:
        return 2.0 * self.adapter * batch.tokens

    def _attention(self, batch: Batch) -> float:
        return 4.0 * self.shape.layers * self.shape.hidden * batch.squares


def peak_flops(device_name: str) -> float | None:
    """Look up a device's peak.

    Args:
        device_name: As ``torch.cuda.get_device_name`` gives it.

    Returns:
        FLOPs per second of dense bfloat16; None where it is not known, as for every CPU.
    """
    return next((tflops * 1e12 for name, tflops in _PEAK_TFLOPS if re.search(name, device_name)), None)


def device_peak(dtype: str) -> float | None:
    """Look up the peak of the device here.

    Args:
        dtype: What it computes in.

    Returns:
        FLOPs per second; None on a CPU, for an unknown GPU and in any format but bfloat16.
    """
    import torch

    if dtype != "bfloat16" or not torch.cuda.is_available():
        return None
    return peak_flops(torch.cuda.get_device_name())
