import math
from typing import Any

import pytest

from clarilm_kedro.chat.client import Attempt
from clarilm_kedro.chat.lane import FAILURES_IN_A_ROW, REST_SECONDS, Lane, choose
from clarilm_kedro.chat.limits import AdaptiveLimit, TokenBucket
from clarilm_kedro.chat.types import Kind

OK = Attempt(Kind.OK)
DOWN = Attempt(Kind.CONNECTION)


def lane(name: str = "a", *, most: int = 4, rpm: float | None = None, tpm: float | None = None) -> Lane:
    client: Any = None  # nothing is sent
    return Lane(name, client, AdaptiveLimit(most), TokenBucket(rpm), TokenBucket(tpm), 2.0, 900.0)


def ask(each: Lane, attempt: Attempt, now: float, *, estimated: int = 10, used: int = 10) -> None:
    each.sent(estimated, now)
    each.came_back(attempt, sent_at=now, now=now, tokens=used - estimated)


def fail(each: Lane, now: float, times: int = FAILURES_IN_A_ROW) -> None:
    for _ in range(times):
        ask(each, DOWN, now)


def test_no_more_than_allowed_are_on_their_way():
    each = lane(most=2)
    each.sent(1, 0.0)
    assert each.free_at(0.0) == 0.0
    each.sent(1, 0.0)
    assert each.free_at(0.0) == math.inf
    each.came_back(OK, sent_at=0.0, now=1.0, tokens=0)
    assert each.free_at(1.0) == 1.0


@pytest.mark.parametrize(("retry_after", "until"), [(7.0, 7.0), (0.0, 0.0), (300.0, 300.0), (86_400.0, 900.0)])
def test_a_429_pauses_everyone_for_what_the_server_asks_up_to_the_longest_pause(retry_after, until):
    each = lane()
    ask(each, Attempt(Kind.RATE_LIMIT, retry_after=retry_after), 0.0)
    assert each.free_at(0.0) == until


def test_a_429_without_retry_after_pauses_the_longer_the_less_gets_through():
    each = lane()
    pauses = []
    for now in range(0, 400, 10):
        ask(each, Attempt(Kind.RATE_LIMIT), float(now))
        pauses.append(each.free_at(float(now)) - now)
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(2.0 / 25)  # one that the endpoint refuses among many
    assert pauses[10:] == [2.0] * 30  # nothing got through for a while: the whole pause
    ask(each, OK, 400.0)
    ask(each, Attempt(Kind.RATE_LIMIT), 400.0)
    assert 1.4 < each.free_at(400.0) - 400.0 < 2.0  # the share of 429s is still high
    for _ in range(100):
        ask(each, OK, 500.0)
    ask(each, Attempt(Kind.RATE_LIMIT), 500.0)
    assert each.free_at(500.0) - 500.0 < 0.12


def test_a_shorter_pause_does_not_end_a_longer_one():
    each = lane()
    ask(each, Attempt(Kind.RATE_LIMIT, retry_after=60.0), 0.0)
    ask(each, Attempt(Kind.RATE_LIMIT, retry_after=1.0), 1.0)
    assert each.free_at(1.0) == 60.0


def test_requests_per_minute_hold_whatever_the_places():
    each, now, sent = lane(most=100, rpm=60), 0.0, []
    while now < 30:
        each.sent(1, now)
        sent.append(now)
        now = each.free_at(now)
    assert 30 <= len(sent) <= 32


def test_tokens_per_minute_count_what_a_reply_used_not_what_was_expected():
    each = lane(tpm=600)
    ask(each, OK, 0.0, estimated=10, used=110)
    assert round(each.free_at(0.0)) == 10
    each = lane(tpm=600)
    ask(each, OK, 0.0, estimated=110, used=10)
    assert round(each.free_at(0.0)) == 0


def test_the_endpoint_with_the_least_on_its_way_is_preferred():
    busy, idle = lane("a"), lane("b")
    busy.sent(1, 0.0)
    assert choose([busy, idle], 0.0) == (idle, 0.0)
    idle.sent(1, 0.0)
    idle.sent(1, 0.0)
    assert choose([busy, idle], 0.0) == (busy, 0.0)


def test_one_that_fails_five_times_in_a_row_rests_while_another_works():
    bad, good = lane("a"), lane("b", most=1)
    fail(bad, 0.0, FAILURES_IN_A_ROW - 1)
    assert choose([bad, good], 0.0)[0] is bad
    fail(bad, 0.0, 1)
    assert choose([bad, good], 0.0)[0] is good
    good.sent(1, 0.0)
    # Both may be free later: the good one when its request is back, the bad one after its rest.
    assert choose([bad, good], 0.0) == (None, REST_SECONDS)
    assert choose([bad, good], REST_SECONDS)[0] is bad


def test_a_rest_is_over_even_while_the_other_endpoint_is_paused_for_long():
    bad, paused = lane("a"), lane("b")
    fail(bad, 0.0)
    ask(paused, Attempt(Kind.RATE_LIMIT, retry_after=600.0), 0.0)
    assert choose([bad, paused], 0.0) == (None, REST_SECONDS)


def test_after_a_rest_the_first_failure_is_enough_and_a_success_makes_up_for_all():
    bad, good = lane("a"), lane("b")
    fail(bad, 0.0)
    ask(bad, DOWN, REST_SECONDS)
    assert bad.rests(REST_SECONDS)
    ask(bad, OK, 2 * REST_SECONDS)
    fail(bad, 2 * REST_SECONDS, FAILURES_IN_A_ROW - 1)
    assert not bad.rests(2 * REST_SECONDS)
    assert choose([bad, good], 2 * REST_SECONDS)[0] is bad


def test_a_reply_that_concerns_its_row_alone_is_no_failure_of_the_endpoint():
    each = lane()
    for _ in range(2 * FAILURES_IN_A_ROW):
        ask(each, Attempt(Kind.BAD_REQUEST), 0.0)
    assert not each.rests(0.0)


def test_where_all_rest_they_are_asked_all_the_same():
    lanes = [lane("a"), lane("b")]
    for each in lanes:
        fail(each, 0.0)
    assert choose(lanes, 0.0)[0] is lanes[0]


def test_a_request_goes_elsewhere_after_a_failure_even_if_it_has_to_wait():
    bad, good = lane("a"), lane("b", most=1)
    assert choose([bad, good], 0.0, tried="a")[0] is good
    good.sent(1, 0.0)
    assert choose([bad, good], 0.0, tried="a") == (None, math.inf)
    assert choose([bad], 0.0, tried="a")[0] is bad


def test_a_request_does_not_wait_for_a_paused_endpoint_where_the_one_that_failed_it_is_free():
    failed, paused = lane("a"), lane("b")
    ask(failed, DOWN, 0.0)
    ask(paused, Attempt(Kind.RATE_LIMIT, retry_after=600.0), 0.0)
    assert choose([failed, paused], 0.0, tried="a")[0] is failed
