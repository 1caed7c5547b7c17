"""Options of the evaluation pipeline that are not those of a metric."""

from pydantic import Field

from clarilm_kedro.options import Options

ITEM_CLUSTERS = {"benchmark": "str", "item_id": "str", "cluster": "str"}


class BenchmarkOptions(Options):
    """How much of each public benchmark is used."""

    limit: int | None = Field(
        default=None, ge=2, description="Items per public benchmark, drawn by hash within each label; null uses all."
    )
    seed: int = Field(default=7, description="Seed of the draw.")


class DecodingOptions(Options):
    """How replies are generated. The decision comes from P(ask) and a threshold, the text is greedy."""

    max_new_tokens: int = Field(default=64, ge=1, description="Length limit of a reply.")
    batch_size: int = Field(default=16, ge=1, description="Questions per forward pass.")
