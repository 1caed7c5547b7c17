from pathlib import Path

import pytest
from fault_server import Act, FaultServer, completion
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.chat.budget import Budget
from clarilm_kedro.chat.errors import BudgetExceeded
from clarilm_kedro.chat.types import ChatRequest, Message
from clarilm_kedro.errors import ClarilmError

PRICE = "m-1: {input: 1000, output: 2000, date: 2026-11-01, source: the test}"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yml"
    path.write_text(PRICE)
    return path


def rows(number: int) -> list[ChatRequest]:
    return [ChatRequest(str(each), (Message("user", f"row {each}"),)) for each in range(number)]


def bill(prompt: int, reply: int) -> Act:
    body = completion("x").replace(b'"prompt_tokens": 11', b'"prompt_tokens": %d' % prompt)
    return Act(body.replace(b'"completion_tokens": 7', b'"completion_tokens": %d' % reply), delay=0.01)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=50), st.floats(0.1, 10))
def test_no_more_is_spent_than_the_limit_whatever_comes_back_when(requests, limit):
    budget, on_their_way = Budget(), []
    for most, share in requests:
        if budget.reserve(most, limit):
            on_their_way.append((most, most * share))
        elif on_their_way:
            budget.settle(*on_their_way.pop(0))
    assert budget.spent + budget.reserved <= limit + 1e-9
    while on_their_way:
        budget.settle(*on_their_way.pop())
    assert budget.spent <= limit + 1e-9
    assert (budget.reserved, budget.on_their_way) == (0.0, 0)


def test_nothing_is_set_aside_where_there_is_not_enough():
    budget = Budget()
    assert not budget.reserve(2, 1)
    assert (budget.reserved, budget.on_their_way) == (0, 0)
    assert budget.reserve(2, None)


@pytest.mark.parametrize("reply", [50, 5])
def test_a_run_stops_before_the_budget_is_overdrawn_and_not_long_before(serve, endpoint, prices, reply):
    """Replies that fill max_tokens, 50, and replies ten times shorter; $0.011 to $0.111 each of $2."""
    server = serve(lambda _: bill(11, reply))
    model = endpoint(server.url, prices=prices, budget_usd=2.0, max_tokens=50, concurrency=16)
    results = []
    with pytest.raises(BudgetExceeded, match=r"Stage s \(chat model 'm-1'\) stops: .*Raise budget_usd") as caught:
        results.extend(model.complete(rows(500), stage="s"))
    each = (11 * 1000 + reply * 2000) / 1e6
    spent = len(server.seen) * each
    assert spent <= 2.0
    # What is left would not pay for the worst that the next one may cost: 200 bytes sent, 50 tokens received.
    assert spent > 2.0 - (200 * 1000 + 50 * 2000) / 1e6 - each
    assert f"${spent:.2f} of the budget of $2" in str(caught.value)


def test_the_next_run_goes_on_where_the_money_ran_out(serve, endpoint, prices):
    server = serve(lambda _: bill(11, 50))
    model = endpoint(server.url, prices=prices, budget_usd=1.0, max_tokens=50)
    with pytest.raises(BudgetExceeded):
        list(model.complete(rows(20), stage="s"))
    model.close()
    model = endpoint(server.url, prices=prices, budget_usd=5.0, max_tokens=50)
    assert {result.status for result in model.complete(rows(20), stage="s")} == {"ok"}
    assert max(server.asked.values()) == 1


def test_models_of_one_store_draw_on_one_budget(serve, endpoint, prices):
    prices.write_text(f"{PRICE}\n{PRICE.replace('m-1', 'm-2')}")
    server = serve(lambda _: bill(11, 50))
    options = {"prices": prices, "budget_usd": 1.0, "max_tokens": 50}
    first, second = (endpoint(server.url, model=name, **options) for name in ("m-1", "m-2"))
    assert len(list(first.complete(rows(5), stage="s"))) == 5
    with pytest.raises(BudgetExceeded, match=r"\$0\.[5-9]"):
        list(second.complete(rows(20), stage="s"))
    assert len(server.seen) * 0.111 <= 1.0


def test_one_request_that_costs_more_than_the_whole_budget_is_not_sent(endpoint, prices):
    with FaultServer() as server:
        model = endpoint(server.url, prices=prices, budget_usd=0.01, max_tokens=50)
        with pytest.raises(BudgetExceeded, match="may cost"):
            list(model.complete(rows(1), stage="s"))
    assert server.seen == []


@pytest.mark.parametrize(("table", "said"), [(None, "`prices` names no table"), ("{}", "has no entry")])
def test_a_budget_needs_a_price(endpoint, tmp_path, table, said):
    path = None
    if table is not None:
        path = tmp_path / "other.yml"
        path.write_text(table)
    model = endpoint("http://127.0.0.1:1/v1", prices=path, budget_usd=1.0)
    with pytest.raises(ClarilmError, match=said):
        list(model.complete(rows(1), stage="s"))
