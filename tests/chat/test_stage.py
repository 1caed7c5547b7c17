from collections.abc import Iterable, Iterator

import pandas as pd
import pytest

from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.chat.stage import accept, ask
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Kind, Message
from clarilm_kedro.errors import ClarilmError

ROWS = [ChatRequest(row_id, (Message("user", row_id),)) for row_id in ("c", "a", "x2", "x1")]


class Scripted:
    """A chat model that fails rows whose id begins with x."""

    name = "scripted"

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        for request in requests:
            if request.row_id.startswith("x"):
                yield ChatResult(
                    request.row_id, "k", "failed", text="y" * 900, attempts=2, error_kind=Kind.EMPTY, error="No text."
                )
            else:
                yield ChatResult(request.row_id, "k", "ok", text=request.row_id.upper())

    def close(self) -> None:
        pass


def test_results_and_failures_are_told_apart_and_ordered():
    answered, failures = ask(ROWS, Scripted(), stage="s")
    assert [(row_id, result.text) for row_id, result in answered.items()] == [("a", "A"), ("c", "C")]
    assert failures.drop(columns="cost_usd").to_dict("records") == [
        {
            "row_id": row_id,
            "stage": "s",
            "kind": "empty",
            "error": "No text.",
            "attempts": 2,
            "model": "scripted",
            "excerpt": "y" * 500,
        }
        for row_id in ("x1", "x2")
    ]


def test_the_table_of_failures_is_typed_when_empty():
    _, none = ask(ROWS[:2], Scripted(), stage="s")
    _, some = ask(ROWS, Scripted(), stage="s")
    assert none.empty
    assert list(none.dtypes) == list(some.dtypes)
    assert list(none.columns) == ["row_id", "stage", "kind", "error", "attempts", "cost_usd", "model", "excerpt"]


def test_row_ids_must_be_unique():
    with pytest.raises(ClarilmError, match="same row_id"):
        ask([ROWS[0], ROWS[0]], Scripted(), stage="s")


def failures(*kinds: str) -> pd.DataFrame:
    return pd.DataFrame({"kind": kinds, "error": [f"It was {kind}." for kind in kinds]})


@pytest.mark.parametrize(("n_ok", "kinds", "share"), [(0, [], 0.0), (98, ["a", "b"], 0.02), (0, ["a"], 1.0)])
def test_few_enough_failures_are_accepted(n_ok, kinds, share):
    accept(n_ok, failures(*kinds), stage="s", max_failed_share=share)


def test_too_many_failures_stop_the_run_and_say_what_they_were():
    with pytest.raises(TooManyFailures) as caught:
        accept(97, failures("b", "a", "a"), stage="facets", max_failed_share=0.02)
    for words in ["facets", "3 of 100", "0.02", "(2 rows, a): It was a.", "'facets_failed'"]:
        assert words in str(caught.value)
    with pytest.raises(TooManyFailures, match="'clarifications_failed'"):
        accept(0, failures("a"), stage="extraction", max_failed_share=0, dataset="clarifications_failed")
