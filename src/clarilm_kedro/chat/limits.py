"""How fast an endpoint may be asked: requests and tokens per minute, and as many at a time as it bears.

The rule for requests at a time is additive increase, multiplicative decrease, with a decrease in proportion to the
share of 429s, as in DCTCP (Alizadeh et al., 2010): a 429 takes half of that share away, once for all that were on their
way by then, and every 25 successes give one back. An endpoint that refuses everything so halves them with each round,
one that refuses a few at random keeps its pace; with a fixed decrease 5 % of 429s took 9 to 13 times the time
(benchmarks/chat_storm.py). All times are those of a monotonic clock.
"""

from dataclasses import dataclass, field

#: Successes that earn one request more at a time.
SUCCESSES_PER_INCREASE = 25

# Weight of the newest outcome in the share of 429s. The share starts at nothing: an endpoint that refuses a whole round
# is known by the next one.
_WEIGHT = 1 / 25


@dataclass(slots=True)
class TokenBucket:
    """A rate per minute; a single taking may be larger than what is there, and is then waited off by the next.

    Attributes:
        per_minute: What flows in; ``None`` sets no limit.
    """

    per_minute: float | None
    _level: float = 0.0
    _at: float | None = None

    def ready_at(self, now: float) -> float:
        """Say when something may be taken: now, or later."""
        if self.per_minute is None:
            return now
        self._refill(now)
        return now if self._level > 0 else now - self._level * 60 / self.per_minute + 1e-6

    def take(self, amount: float, now: float) -> None:
        """Take an amount; a negative one gives back what was reserved too much."""
        if self.per_minute is not None:
            self._refill(now)
            self._level -= amount

    def _refill(self, now: float) -> None:
        # A second's worth may gather: a full minute's would let the first minute have two.
        most = max(1.0, (self.per_minute or 0) / 60)
        gained = most if self._at is None else (now - self._at) * (self.per_minute or 0) / 60
        self._level = min(most, self._level + gained)
        self._at = now


@dataclass(slots=True)
class AdaptiveLimit:
    """Requests at a time.

    Attributes:
        most: The configured number, where it starts.
    """

    most: int
    _current: float = field(init=False)
    _successes: int = 0
    _refused: float = 0.0
    _reduced_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._current = float(self.most)

    @property
    def current(self) -> int:
        """Requests allowed at a time, at least one."""
        return max(1, int(self._current))

    @property
    def refused(self) -> float:
        """Running share of 429s, 0 to 1."""
        return self._refused

    def succeeded(self) -> None:
        """Count a success."""
        self._refused -= _WEIGHT * self._refused
        self._successes += 1
        if self._successes >= SUCCESSES_PER_INCREASE:
            self._successes = 0
            self._current = min(float(self.most), self._current + 1)

    def throttled(self, sent_at: float, now: float) -> None:
        """Take a 429 into account.

        Args:
            sent_at: When the request was sent; one that was on its way at the last reduction says nothing new.
            now: The time.
        """
        self._refused += _WEIGHT * (1 - self._refused)
        if sent_at > self._reduced_at:
            self._current = max(1.0, self._current * (1 - self._refused / 2))
            self._reduced_at = now
