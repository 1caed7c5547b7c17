"""Cosines of sentence embeddings: of given pairs, or of every pair of two lists."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from clarilm_kedro.text.embedding import get_embedder

if TYPE_CHECKING:
    import numpy as np

#: Decimals of a cosine: it moves in the seventh with the texts that are embedded in the same batch.
DECIMALS = 4
#: Texts embedded at a time, and rows of a block of cosines.
BATCH = 1_024


def cosines(texts: Sequence[str], pairs: "np.ndarray", model: str) -> "np.ndarray":
    """Give the cosines of pairs; only the texts they name are embedded.

    Args:
        texts: Any texts.
        pairs: Positions, int [pairs, 2].
        model: As for :class:`clarilm_kedro.text.embedding.Embedder`.

    Returns:
        Cosines, float [pairs], rounded to :data:`DECIMALS`.
    """
    import numpy as np

    named, place = np.unique(pairs, return_inverse=True)
    vectors = _embed([texts[at] for at in named], model)
    one, other = place.reshape(pairs.shape).T
    found = [
        np.einsum("ij,ij->i", vectors[one[at : at + BATCH]], vectors[other[at : at + BATCH]])
        for at in range(0, len(pairs), BATCH)
    ]
    return np.concatenate([np.empty(0), *found]).round(DECIMALS)


def close_pairs(
    left: Sequence[str], right: Sequence[str], lowest: float, model: str
) -> tuple["np.ndarray", "np.ndarray"]:
    """Find every pair of two lists whose cosine is high enough; all texts are embedded.

    Args:
        left: Texts.
        right: Texts.
        lowest: Cosine from which on a pair is given.
        model: As for :class:`clarilm_kedro.text.embedding.Embedder`.

    Returns:
        Positions in ``left`` and ``right``, int [pairs, 2], and their cosines, float [pairs], rounded.
    """
    import numpy as np

    every = sorted({*left, *right})
    place = {text: at for at, text in enumerate(every)}
    vectors = _embed(every, model)
    columns = vectors[[place[text] for text in right]]
    pairs, scores = [np.empty((0, 2), dtype=np.int64)], [np.empty(0)]
    for start in tqdm(range(0, len(left), BATCH), desc="cosines", unit="block", delay=5, leave=False):
        block = (vectors[[place[text] for text in left[start : start + BATCH]]] @ columns.T).round(DECIMALS)
        rows, others = np.nonzero(block >= lowest)
        pairs.append(np.stack([rows + start, others], axis=1))
        scores.append(block[rows, others])
    return np.concatenate(pairs), np.concatenate(scores)


def _embed(texts: Sequence[str], model: str) -> "np.ndarray":
    """Embed texts, those of a length together, so that a batch is padded little."""
    import numpy as np

    if not texts:
        return np.empty((0, 1), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda at: (len(texts[at]), texts[at]))
    embedder = get_embedder(model)
    starts = tqdm(range(0, len(order), BATCH), desc="embeddings", unit="batch", delay=5, leave=False)
    vectors = np.concatenate([embedder.encode([texts[at] for at in order[start : start + BATCH]]) for start in starts])
    unordered = np.empty_like(vectors)
    unordered[order] = vectors
    return unordered
