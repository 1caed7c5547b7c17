"""What a stage would ask for and what that would cost, without asking: for ``kedro clarilm plan``."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from clarilm_kedro.chat.store_tools import mean_reply_tokens, read_only
from clarilm_kedro.chat.types import ChatRequest, ChatResult
from clarilm_kedro.chat.usage import Usage, estimate_tokens
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.options import Options

if TYPE_CHECKING:
    from clarilm_kedro.chat.endpoint import ChatEndpoint


class RowsAssumption(Options):
    """How many rows a dataset will have that no run has made yet."""

    of: dict[str, float] = Field(default_factory=dict, description="other datasets, and rows here per row there")
    rows: int | None = Field(None, ge=0, description="rows, whatever the others have")
    at_most: int | None = Field(None, ge=0, description="a limit that the pipeline sets; null sets none")


class StageAssumption(Options):
    """What a stage will ask for whose inputs are not there yet."""

    asks_as: str = Field(description="the stage's name in the response store")
    per: str = Field(description="dataset whose rows are asked about")
    calls_per_row: float = Field(1.0, gt=0, description="requests per row of it")
    prompt_tokens: int = Field(ge=1, description="tokens of a prompt")
    completion_tokens: int = Field(ge=1, description="tokens of a reply, thoughts included")


class PlanOptions(Options):
    """Assumptions of a plan; used only where the real thing is not there."""

    datasets: dict[str, RowsAssumption]
    stages: dict[str, StageAssumption]


@dataclass(frozen=True)
class StagePlan:
    """What one stage would take.

    Attributes:
        stage: Name of the node.
        model: Name of the chat model.
        calls: Requests to be sent.
        stored: Requests that the response store answers.
        prompt_tokens: Tokens of the prompts to be sent, from their bytes.
        completion_tokens: Tokens of their replies: as long as the model's replies were so far, else as assumed.
        cost_usd: US dollars; ``None`` where the model has no price.
        basis: ``exact`` where the prompts themselves were counted, else what the numbers are derived from.
    """

    stage: str
    model: str
    calls: int
    stored: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    basis: str


class CountingModel:
    """A chat model that counts what it is asked and answers nothing.

    Args:
        endpoint: The model that would answer; neither it nor its store is opened for writing.
    """

    def __init__(self, endpoint: "ChatEndpoint") -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._calls: set[str] = set()
        self._stored: set[str] = set()
        self._prompt_tokens = 0
        self._asked_as = ""

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        """Count requests; yields nothing."""
        self._asked_as = stage
        with _reading(self._endpoint) as store:
            for request in requests:
                max_tokens = request.max_tokens or self._endpoint.options.max_tokens
                body = self._endpoint.body(request.messages, request, max_tokens)
                key = self._endpoint.key(body, request)
                if key in self._calls or key in self._stored:
                    continue
                if store.holds(key):
                    self._stored.add(key)
                    continue
                self._calls.add(key)
                self._prompt_tokens += estimate_tokens(
                    sum(len(message["content"].encode()) for message in body["messages"])
                )
        yield from ()

    def close(self) -> None:
        """Nothing is open."""

    def plan(self, stage: str, assumed: StageAssumption | None) -> StagePlan:
        """Sum up what was asked.

        Args:
            stage: Name of the stage.
            assumed: For the length of replies, where the model has given none yet.

        Returns:
            The plan of the stage; exact but for the length of replies.
        """
        reply_tokens, said = _reply_tokens(self._endpoint, self._asked_as, assumed)
        calls = len(self._calls)
        usage = Usage(prompt=self._prompt_tokens, completion=round(calls * reply_tokens))
        return _plan(self._endpoint, stage, calls, len(self._stored), usage, f"exact; {said}" if calls else "exact")


def estimate_stage(
    endpoint: "ChatEndpoint", stage: str, options: PlanOptions, known_rows: Mapping[str, int]
) -> StagePlan:
    """Estimate a stage whose inputs are not there yet.

    Args:
        endpoint: The model that would answer.
        stage: Name of the stage.
        options: Assumptions.
        known_rows: Rows of the datasets that are there.

    Returns:
        Its plan; the basis names the assumptions.

    Raises:
        ClarilmError: There is no assumption for the stage.
    """
    assumed = options.stages.get(stage)
    if assumed is None:
        raise ClarilmError(
            f"The inputs of stage {stage} are not there, and plan.stages in conf/base/chat/parameters.yml assumes "
            "nothing about it."
        )
    rows = _rows(assumed.per, options, known_rows)
    calls = round(rows * assumed.calls_per_row)
    reply_tokens, said = _reply_tokens(endpoint, assumed.asks_as, assumed)
    usage = Usage(prompt=calls * assumed.prompt_tokens, completion=round(calls * reply_tokens))
    basis = f"estimate: {rows:,} {assumed.per} assumed, {assumed.prompt_tokens} tokens a prompt; {said}"
    return _plan(endpoint, stage, calls, 0, usage, basis)


def _rows(dataset: str, options: PlanOptions, known: Mapping[str, int]) -> int:
    if dataset in known:
        return known[dataset]
    assumed = options.datasets.get(dataset)
    if assumed is None:
        raise ClarilmError(
            f"The dataset '{dataset}' is not there, and plan.datasets in conf/base/chat/parameters.yml assumes nothing "
            "about it."
        )
    rows = assumed.rows
    if rows is None:
        rows = round(sum(_rows(name, options, known) * share for name, share in assumed.of.items()))
    return rows if assumed.at_most is None else min(rows, assumed.at_most)


def _reply_tokens(endpoint: "ChatEndpoint", stage: str, assumed: StageAssumption | None) -> tuple[float, str]:
    with _reading(endpoint) as store:
        mean = store.mean_reply_tokens(endpoint.options.model, stage)
    if mean is not None:
        return mean, f"replies as long as so far, {mean:.0f} tokens"
    if assumed is not None:
        return assumed.completion_tokens, f"replies of {assumed.completion_tokens} tokens assumed"
    most = endpoint.options.max_tokens
    if most is None:
        raise ClarilmError(f"Nothing is known about the length of replies in stage {stage}: set max_tokens.")
    return most, f"replies of max_tokens ({most}) assumed"


def _plan(endpoint: "ChatEndpoint", stage: str, calls: int, stored: int, usage: Usage, basis: str) -> StagePlan:
    price = endpoint.price
    cost = price.cost(usage) if price else None
    return StagePlan(stage, endpoint.name, calls, stored, usage.prompt, usage.completion, cost, basis)


class _Reading:
    """A store that may not be there."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    def holds(self, key: str) -> bool:
        if self._connection is None:
            return False
        return self._connection.execute("SELECT 1 FROM responses WHERE key = ?", (key,)).fetchone() is not None

    def mean_reply_tokens(self, model: str, stage: str) -> float | None:
        return None if self._connection is None else mean_reply_tokens(self._connection, model, stage)


@contextmanager
def _reading(endpoint: "ChatEndpoint") -> Iterator[_Reading]:
    path = endpoint.options.store
    if not path.is_file():
        yield _Reading(None)
        return
    with read_only(path) as connection:
        yield _Reading(connection)
