from collections.abc import Iterable
from pathlib import Path

import pytest

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.chat.plan import CountingModel, PlanOptions, RowsAssumption, StageAssumption, estimate_stage
from clarilm_kedro.chat.types import ChatRequest, Message
from clarilm_kedro.errors import ClarilmError

STAGE = StageAssumption(asks_as="s", per="questions", calls_per_row=0.5, prompt_tokens=100, completion_tokens=10)
OPTIONS = PlanOptions(
    datasets={
        "questions": RowsAssumption(of={"sessions": 0.2, "others": 1.0}),
        "sessions": RowsAssumption(rows=1000, at_most=500),
        "others": RowsAssumption(rows=10),
        "half": RowsAssumption(of={"nowhere": 1.0}),
    },
    stages={"ask": STAGE, "lost": STAGE.model_copy(update={"per": "half"})},
)


def rows(texts: Iterable[str]) -> list[ChatRequest]:
    return [ChatRequest(text, (Message("user", text),)) for text in texts]


def priced(url: str, tmp_path: Path) -> ChatEndpoint:
    prices = tmp_path / "prices.yml"
    prices.write_text("m: {input: 1000000, output: 2000000, date: 2026-01-01, source: here}\n")
    return ChatEndpoint(
        ChatEndpointOptions(model="m", base_url=url, store=tmp_path / "s.sqlite", prices=prices, max_tokens=50)
    )


def test_what_is_stored_or_asked_twice_is_not_counted_again(serve, tmp_path: Path) -> None:
    server = serve()
    model = priced(server.url, tmp_path)
    list(model.complete(rows(["one", "two"]), stage="s"))
    counting = CountingModel(model)
    assert list(counting.complete(rows(["one", "three!!!", "three!!!", "fourfour"]), stage="s")) == []
    plan = counting.plan("ask", STAGE)
    # Eight bytes are two tokens; the fault server says that its replies have 7.
    assert (plan.calls, plan.stored, plan.prompt_tokens, plan.completion_tokens) == (2, 1, 4, 14)
    assert plan.cost_usd == 4 * 1 + 14 * 2
    assert plan.basis == "exact; replies as long as so far, 7 tokens"
    assert len(server.seen) == 2
    model.close()


def test_nothing_is_made_by_counting(dead_url, tmp_path: Path) -> None:
    model = priced(dead_url, tmp_path)
    counting = CountingModel(model)
    list(counting.complete(rows(["one"]), stage="s"))
    assert counting.plan("ask", STAGE).completion_tokens == STAGE.completion_tokens
    assert counting.plan("ask", None).completion_tokens == 50
    assert [path.name for path in tmp_path.iterdir()] == ["prices.yml"]


def test_what_is_not_there_is_estimated_from_what_is(dead_url, tmp_path: Path) -> None:
    model = priced(dead_url, tmp_path)
    plan = estimate_stage(model, "ask", OPTIONS, {})
    # 500 sessions at most, a fifth of them and 10 others make 110 questions.
    assert (plan.calls, plan.prompt_tokens, plan.completion_tokens) == (55, 5500, 550)
    assert plan.cost_usd == 5500 + 2 * 550
    assert plan.basis.startswith("estimate: 110 questions assumed")
    assert estimate_stage(model, "ask", OPTIONS, {"sessions": 200}).calls == 25
    assert estimate_stage(model, "ask", OPTIONS, {"questions": 8}).calls == 4


def test_a_stage_without_assumptions_is_named(dead_url, tmp_path: Path) -> None:
    model = priced(dead_url, tmp_path)
    with pytest.raises(ClarilmError, match="stage other"):
        estimate_stage(model, "other", OPTIONS, {})
    with pytest.raises(ClarilmError, match="'nowhere'"):
        estimate_stage(model, "lost", OPTIONS, {})


def test_without_a_price_the_cost_is_unknown(dead_url, tmp_path: Path) -> None:
    model = ChatEndpoint(ChatEndpointOptions(model="m", base_url=dead_url, store=tmp_path / "s.sqlite"))
    assert estimate_stage(model, "ask", OPTIONS, {}).cost_usd is None
    counting = CountingModel(model)
    list(counting.complete(rows(["one"]), stage="s"))
    with pytest.raises(ClarilmError, match="set max_tokens"):
        counting.plan("ask", None)
