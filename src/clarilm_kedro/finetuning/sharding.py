"""Weights that are spread over processes (FSDP2, ZeRO-3): what has to be done differently there.

It imports nothing heavy by itself, and DeepSpeed only where accelerate was told to use it.
"""

import os
from typing import Any


def is_zero3() -> bool:
    """Tell whether accelerate's launcher was told to use DeepSpeed ZeRO-3 (its own environment variables)."""
    return (
        os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
        and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"
    )


def gathered_adapter(model: Any, name: str = "default") -> dict[str, Any]:
    """Put an adapter's weights together; every process has to call this, and gets all of them.

    Args:
        model: The PEFT model, unwrapped.
        name: The adapter.

    Returns:
        Parameter name -> tensor on the CPU. Under ZeRO-3 it is the optimizer's float32 copy of the bfloat16 weights.
    """
    trained = {key: each for key, each in model.named_parameters() if f".{name}." in key}
    return {key: _whole(each).detach().cpu() for key, each in trained.items()}


def match_reference(model: Any) -> None:
    """Give TRL's frozen copy ``ref`` of the adapter the policy's number format, so that both compute the same numbers.

    TRL makes it float32 whatever the policy is; under ZeRO-3 the policy is bfloat16, and DeepSpeed casts neither.

    Args:
        model: The PEFT model of a DPO trainer.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        if ".ref." in name:
            parameter.data = parameter.data.to(parameters[name.replace(".ref.", ".default.")].dtype)


def count(parameter: Any) -> int:
    """Count a parameter's weights over all processes; ZeRO-3 leaves an empty tensor in its place."""
    return int(getattr(parameter, "ds_numel", None) or parameter.numel())


def trained_are_finite(model: Any) -> bool:
    """Tell whether the trained weights that this process holds are all finite numbers."""
    trained = (each for each in model.parameters() if each.requires_grad)
    return all(bool(getattr(each, "to_local", lambda each=each: each)().isfinite().all()) for each in trained)


def _whole(parameter: Any) -> Any:
    if hasattr(parameter, "ds_id"):  # ZeRO-3
        from deepspeed.utils import safe_get_full_fp32_param

        return safe_get_full_fp32_param(parameter)
    return parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter  # FSDP2's DTensor
