"""A LoRA adapter as a GGUF file, which llama.cpp puts on a base model as it runs (``--lora``, Ollama's ``ADAPTER``).

The layout is that of llama.cpp's own converter, convert_lora_to_gguf.py: per layer a pair ``NAME.lora_a``
[rank, inputs] and ``NAME.lora_b`` [outputs, rank]; llama.cpp multiplies their product by alpha / rank.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapters import load_adapter
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_model
from clarilm_kedro.finetuning.gguf_export import ARCHITECTURE, check_architecture, rotated

LoraWeights = Literal["f32", "f16"]


def write_lora_gguf(
    spec: BaseModelSpec,
    adapter: Path,
    weights: LoraWeights,
    file: Path,
    describe: Callable[[Any], None] | None = None,
) -> None:
    """Write an adapter, in place.

    Args:
        spec: The base model; of the LLaMA architecture.
        adapter: Folder of a LoRA adapter trained on it.
        weights: Number format.
        file: Where to.
        describe: Is given the ``gguf.GGUFWriter`` once the metadata stands in it, to add to it or change it.

    Raises:
        NotForGgufError: Another architecture.
        ClarilmError: An adapter of another base model, or one that is more than a LoRA on linear layers.
    """
    import gguf

    model = load_adapter(load_model(spec, dtype="float32"), adapter, spec.source)
    config = model.config
    check_architecture(config, spec.source)
    alpha = _alpha(adapter)
    writer = gguf.GGUFWriter(file, ARCHITECTURE)
    try:
        writer.add_type("adapter")
        writer.add_name(spec.source)
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
        if describe:
            describe(writer)
        dtype = "float32" if weights == "f32" else "float16"
        for name, array in _pairs(model, config, alpha, adapter):
            writer.add_tensor(name, array.astype(dtype))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _alpha(adapter: Path) -> float:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    more = ("use_dora", "modules_to_save", "trainable_token_indices", "layer_replication", "lora_bias")
    found = [name for name in more if config.get(name)]
    if config.get("bias", "none") != "none":
        found.append("bias")
    if found:
        raise ClarilmError(
            f"The adapter in {adapter} is more than a LoRA on linear layers ({', '.join(found)}), which llama.cpp "
            "cannot put on a model as it runs. Export it with --format gguf, merged into its base model."
        )
    return float(config["lora_alpha"])


def _pairs(model: Any, config: Any, alpha: float, adapter: Path) -> Iterator[tuple[str, Any]]:
    import gguf
    from peft.tuners.lora import Linear, LoraLayer

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, module in model.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        plain = name.removeprefix("base_model.model.")
        known = names.get_name(f"{plain}.weight", try_suffixes=(".weight",))
        if known is None or not isinstance(module, Linear) or known.startswith("token_embd"):
            raise ClarilmError(
                f"The adapter in {adapter} changes {plain}, which llama.cpp cannot put on a LLaMA as it runs. Export "
                "it with --format gguf, merged into its base model."
            )
        (active,) = module.active_adapters
        low, high = (each[active].weight.detach().float().numpy() for each in (module.lora_A, module.lora_B))
        # 1 unless ranks or alphas differ between layers, or the scale is alpha / sqrt(rank).
        factor = module.scaling[active] * len(low) / alpha
        yield f"{known}.lora_a", low
        yield f"{known}.lora_b", rotated(plain, high * factor if factor != 1 else high, config)
