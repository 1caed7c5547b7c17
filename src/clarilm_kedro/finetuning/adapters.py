"""Adapter folders: what they say about themselves."""

import json
from pathlib import Path

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec


def checked_rank(folder: Path, base: BaseModelSpec) -> int:
    """Give the rank of an adapter, which must be one for this base model.

    Args:
        folder: The adapter's.
        base: The base model it is to be used on.

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
    if trained_on != base.source:
        raise ClarilmError(
            f"The adapter in {folder} was trained on {trained_on}, and base_model.source is {base.source}. Train "
            "the adapter again on this base model, or set base_model.source to the other one."
        )
    return rank
