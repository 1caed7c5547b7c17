"""What models cost: a dated table that the project keeps, since providers offer none to read."""

import datetime
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from clarilm_kedro.chat.usage import Usage
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.options import Options

_PER = 1_000_000


class Price(Options):
    """Price of a model in US dollars per million tokens."""

    input: float = Field(ge=0, description="tokens sent")
    output: float = Field(ge=0, description="tokens received, thoughts included")
    cached_input: float | None = Field(None, ge=0, description="tokens sent that the provider has in its cache")
    batch_factor: float = Field(1.0, gt=0, le=1, description="share of the price that the Batch API bills")
    date: datetime.date = Field(description="day on which the price was looked up")
    source: str = Field(min_length=1, description="where")

    def cost(self, usage: Usage, *, batch: bool = False) -> float:
        """Give the price of a reply.

        Args:
            usage: Its tokens.
            batch: Whether it came through the Batch API.

        Returns:
            US dollars.
        """
        cached_input = self.input if self.cached_input is None else self.cached_input
        full = (
            (usage.prompt - usage.cached) * self.input + usage.cached * cached_input + usage.completion * self.output
        ) / _PER
        return full * (self.batch_factor if batch else 1.0)


def read_price(path: Path, model: str) -> Price | None:
    """Look a model up.

    Args:
        path: YAML: model id to price.
        model: The id as it is sent to the endpoint.

    Returns:
        Its price; ``None`` where the table has none.

    Raises:
        ClarilmError: The table cannot be read, or the model's entry is wrong.
    """
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ClarilmError(f"The price table {path} cannot be read: {error}.") from error
    if not isinstance(table, dict):
        raise ClarilmError(f"The price table {path} must map model ids to prices.")
    if model not in table:
        return None
    try:
        return Price.model_validate(table[model])
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "its entry"
        raise ClarilmError(f"The price of '{model}' in {path} is wrong: {where}: {problem['msg']}.") from None
