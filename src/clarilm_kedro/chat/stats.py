"""What a stage asked for, what it took and what it cost."""

import math
from collections import Counter
from dataclasses import dataclass, field

# Latencies are counted in classes 2 % wide, so that percentiles need no more memory for more requests.
_CLASS = math.log(1.02)


@dataclass
class Latencies:
    """Percentiles of seconds, exact to 1 %."""

    _classes: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        """Count a request."""
        self._classes[round(math.log(max(seconds, 1e-4)) / _CLASS)] += 1

    def percentile(self, percent: float) -> float:
        """Give the seconds within which so many percent of the requests came back; 0 where there were none."""
        left = self._classes.total() * percent / 100
        for number, requests in sorted(self._classes.items()):
            left -= requests
            if left <= 0:
                return math.exp(number * _CLASS)
        return 0.0


@dataclass
class StageStats:
    """Counts of one stage of one chat model; they add up over several calls.

    Attributes:
        model: Name of the chat model.
        stage: Name of the stage.
        rows: Rows answered, failures included.
        requests_sent: Requests sent, retries and second askings included.
        store_hits: Rows answered without a request.
        prompt_tokens: Tokens sent, as the server counts them, or estimated where it does not; of answered requests.
        cached_tokens: Of these, tokens billed at the price of the provider's cache.
        completion_tokens: Tokens received, likewise.
        reasoning_tokens: Of these, tokens of thoughts.
        failures: Rows without a usable reply.
        invalid: Replies that were not of the shape asked for.
        cost_usd: US dollars; 0 where the model has no price.
        seconds: Wall clock from the first row to the last.
        kinds: Requests by what became of them.
        latencies: Seconds of each request.
    """

    model: str
    stage: str
    rows: int = 0
    requests_sent: int = 0
    store_hits: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    failures: int = 0
    invalid: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)

    def as_dict(self) -> dict[str, str | int | float]:
        """Give the counts as plain numbers.

        Returns:
            Every attribute; ``latency_p50``, ``latency_p95`` and ``latency_p99`` in seconds, ``invalid_rate`` per
            answered request, and ``requests.<kind>`` for each kind that occurred.
        """
        plain = {name: value for name, value in vars(self).items() if isinstance(value, str | int | float)}
        answered = self.kinds["ok"]
        return {
            **plain,
            **{f"latency_p{percent}": self.latencies.percentile(percent) for percent in (50, 95, 99)},
            "invalid_rate": self.invalid / answered if answered else 0.0,
            **{f"requests.{kind}": number for kind, number in sorted(self.kinds.items())},
        }
