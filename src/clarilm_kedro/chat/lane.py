"""One endpoint of a model with what is known about it: its limits, its pauses, what is on its way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clarilm_kedro.chat.client import Attempt, EndpointClient
from clarilm_kedro.chat.limits import AdaptiveLimit, TokenBucket
from clarilm_kedro.chat.types import Kind

#: Failures in a row after which an endpoint rests, if the model has another.
FAILURES_IN_A_ROW = 5
REST_SECONDS = 30.0

# 429s in a row after which one without Retry-After pauses the endpoint for the whole default pause.
_REFUSALS_FOR_A_WHOLE_PAUSE = 10
_FAILURES = frozenset({Kind.CONNECTION, Kind.TIMEOUT, Kind.SERVER, Kind.NOT_JSON})


@dataclass
class Lane:
    """An endpoint.

    Attributes:
        name: Its address.
        client: Sends requests to it.
        at_a_time: Requests at a time.
        requests: Requests per minute.
        tokens: Tokens per minute, as estimated before a request and corrected after it.
        default_pause: Seconds that a 429 without Retry-After pauses it where nothing gets through; where it is one of a
            few, it pauses for their share of that.
        longest_pause: Seconds that a Retry-After may pause it at most.
        in_flight: Requests on their way.
    """

    name: str
    client: EndpointClient
    at_a_time: AdaptiveLimit
    requests: TokenBucket
    tokens: TokenBucket
    default_pause: float
    longest_pause: float
    in_flight: int = 0
    _blocked_until: float = -math.inf
    _resting_until: float = -math.inf
    _failures: int = 0
    _refusals: int = 0

    def free_at(self, now: float) -> float:
        """Say when a request may be sent: now, later, or (infinity) when another one has come back."""
        if self.in_flight >= self.at_a_time.current:
            return math.inf
        return max(now, self._blocked_until, self.requests.ready_at(now), self.tokens.ready_at(now))

    def rests(self, now: float) -> bool:
        """Say whether it failed so often that others are preferred."""
        return now < self._resting_until

    def paused(self, now: float) -> bool:
        """Say whether the server has asked for a pause that is not over."""
        return now < self._blocked_until

    @property
    def rested_at(self) -> float:
        """When its last rest is over."""
        return self._resting_until

    def sent(self, tokens: int, now: float) -> None:
        """Count a request as on its way."""
        self.in_flight += 1
        self.requests.take(1, now)
        self.tokens.take(tokens, now)

    def came_back(self, attempt: Attempt, *, sent_at: float, now: float, tokens: int) -> None:
        """Learn from an outcome.

        Args:
            attempt: What became of the request.
            sent_at: When it was sent.
            now: The time.
            tokens: Tokens that it used more than was estimated; fewer: negative.
        """
        self.in_flight -= 1
        self.tokens.take(tokens, now)
        if attempt.kind is Kind.RATE_LIMIT:
            self._refusals += 1
            self.at_a_time.throttled(sent_at, now)
            wanted = self._pause() if attempt.retry_after is None else attempt.retry_after
            self._blocked_until = max(self._blocked_until, now + min(wanted, self.longest_pause))
        elif attempt.kind in _FAILURES:
            self._failures += 1
            # Not counted anew after a rest: the first failure then is the sixth in a row.
            if self._failures >= FAILURES_IN_A_ROW:
                self._resting_until = now + REST_SECONDS
        else:
            self._failures = self._refusals = 0
            self.at_a_time.succeeded()

    def _pause(self) -> float:
        """Seconds that a 429 without Retry-After pauses the endpoint.

        In proportion to the share of 429s, as the requests at a time are; a few in a row count too, as a share rises
        slowly where one request is asked at a time.
        """
        in_a_row = (self._refusals - 1) / _REFUSALS_FOR_A_WHOLE_PAUSE
        return self.default_pause * min(1.0, max(self.at_a_time.refused, in_a_row))


def choose(lanes: Sequence[Lane], now: float, tried: str = "") -> tuple[Lane | None, float]:
    """Choose where the next request goes: of the endpoints that are free, the one with the least on its way.

    Args:
        lanes: The endpoints.
        now: The time.
        tried: Name of the endpoint that failed the request last. It goes elsewhere now, even if it has to wait for a
            place there: an endpoint that is down is always free, and would use up the request's attempts.

    Returns:
        The endpoint, or None and the time at which one may be free (infinity: when a request has come back). Endpoints
        that rest are asked only where all do.
    """
    awake = [lane for lane in lanes if not lane.rests(now)] or list(lanes)
    fitting = [lane for lane in awake if lane.name != tried and not lane.paused(now)] or awake
    times = [lane.free_at(now) for lane in fitting]
    free = [lane for lane, at in zip(fitting, times, strict=True) if at <= now]
    if free:
        return min(free, key=lambda lane: lane.in_flight / lane.at_a_time.current), now
    return None, min(*times, *(lane.rested_at for lane in lanes if lane.rests(now)), math.inf)
