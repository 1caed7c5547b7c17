"""A base model with its adapter as one GGUF file, which llama.cpp decodes on a CPU.

Sizes, tokens and chat template are written from what transformers holds, also where the base model came from a GGUF
file itself: the file is to behave as the model that was trained, whose tokens transformers has made. The keys and the
layout are those of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

What decodes for a pipeline is written by :func:`export_gguf`; what people take away, with the metadata of a GGUF base
copied into it, by :mod:`clarilm_kedro.finetuning.exporting`.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, identity, load_merged, load_tokenizer
from clarilm_kedro.finetuning.disk import check_room, is_full
from clarilm_kedro.finetuning.gguf_tokens import NotForGgufError, write_tokens
from clarilm_kedro.finetuning.jobs import adapter_digest

logger = logging.getLogger(__name__)

#: Number formats of the weights; norms and what a format does not fit are kept at a higher one.
Weights = Literal["f32", "f16", "q8_0"]

_VERSION = 1  # of what is written; part of the file's name
#: As llama.cpp calls it.
ARCHITECTURE = "llama"
# Metadata and padding, at most: some 50,000 tokens and merges take 3 MB, 130,000 take 10.
_HEADER_BYTES = 32 * 2**20


def gguf_file(spec: BaseModelSpec, adapter: Path | None, weights: Weights, folder: Path) -> Path:
    """Name the file of a base model with an adapter; equal names mean equal contents.

    Args:
        spec: The base model.
        adapter: Folder of its LoRA adapter; None for the base model as it is.
        weights: Number format.
        folder: Where the file lies.

    Returns:
        The path, whether or not the file is there.

    Raises:
        ClarilmError: The adapter cannot be read.
    """
    parts = identity(spec)
    content = {
        "version": _VERSION,
        "weights": parts["weights"],
        "chat_template": parts["chat_template"],
        "adapter": adapter_digest(adapter) if adapter else None,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    base = re.sub(r"[^\w.-]+", "-", Path(spec.source).name.removesuffix(".gguf").split(":")[-1])
    return folder / f"{base}-{adapter.name if adapter else 'base'}-{digest}-{weights}.gguf"


def export_gguf(spec: BaseModelSpec, adapter: Path | None, weights: Weights, folder: Path) -> Path:
    """Write a base model with an adapter merged into it as a GGUF file, once.

    The adapter is merged in float32. The file appears whole under its name or not at all, and two processes do not
    write it at once.

    Args:
        spec: The base model; of the LLaMA architecture.
        adapter: Folder of its LoRA adapter; None for the base model as it is.
        weights: Number format.
        folder: Where the file is kept; made if need be.

    Returns:
        The file.

    Raises:
        ClarilmError: Another architecture, a tokenizer that llama.cpp cannot be told, an adapter of another base model,
            no room on the disk.
    """
    from filelock import FileLock

    path = gguf_file(spec, adapter, weights, folder)
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            return path
        logger.info("Writing %s; this happens once.", path)
        partial = path.with_name(f".{path.name}-partial")
        try:
            write_gguf(spec, adapter, weights, partial)
            os.replace(partial, path)
        except OSError as error:
            if not is_full(error):
                raise
            raise ClarilmError(
                f"There is no room for a GGUF file in {folder}: {error.strerror}. Free some, set decoding.folder to "
                "another disk, or decoding.weights to q8_0."
            ) from error
        finally:
            partial.unlink(missing_ok=True)
    return path


class _Tensor(NamedTuple):
    name: str
    values: Any
    format: Any


def write_gguf(
    spec: BaseModelSpec,
    adapter: Path | None,
    weights: Weights,
    file: Path,
    describe: Callable[[Any], None] | None = None,
) -> None:
    """Write the file itself, in place.

    Args:
        spec: The base model; of the LLaMA architecture.
        adapter: Folder of its LoRA adapter; None for the base model as it is.
        weights: Number format.
        file: Where to.
        describe: Is given the ``gguf.GGUFWriter`` once the metadata stands in it, to add to it or change it.

    Raises:
        NotForGgufError: Another architecture, or a tokenizer that llama.cpp cannot be told.
        ClarilmError: An adapter of another base model.
        OSError: There is no room on the disk.
    """
    import gguf
    from gguf.quants import quantize

    model = load_merged(spec, adapter)
    tensors = list(_tensors(model, spec.source, weights))
    needed = sum(_bytes(tensor) for tensor in tensors) + _HEADER_BYTES
    check_room(file.parent, needed)
    writer = gguf.GGUFWriter(file, ARCHITECTURE)
    try:
        write_metadata(writer, spec, model.config)
        if describe:
            describe(writer)
        for tensor in tensors:
            writer.add_tensor_info(
                tensor.name, tensor.values.shape, tensor.values.dtype, _bytes(tensor), raw_dtype=tensor.format
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:  # one by one, so that memory holds the model once and not twice
            writer.write_tensor_data(quantize(tensor.values, tensor.format))
    finally:
        writer.close()


def write_metadata(writer: Any, spec: BaseModelSpec, config: Any) -> None:
    """Write sizes, tokens and chat template as transformers holds them.

    Args:
        writer: A ``gguf.GGUFWriter``.
        spec: The base model.
        config: Its configuration.

    Raises:
        NotForGgufError: It cannot be told to llama.cpp.
    """
    _write_sizes(writer, config, spec.source)
    write_tokens(writer, load_tokenizer(spec), config.vocab_size, spec.source)


def check_architecture(config: Any, source: str) -> None:
    """Refuse what is no LLaMA.

    Args:
        config: The base model's configuration.
        source: Its name, for the error.

    Raises:
        NotForGgufError: It is none.
    """
    activation = getattr(config, "hidden_act", "no activation named")
    if config.model_type != ARCHITECTURE or activation != "silu":
        raise NotForGgufError(
            f"The base model '{source}' is of the architecture {config.model_type} ({activation}); GGUF files are "
            "written of LLaMA models only."
        )


def _write_sizes(writer: Any, config: Any, source: str) -> None:
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise NotForGgufError(
            f"The base model '{source}' scales its positions (rope_type {rope['rope_type']}), which is not written to "
            "GGUF here."
        )
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_type("model")
    writer.add_name(source)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(rope.get("rope_theta", 10_000.0))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _tensors(model: Any, source: str, weights: Weights) -> Iterator[_Tensor]:
    """Name the weights as llama.cpp does; all of them, or an error."""
    import gguf

    config = model.config
    check_architecture(config, source)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, values in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # llama.cpp takes the embedding where there is no output head
        known = names.get_name(name, try_suffixes=(".weight",))
        if known is None:
            raise NotForGgufError(f"The base model '{source}' holds {name}, which llama.cpp's LLaMA does not know.")
        array = rotated(name.removesuffix(".weight"), values.detach().float().numpy(), config)
        yield _Tensor(known, array, _format(array, weights))


def rotated(module: str, values: Any, config: Any) -> Any:
    """Order rows as llama.cpp rotates them: in neighbouring pairs, where transformers pairs the two halves of a head.

    Args:
        module: Name of the linear layer; those of queries and keys are rotated, others left as they are.
        values: Array [outputs, ...]: its weights, or the B of a LoRA on it.
        config: The model's configuration.

    Returns:
        An array of the same shape.
    """
    kinds = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    heads = kinds.get(module.rpartition(".")[2])
    if heads is None:
        return values
    rows, columns = values.shape
    halves = values.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _format(values: Any, weights: Weights) -> Any:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if values.ndim == 1:  # norms: few, and llama.cpp computes them in float32
        return GGMLQuantizationType.F32
    wanted = GGMLQuantizationType[weights.upper()]
    block, _ = GGML_QUANT_SIZES[wanted]
    return wanted if values.shape[-1] % block == 0 else GGMLQuantizationType.F16


def _bytes(tensor: _Tensor) -> int:
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[tensor.format]
    return int(tensor.values.size // block * size)
