"""MinHash signatures of character n-grams, and the bands under which similar texts meet.

Broder, "On the resemblance and containment of documents" (1997); the signatures are datasketch's.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: Characters per shingle; the field's usual choice for short texts.
SHINGLE = 5
#: datasketch's permutations; a signature means something under its own scheme only.
SCHEME = "affine32"


def shingles(text: str) -> set[str]:
    """Give the character 5-grams of a text; of a shorter one the text itself."""
    return {text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1))}


def signatures(texts: Sequence[str], permutations: int) -> "np.ndarray":
    """Make the MinHash signatures of texts.

    Args:
        texts: Normalised texts.
        permutations: Length of a signature.

    Returns:
        Array uint32 [len(texts), permutations]. The share of equal numbers in two rows estimates the Jaccard
        similarity of the two texts' shingles.
    """
    import numpy as np
    from datasketch import MinHash

    signed = np.empty((len(texts), permutations), dtype=np.uint32)
    for row, text in enumerate(texts):
        sketch = MinHash(num_perm=permutations, scheme=SCHEME)
        sketch.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in shingles(text)])
        signed[row] = sketch.hashvalues
    return signed


def choose_bands(threshold: float, permutations: int, found: float) -> tuple[int, int]:
    """Choose how a signature is cut into bands: as long ones as still find a pair at the threshold.

    Args:
        threshold: Jaccard similarity in (0, 1].
        permutations: Length of a signature.
        found: How likely a pair exactly as similar as the threshold is to share a band, in (0, 1).

    Returns:
        The number of bands, and the length of each. Two texts of similarity s share a band with the probability
        1 - (1 - s^length)^bands, which at the threshold is at least ``found`` where such bands exist.
    """
    for length in range(permutations, 1, -1):
        bands = permutations // length
        if 1 - (1 - threshold**length) ** bands >= found:
            return bands, length
    return permutations, 1
