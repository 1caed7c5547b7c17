"""A LoRA adapter and the base model it belongs to."""

import hashlib
import json
from pathlib import Path
from typing import Any

from clarilm_kedro.errors import ClarilmError

_NOTE = "base_model.json"
# Of every weight tensor: two base models do not share the first numbers of all of them.
_SAMPLED = 64


def base_fingerprint(model: Any) -> str | None:
    """Name the base weights of a loaded model, wherever they were loaded from.

    The first numbers of every tensor are hashed as bfloat16, so that the name is the same for a copy of the files, for
    a model loaded in another format, and below an adapter.

    Args:
        model: A transformers model, with or without an adapter of PEFT around it.

    Returns:
        16 hexadecimal characters; None where this process does not hold all weights (sharded ones).
    """
    import torch

    digest = hashlib.sha256()
    for name, values in sorted(model.named_parameters()):
        if "lora_" in name:
            continue
        if values.is_meta or not values.numel():
            return None
        plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
        numbers = values.detach().flatten()[:_SAMPLED].to(torch.bfloat16).view(torch.int16).cpu().numpy()
        digest.update(f"{plain}\x1f{tuple(values.shape)}\x1f".encode() + numbers.tobytes())
    return digest.hexdigest()[:16]


def note_base(adapter_dir: Path, source: str, fingerprint: str | None) -> None:
    """Write beside an adapter which base model it was trained on.

    Args:
        adapter_dir: The adapter's folder.
        source: Name of the base model.
        fingerprint: See :func:`base_fingerprint`; None notes nothing.
    """
    if fingerprint is not None:
        text = json.dumps({"source": source, "fingerprint": fingerprint}, indent=2)
        (adapter_dir / _NOTE).write_text(text + "\n", encoding="utf-8")


def load_adapter(model: Any, adapter_dir: Path, source: str, *, trainable: bool = False, autocast: bool = True) -> Any:
    """Put an adapter on the base model it was trained on.

    Args:
        model: The base model.
        adapter_dir: Folder of the adapter.
        source: Name of the base model, for errors.
        trainable: Whether it is to be trained further.
        autocast: Whether a half-precision adapter is held in float32, as PEFT does.

    Returns:
        A PEFT model.

    Raises:
        ClarilmError: It was trained on another base model: its note says so, or its shapes do not fit. An adapter
            without a note is taken if it fits.
    """
    from peft import PeftModel

    _check_note(model, adapter_dir, source)
    try:
        return PeftModel.from_pretrained(
            model, str(adapter_dir), is_trainable=trainable, autocast_adapter_dtype=autocast
        )
    except (RuntimeError, ValueError) as error:  # sizes that do not match; layers that are not there
        said = " ".join(str(error).split())[:300]
        raise ClarilmError(
            f"The adapter in {adapter_dir} does not fit the base model '{source}': {said} Set base_model.source to "
            "the model it was trained on, or train it again."
        ) from error


def checked_rank(folder: Path, source: str) -> int:
    """Give the rank of an adapter, which must be one for this base model.

    Args:
        folder: The adapter's.
        source: Name of the base model it is to be used on.

    Returns:
        The rank.

    Raises:
        ClarilmError: There is no adapter, or it was trained on another base model.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        trained_on, rank = config["base_model_name_or_path"], int(config["r"])
    except (OSError, ValueError, KeyError) as error:
        raise ClarilmError(f"There is no adapter in {folder}: train clarilm_sft_adapter first.") from error
    if trained_on != source:
        raise ClarilmError(
            f"The adapter in {folder} was trained on {trained_on}, and base_model.source is {source}. Train "
            "the adapter again on this base model, or set base_model.source to the other one."
        )
    return rank


def _check_note(model: Any, adapter_dir: Path, source: str) -> None:
    try:
        note = json.loads((adapter_dir / _NOTE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except ValueError as error:
        raise ClarilmError(f"{adapter_dir / _NOTE} cannot be read ({error}); train this adapter again.") from error
    found = base_fingerprint(model)
    if found != note["fingerprint"]:
        raise ClarilmError(
            f"The adapter in {adapter_dir} was trained on the base model '{note['source']}' (weights "
            f"{note['fingerprint']}), and base_model.source is '{source}' (weights {found}). Set it to the model the "
            "adapter was trained on, or train the adapter again."
        )
