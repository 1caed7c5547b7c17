import random

from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.chat.limits import SUCCESSES_PER_INCREASE, AdaptiveLimit, TokenBucket

ROUND = 0.2  # seconds that a request takes in the simulations


def work_off(bucket: TokenBucket, wishes: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Take amounts as early as allowed, each some seconds after the one before; give the times."""
    now, taken = 1000.0, []
    for pause, amount in wishes:
        now = max(now + pause, bucket.ready_at(now + pause))
        bucket.take(amount, now)
        taken.append((now, amount))
    return taken


@given(
    st.floats(1, 1e5),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 5000)), min_size=1, max_size=40),
)
def test_over_any_window_no_more_is_taken_than_the_rate_a_burst_and_one_taking(per_minute, wishes):
    taken = work_off(TokenBucket(per_minute), wishes)
    burst, largest = max(1.0, per_minute / 60), max(amount for _, amount in taken)
    for first, (since, _) in enumerate(taken):
        total = 0.0
        for until, amount in taken[first:]:
            total += amount
            assert total <= (until - since) * per_minute / 60 + burst + largest + 1e-3


@given(st.floats(1, 1e5), st.lists(st.floats(0.1, 100), min_size=1, max_size=20))
def test_a_taking_is_never_put_off_longer_than_what_is_owed_takes(per_minute, amounts):
    taken = work_off(TokenBucket(per_minute), [(0.0, amount) for amount in amounts])
    assert taken[-1][0] - taken[0][0] <= sum(amounts[:-1]) * 60 / per_minute + 1e-3 * len(amounts)


def test_requests_per_minute_are_spread_over_the_minute():
    times = [at - 1000 for at, _ in work_off(TokenBucket(30), [(0.0, 1.0)] * 4)]
    assert [round(at, 2) for at in times] == [0, 0, 2, 4]


def test_what_was_reserved_too_much_is_given_back():
    bucket = TokenBucket(60)
    bucket.take(11, 0.0)
    assert round(bucket.ready_at(0.0)) == 10
    bucket.take(-8, 0.0)
    assert round(bucket.ready_at(0.0)) == 2


def test_what_is_given_back_does_not_gather():
    bucket = TokenBucket(60)
    bucket.take(-1000, 0.0)
    assert bucket.ready_at(1.0) == 1.0
    bucket.take(2, 1.0)
    assert bucket.ready_at(1.0) > 1.9


def test_no_limit_is_no_wait():
    bucket = TokenBucket(None)
    bucket.take(1e9, 0.0)
    assert bucket.ready_at(0.0) == 0.0


def test_a_429_takes_half_of_their_share_away_once_for_all_that_were_on_their_way():
    limit = AdaptiveLimit(64)
    for _ in range(40):
        limit.throttled(sent_at=0.0, now=1.0)
    assert limit.current == 62
    limit.throttled(sent_at=1.5, now=2.0)
    assert limit.current == 37


def test_an_endpoint_that_refuses_everything_is_asked_for_one_at_a_time():
    sent = simulate(AdaptiveLimit(256), 1.0, 20)
    assert sent[:4] == [256, 250, 125, 62]
    assert sent[-8:] == [1] * 8


def test_successes_give_one_back_each_and_never_more_than_configured():
    limit = AdaptiveLimit(8)
    for _ in range(40):
        limit.throttled(sent_at=0.0, now=1.0)
    limit.throttled(sent_at=1.5, now=2.0)
    reduced = limit.current
    for _ in range(SUCCESSES_PER_INCREASE):
        limit.succeeded()
    assert limit.current == reduced + 1
    for _ in range(100 * SUCCESSES_PER_INCREASE):
        limit.succeeded()
    assert limit.current == 8


def simulate(limit: AdaptiveLimit, refused: "list[int] | float", rounds: int) -> list[int]:
    """Send rounds of requests; ``refused``: places of the endpoint, or the share that it refuses at random."""
    draw, sent = random.Random(1), []
    for number in range(rounds):
        now, places = number * ROUND, limit.current
        sent.append(places)
        for place in range(places):
            over = draw.random() < refused if isinstance(refused, float) else place >= refused[0]
            if over:
                limit.throttled(sent_at=now, now=now + ROUND / 2)
            else:
                limit.succeeded()
    return sent


def test_an_endpoint_with_fewer_places_is_found_and_kept_close_to():
    sent = simulate(AdaptiveLimit(64), [8], 400)
    assert max(sent[50:]) <= 11
    assert sum(sent[50:]) / 350 >= 7


def test_a_few_429s_at_random_do_not_slow_an_endpoint_down():
    sent = simulate(AdaptiveLimit(16), 0.05, 200)
    assert sum(sent[20:]) / 180 >= 13
