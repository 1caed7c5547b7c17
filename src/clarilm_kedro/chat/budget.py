"""Money: reserved before a request is sent, settled when its reply is there, never more than the limit."""

import threading
from dataclasses import dataclass


@dataclass
class Budget:
    """What the chat models that share a response store have spent since it was opened.

    Attributes:
        spent: US dollars for replies received.
        reserved: US dollars for requests on their way: the most that they can cost.
        on_their_way: Requests that money is set aside for.
    """

    spent: float = 0.0
    reserved: float = 0.0
    on_their_way: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def reserve(self, most: float, limit: float | None) -> bool:
        """Set money aside for a request.

        Args:
            most: US dollars.
            limit: US dollars that may be spent and reserved together; ``None`` sets no limit.

        Returns:
            Whether there was enough left; nothing is set aside where there was not.
        """
        with self._lock:
            if limit is not None and self.spent + self.reserved + most > limit:
                return False
            self.reserved += most
            self.on_their_way += 1
            return True

    def settle(self, most: float, cost: float) -> None:
        """Replace what was set aside for a request by what it cost."""
        with self._lock:
            self.on_their_way -= 1
            # What rounding leaves over must not be held back from the next request.
            self.reserved = self.reserved - most if self.on_their_way else 0.0
            self.spent += cost

    def spend(self, cost: float) -> None:
        """Take money that was spent into account where it was set aside together with other requests' (a batch)."""
        with self._lock:
            self.spent += cost
