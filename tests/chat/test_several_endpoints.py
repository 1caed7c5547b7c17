import pytest
from asking import ask_for, one
from fault_server import Act, FaultServer, Seen, fails

from clarilm_kedro.chat.errors import EndpointUnreachable
from clarilm_kedro.chat.lane import FAILURES_IN_A_ROW
from clarilm_kedro.chat.types import ChatResult


def ask_all(model, number: int) -> list[ChatResult]:
    return list(model.complete([ask_for(str(each)) for each in range(number)], stage="s"))


def test_the_faster_endpoint_gets_more_and_no_request_is_sent_twice(serve, endpoint):
    fast, slow = serve(lambda _: Act(delay=0.01)), serve(lambda _: Act(delay=0.3))
    assert {result.status for result in ask_all(endpoint((slow.url, fast.url), concurrency=2), 60)} == {"ok"}
    assert max((fast.asked + slow.asked).values()) == 1
    assert len(fast.seen) > len(slow.seen) > 0
    assert max(fast.most_at_once, slow.most_at_once) <= 2


def test_idle_endpoints_share_evenly(serve, endpoint):
    servers = [serve(lambda _: Act(delay=0.1)) for _ in range(2)]
    ask_all(endpoint(tuple(server.url for server in servers), concurrency=4), 8)
    assert [len(server.seen) for server in servers] == [4, 4]


def test_rows_complete_where_one_of_two_endpoints_is_down(serve, endpoint, dead_url):
    server = serve(lambda _: Act(delay=0.01))
    results = ask_all(endpoint((dead_url, server.url), concurrency=4, max_attempts=2), 60)
    assert {result.status for result in results} == {"ok"}
    assert len(server.seen) == 60


@pytest.mark.parametrize("first", [True, False])
def test_a_single_row_meets_the_endpoint_that_works(serve, endpoint, dead_url, first):
    server = serve()
    urls = (dead_url, server.url) if first else (server.url, dead_url)
    assert one(endpoint(urls, max_attempts=2), ask_for("q")).status == "ok"


def test_one_that_fails_five_times_in_a_row_rests_while_another_works(serve, endpoint):
    bad, good = serve(lambda _: fails(500)), serve(lambda _: Act(delay=0.02))
    results = ask_all(endpoint((bad.url, good.url), concurrency=4, max_attempts=2), 100)
    assert {result.status for result in results} == {"ok"}
    # Those that were on their way when the fifth failed have failed too.
    assert FAILURES_IN_A_ROW <= len(bad.seen) <= FAILURES_IN_A_ROW + 4
    assert set(good.asked.values()) == {1}


def test_an_endpoint_that_is_paused_gets_nothing_while_the_other_works_on(serve, endpoint):
    def limited(seen: Seen) -> Act:
        return fails(429, retry_after="600") if seen.number == 3 else Act(delay=0.02)

    paused, other = serve(limited), serve(lambda _: Act(delay=0.02))
    results = ask_all(endpoint((paused.url, other.url), concurrency=2), 80)
    assert {result.status for result in results} == {"ok"}
    # The fourth request was told to wait ten minutes; one more may have been on its way.
    assert 4 <= len(paused.seen) <= 5
    assert len(paused.seen) + len(other.seen) == 81


def test_where_all_endpoints_are_down_the_run_stops(endpoint, dead_url):
    with FaultServer() as server:
        pass
    with pytest.raises(EndpointUnreachable, match="base_url"):
        ask_all(endpoint((dead_url, server.url)), 5)
