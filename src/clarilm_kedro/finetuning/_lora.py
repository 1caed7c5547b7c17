"""LoRA layers with fewer passes over their output. It imports torch and PEFT: import it inside functions."""

from typing import Any

import torch
from peft.tuners.lora.layer import Linear, LoraVariant


class Folded(LoraVariant):
    """``W x + s B A x`` with the scale and the sum inside the product with B.

    PEFT multiplies by s and adds in two passes over the output, and the backward pass has another one. At rank 8 these
    passes, which wait for memory, cost more than the products with A and B. Merging stays PEFT's: it is done to an
    adapter loaded anew.
    """

    @staticmethod
    def forward(module: Any, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **_: Any) -> torch.Tensor:
        """Add the adapter's part to the base layer's result."""
        lora_a, lora_b = module.lora_A[active_adapter], module.lora_B[active_adapter]
        low = lora_a(module.lora_dropout[active_adapter](x)).flatten(0, -2)
        folded = torch.addmm(result.flatten(0, -2), low, lora_b.weight.t(), alpha=module.scaling[active_adapter])
        return folded.view_as(result)


def fold_scales(model: Any) -> None:
    """Let every LoRA layer of a model compute so.

    Args:
        model: A PEFT model with LoRA adapters on linear layers, which is trained under autocast where adapter and base
            model differ in format.
    """
    for module in model.modules():
        if isinstance(module, Linear):
            module.cast_input_dtype_enabled = False  # autocast casts too, once and to the cheaper format
            module.lora_variant.update(dict.fromkeys(module.lora_A, Folded()))
