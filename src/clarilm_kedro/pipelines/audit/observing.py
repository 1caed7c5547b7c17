"""The pipelines' own nodes, observed: what fails is a result, and what a teacher uses is counted.

An audit must run the code that a real run runs. So its nodes are taken out of the pipelines and wrapped, with their
options as they are set, but for ``max_failed_share``: a teacher of which every call fails gets an audit that says so.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from pydantic import BaseModel

from clarilm_kedro.chat.types import ChatModel, ChatRequest, ChatResult
from clarilm_kedro.chat.usage import Usage
from clarilm_kedro.pipelines.audit.schemas import USAGE
from clarilm_kedro.tables import FAILED, table

CHAT_MODELS = ("chat_llm", "reasoning_llm")


def observe(
    pipeline: Pipeline, *, names: Mapping[str, str] | None = None, datasets: Mapping[str, str] | None = None
) -> Pipeline:
    """Wrap every node of a pipeline.

    Args:
        pipeline: Nodes of one of the project's pipelines.
        names: New names of nodes.
        datasets: New names of datasets.

    Returns:
        The same nodes on the renamed datasets, with ``max_failed_share`` at 1. A node that asks a chat model has one
        more output, ``<name of the node>_usage`` (columns of :data:`clarilm_kedro.pipelines.audit.schemas.USAGE`).
    """
    return Pipeline([_observed(node, names or {}, datasets or {}) for node in pipeline.nodes])


class Meter:
    """A chat model that counts what passes through another one.

    Args:
        model: Who answers. Where it has a ``price`` (:class:`clarilm_kedro.chat.endpoint.ChatEndpoint`), replies are
            priced.
    """

    def __init__(self, model: ChatModel) -> None:
        self.name = model.name
        self._model = model
        self._results: list[ChatResult] = []

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        """Let the model answer and keep count."""
        results = self._model.complete(requests, stage=stage)
        try:
            for result in results:
                self._results.append(result)
                yield result
        finally:
            if isinstance(results, Generator):
                results.close()

    def close(self) -> None:
        """Nothing is open here."""

    def usage(self, stage: str, asked: str, rejected: int = 0) -> pd.DataFrame:
        """Sum up.

        Args:
            stage: Name of the stage.
            asked: Catalog name of the chat model.
            rejected: What came, but did not pass the stage's checks.

        Returns:
            One row (columns of USAGE): requests, failed ones, what was rejected, tokens and list price in US dollars of
            the replies used, whether they were bought now or came from the response store; retries are not in it.
            Tokens that a server does not count, and what they cost, are null.
        """
        answered = [result for result in self._results if result.status == "ok"]
        counted = all(result.prompt_tokens is not None for result in answered)
        used = sum(
            (Usage(prompt=each.prompt_tokens or 0, completion=each.completion_tokens or 0) for each in answered),
            Usage(),
        )
        price = getattr(self._model, "price", None)
        row = {
            "stage": stage,
            "asked": asked,
            "model": self.name,
            "calls": len(self._results),
            "failed": len(self._results) - len(answered),
            "rejected": rejected,
            "prompt_tokens": used.prompt if counted else None,
            "completion_tokens": used.completion if counted else None,
            "cost_usd": price.cost(used) if counted and price else None,
        }
        return table([row], USAGE)


def _observed(node: Node, names: Mapping[str, str], datasets: Mapping[str, str]) -> Node:
    name = names.get(node.short_name, node.short_name)
    asked = next((place for place, dataset in enumerate(node.inputs) if dataset in CHAT_MODELS), None)
    outputs = [datasets.get(dataset, dataset) for dataset in node.outputs]
    if asked is not None:
        outputs.append(f"{name}_usage")
    return Node(
        func=_loosened(node.func) if asked is None else _metered(_loosened(node.func), asked, name, node.inputs[asked]),
        inputs=[datasets.get(dataset, dataset) for dataset in node.inputs],
        outputs=outputs if len(outputs) > 1 else outputs[0],
        name=name,
    )


def _loosened(func: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(func)
    def run(*inputs: Any) -> Any:
        return func(*map(_without_limit, inputs))

    return run


def _without_limit(value: Any) -> Any:
    if isinstance(value, BaseModel) and "max_failed_share" in type(value).model_fields:
        return value.model_copy(update={"max_failed_share": 1.0})
    return value


def _metered(func: Callable[..., Any], place: int, stage: str, asked: str) -> Callable[..., Any]:
    @wraps(func)
    def run(*inputs: Any) -> tuple[Any, ...]:
        meter = Meter(inputs[place])
        made = func(*inputs[:place], meter, *inputs[place + 1 :])
        outputs = made if isinstance(made, tuple) else (made,)
        rejected = sum(int((each["kind"] == "rejected").sum()) for each in outputs if set(FAILED) <= set(each.columns))
        return (*outputs, meter.usage(stage, asked, rejected))

    return run
