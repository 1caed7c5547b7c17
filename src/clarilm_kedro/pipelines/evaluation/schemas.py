"""Options of the evaluation pipeline that are not those of a metric."""

from typing import Literal, Self

from pydantic import Field, model_validator

from clarilm_kedro.options import Options

ITEM_CLUSTERS = {"benchmark": "str", "item_id": "str", "cluster": "str"}


class BenchmarkOptions(Options):
    """How much of each public benchmark is used."""

    limit: int | None = Field(
        default=None, ge=2, description="Items per public benchmark, drawn by hash within each label; null uses all."
    )
    seed: int = Field(default=7, description="Seed of the draw.")


class DecodingOptions(Options):
    """How decisions are made and replies are generated; the paper's section 4.5 draws at 0.5 and 0.9."""

    max_new_tokens: int = Field(default=64, ge=1, description="Length limit of a reply of a model on this machine.")
    batch_size: int = Field(default=16, ge=1, description="Questions per forward pass.")
    temperature: float = Field(default=0.0, ge=0, description="0 takes the likeliest token; the paper has 0.5.")
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Only the likeliest tokens up to this mass are drawn from; the paper: 0.9."
    )
    draws: int = Field(
        default=1, ge=1, description="Replies per item, with the seeds 0, 1, ...; more than 1 needs a temperature."
    )
    decision: Literal["threshold", "sampled"] = Field(
        default="threshold",
        description="How a model on this machine decides: P(ask) against its threshold, or drawn from P(ask) as a "
        "reply is drawn (at temperature 0: whether P(ask) is at least 1/2).",
    )

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if self.temperature == 0 and self.draws > 1:
            raise ValueError(f"{self.draws} draws at temperature 0 are {self.draws} times the same: set draws to 1")
        return self


class PromptedOptions(Options):
    """When the stage that asks chat endpoints stops the run."""

    max_failed_share: float = Field(
        default=0.02, ge=0, le=1, description="Largest accepted share of failed calls, of every system by itself."
    )
