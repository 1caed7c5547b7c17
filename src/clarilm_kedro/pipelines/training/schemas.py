"""Options of the training pipeline."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from clarilm_kedro.finetuning.calibration import Objective
from clarilm_kedro.finetuning.options import DpoOptions, OnTooFew, SftOptions
from clarilm_kedro.options import Options

#: The trained systems of the paper's Table 2.
Variant = Literal["sft_in3", "sft_ql", "sft_full", "clarilm_sft", "clarilm"]

VARIANTS: tuple[Variant, ...] = get_args(Variant)


def system_of(variant: Variant) -> str:
    """Name the system that a variant is in the results."""
    return variant.replace("_", "-")


class VariantOptions(Options):
    """Which variants are trained and evaluated."""

    train: list[Variant] = Field(["clarilm_sft", "clarilm"], description="Names of variants, as a list or with spaces.")
    in3_rows: Literal["clean", "published"] = Field(
        "clean", description="published keeps the IN3 training tasks that are test tasks too; the report says so."
    )

    @field_validator("train", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        """``kedro run --params`` splits at commas, so that names are given with spaces there."""
        return given.split() if isinstance(given, str) else given

    @model_validator(mode="after")
    def _start(self) -> "VariantOptions":
        if "clarilm" in self.train and "clarilm_sft" not in self.train:
            raise ValueError("clarilm starts from clarilm_sft: list clarilm_sft too")
        return self


class ClarilmSftOptions(SftOptions):
    """Supervised fine-tuning of ClariLM (Eq. 5)."""

    ask_rate: float | None = Field(
        None, gt=0, lt=1, description="Share of asking rows to sample the training rows to; null takes them all."
    )

    min_examples: int = Field(20, ge=1, description="Fewer usable rows than this train nothing.")
    on_too_few: OnTooFew = Field("fail", description="skip records it and goes on; fail stops the run.")


class ClarilmDpoOptions(DpoOptions):
    """Preference optimisation of ClariLM (Eq. 6)."""

    min_examples: int = Field(20, ge=1, description="Fewer usable pairs than this train nothing.")
    on_too_few: OnTooFew = Field("fail", description="skip records it and goes on; fail stops the run.")


class CalibrationOptions(Options):
    """How the threshold on P(ask) is fitted, alike for every system."""

    objective: Objective = Field("f1_macro", description="What the threshold maximises on the validation rows.")
    cost_missed: float = Field(2.0, ge=0, description="Price of a needed question that is not asked, for cost.")
    cost_needless: float = Field(1.0, ge=0, description="Price of a needless question, for cost.")
    min_examples: int = Field(20, ge=2, description="Fewer validation rows than this fit nothing: 0.5 is used.")
    on_too_few: OnTooFew = Field("skip", description="skip records it and goes on; fail stops the run.")
    batch_size: int = Field(32, ge=1, description="Questions per forward pass.")
