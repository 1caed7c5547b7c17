"""What a registered model holds: an adapter, which base model it belongs to, a threshold, a card."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.assistant import AssistantSpec
from clarilm_kedro.finetuning.base_model import BaseModelSpec, identity
from clarilm_kedro.finetuning.chat_templates import CHAT_TEMPLATES
from clarilm_kedro.finetuning.jobs import adapter_digest

#: Names of the artifacts inside a registered model.
ADAPTER, CHAT_TEMPLATE, CARD = "adapter", "chat_template", "card"

# Part of the digest: raise it when what is registered of the same adapter is to be another model.
_VERSION = 1


@dataclass(frozen=True)
class AssistantPackage:
    """An assistant with what is told about it.

    Attributes:
        spec: What it is made of; None where there is nothing to register.
        card: The model card, Markdown.
        tags: Facts to search for, such as the teacher.
        reason: Why there is nothing, as a sentence.
    """

    spec: AssistantSpec | None
    card: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def package_digest(spec: AssistantSpec) -> str:
    """Name what a registered model depends on: equal names, equal replies.

    Args:
        spec: What it is made of.

    Returns:
        16 hexadecimal characters.
    """
    parts: dict[str, Any] = {"version": _VERSION, **identity(spec.base_model), "threshold": spec.threshold}
    parts["adapter"] = adapter_digest(spec.adapter) if spec.adapter else None
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def to_model_config(spec: AssistantSpec) -> dict[str, Any]:
    """Write an assistant, without its files, as values that can be overridden when the model is loaded.

    Args:
        spec: What it is made of.

    Returns:
        ``base_model``, ``chat_template``, ``dtype``, ``threshold`` and ``name``.
    """
    base = spec.base_model
    source = str(Path(base.source).expanduser().absolute()) if Path(base.source).expanduser().exists() else base.source
    own = base.chat_template in {*CHAT_TEMPLATES, "model"}
    return {
        "base_model": source,
        "chat_template": base.chat_template if own else CHAT_TEMPLATE,
        "dtype": base.dtype,
        "threshold": spec.threshold,
        "name": spec.name,
    }


def from_model_config(config: Mapping[str, Any], artifacts: Mapping[str, Path], cache_dir: Path) -> AssistantSpec:
    """Read an assistant; the inverse of :func:`to_model_config`.

    Args:
        config: What :func:`to_model_config` wrote, and maybe overrides of it.
        artifacts: Where the files are: ``adapter``, and ``chat_template`` where it is a file.
        cache_dir: Where a GGUF base model is kept as plain weights.

    Returns:
        The assistant.

    Raises:
        ClarilmError: The model holds something else.
    """
    try:
        template = config["chat_template"]
        base = BaseModelSpec(
            source=config["base_model"],
            chat_template=str(artifacts[CHAT_TEMPLATE]) if template == CHAT_TEMPLATE else template,
            dtype=config["dtype"],
            cache_dir=cache_dir,
        )
        return AssistantSpec(base, artifacts[ADAPTER], float(config["threshold"]), str(config["name"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ClarilmError(
            f"This is no model that clarilm_kedro registered: it lacks or misstates {error}. Give the address of one, "
            "such as models:/clarilm@champion."
        ) from error
