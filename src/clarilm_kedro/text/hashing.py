"""Identifiers and random numbers that depend on content and seed only, never on row order."""

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

#: Between the parts of an identity.
SEPARATOR = "\x1f"


def stable_id(*parts: object, length: int = 16) -> str:
    """Name a row by its content.

    Args:
        *parts: Values whose ``str`` form makes up the identity; their boundaries count.
        length: Number of hexadecimal characters to keep.

    Returns:
        The first ``length`` characters of the SHA-256 over the parts.
    """
    joined = SEPARATOR.join(str(part) for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def stable_unit(seed: int, *parts: object) -> float:
    """Draw a number in [0, 1) that depends on the seed and the parts only."""
    return int(stable_id(seed, *parts, length=13), 16) / 16**13


def stable_seed(*parts: object) -> int:
    """Give a seed of 28 bits that depends on the parts only, so that a seed added to it still has 32."""
    return int(stable_id(*parts, length=7), 16)


def stable_order(items: Iterable[T], seed: int, key: Callable[[T], object]) -> list[T]:
    """Shuffle items in an order that does not depend on the order they came in.

    Args:
        items: What to shuffle.
        seed: The project's seed option.
        key: Gives the identity of an item; items of equal identity keep no defined order.

    Returns:
        The items, ordered by the hash of seed and identity.
    """
    return sorted(items, key=lambda item: stable_id(seed, key(item), length=32))
