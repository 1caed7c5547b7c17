"""Pairs of texts that may be similar, proposed by the bands of their MinHash signatures."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from clarilm_kedro.text.minhash import choose_bands, signatures

if TYPE_CHECKING:
    import numpy as np

#: Standard errors by which an estimate may fall short of the lowest similarity wanted before a pair is given up. Four
#: would do for ideal permutations; those of short texts stray more.
MARGIN = 6
#: Pairs looked at at a time, and texts signed at a time.
BLOCK = 500_000
BATCH = 2_000


def propose_pairs(
    texts: Sequence[str],
    left: "np.ndarray",
    right: "np.ndarray | None",
    wanted: Sequence[tuple[float, float]],
    permutations: int,
) -> "np.ndarray":
    """Propose pairs that may be similar.

    Whether a pair is proposed depends on its two texts only. A template that n texts share costs the square of n where
    the texts themselves are not similar enough: all of them meet in a band.

    Args:
        texts: Normalised texts.
        left: Positions of the texts on the left side of a pair.
        right: Positions of those on the right side; null proposes pairs within ``left``, the lower position first.
        wanted: Pairs of a Jaccard similarity and the probability that two texts exactly that similar are proposed.
        permutations: Length of a signature.

    Returns:
        Array int64 [pairs, 2] of positions, ordered, each pair once, no text with itself.
    """
    import numpy as np

    bands, length = max((choose_bands(each, permutations, sure) for each, sure in wanted), key=lambda each: each[0])
    lowest = min(each for each, _ in wanted)
    enough = lowest - MARGIN * (lowest * (1 - lowest) / permutations) ** 0.5
    signed = _sign(texts, permutations)
    found = [np.empty(0, dtype=np.int64)]
    for band in tqdm(range(bands), desc="similar texts", unit="band", delay=5, leave=False):
        keys = _keys(signed[:, band * length : (band + 1) * length])
        for lefts, rights in _meeting(keys, left, left if right is None else right):
            fit = lefts < rights if right is None else lefts != rights
            one, other = lefts[fit], rights[fit]
            alike = (signed[one] == signed[other]).mean(axis=1) >= enough
            found.append(one[alike] * len(texts) + other[alike])
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(len(texts), 1)), axis=1)


def _sign(texts: Sequence[str], permutations: int) -> "np.ndarray":
    import numpy as np

    starts = tqdm(range(0, len(texts), BATCH), desc="signatures", unit="batch", delay=5, leave=False)
    parts = [signatures(texts[start : start + BATCH], permutations) for start in starts]
    return np.concatenate(parts) if parts else np.empty((0, permutations), dtype=np.uint32)


def _keys(band: "np.ndarray") -> "np.ndarray":
    """Number the distinct rows of a band, so that equal rows have equal numbers."""
    import numpy as np

    rows = np.ascontiguousarray(band)
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return np.unique(whole, return_inverse=True)[1]


def _meeting(
    keys: "np.ndarray", left: "np.ndarray", right: "np.ndarray"
) -> Iterator[tuple["np.ndarray", "np.ndarray"]]:
    """Give all pairs of a left and a right text with the same key, in blocks of the left and the right texts."""
    import numpy as np

    ordered = right[np.argsort(keys[right], kind="stable")]
    first = np.searchsorted(keys[ordered], keys[left], side="left")
    counts = np.searchsorted(keys[ordered], keys[left], side="right") - first
    ends = np.cumsum(counts)
    start = 0
    while start < len(left):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
        each = counts[start:stop]
        offsets = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
        yield np.repeat(left[start:stop], each), ordered[np.repeat(first[start:stop], each) + offsets]
        start = stop
