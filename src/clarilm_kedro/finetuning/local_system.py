"""A model on this machine that is evaluated beside the project's own."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.calibration import DEFAULT_THRESHOLD
from clarilm_kedro.options import Options


class LocalSystem(Options):
    """A base model, an adapter or none, and how it is asked."""

    model: BaseModelSpec = Field(description="The base model.")
    adapter: Path | None = Field(None, description="Folder of a LoRA adapter on it; null takes the model as it is.")
    prompt: Literal["clarilm", "zero_shot"] = Field(
        "clarilm", description="clarilm: the short prompt ClariLM learnt; zero_shot: what the LLM baselines are asked."
    )
    threshold: float = Field(
        DEFAULT_THRESHOLD, ge=0, le=1, description="It asks where P(ask) is at least this, unless decisions are drawn."
    )
