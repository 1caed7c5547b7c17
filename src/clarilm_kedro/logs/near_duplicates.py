"""First questions that are nearly the same, found in near-linear time by MinHash and locality-sensitive hashing.

Broder, "On the resemblance and containment of documents" (1997). Questions that are equal once normalised are one group
without any hashing. Of the others each gets a signature of its character 5-grams (datasketch); only questions that
share a band of it are compared, each with at most :data:`COMPARED` of a band, so that a band with thousands of
questions ("write an essay about ...") costs no more than one with a few. datasketch's own index gives all of a band,
takes ten times as long, and by default misses two of three pairs at the threshold.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from clarilm_kedro.options import Options
from clarilm_kedro.text.minhash import choose_bands, signatures
from clarilm_kedro.text.normalise import normalise_question

#: More text than this changes no verdict.
READ_CHARS = 4000
#: How likely a pair as similar as the threshold shares a band; those more similar share one more often.
FOUND = 0.9
#: With how many questions of a band a new one is compared, the latest first.
COMPARED = 50


class NearDuplicateOptions(Options):
    """When two first questions count as the same."""

    threshold: float = Field(0.8, gt=0, le=1, description="Jaccard similarity of character 5-grams from which on")
    permutations: int = Field(64, ge=16, le=256, description="length of a signature; longer estimates better")
    workers: int | None = Field(None, ge=1, description="processes that make signatures; null takes every processor")


def sign_batch(batch: Mapping[str, list[Any]], permutations: int) -> tuple[list[str], list[str], np.ndarray]:
    """Make the signatures of a batch of questions.

    Args:
        batch: Lists session_id and first_question.
        permutations: Length of a signature.

    Returns:
        The session ids, the normalised questions and the signatures, uint32 [questions, permutations].
    """
    normalised = [normalise_question(text[:READ_CHARS]) for text in batch["first_question"]]
    return list(batch["session_id"]), normalised, signatures(normalised, permutations)


def group_near_duplicates(
    signed: Iterable[tuple[list[str], list[str], np.ndarray]], options: NearDuplicateOptions
) -> pd.DataFrame:
    """Find near-duplicates among signed questions.

    Args:
        signed: What :func:`sign_batch` gives, ordered by session_id.
        options: Threshold and length of the signatures.

    Returns:
        Columns session_id, near_duplicate_of (the session_id of an earlier question that is the same, or the most
        similar of those compared; it is itself a near-duplicate of none) and similarity (estimated Jaccard similarity,
        1.0 where they are equal once normalised). Questions that are like no earlier one have no row.
    """
    index = _Index(options)
    first_of: dict[str, str] = {}
    found: list[tuple[str, str, float]] = []
    for session_id, text, signature in _one_by_one(signed):
        if (same := first_of.get(text)) is not None:
            found.append((session_id, same, 1.0))
            continue
        best, similarity = index.most_similar(signature)
        if best is not None and similarity >= options.threshold:
            first_of[text] = best
            found.append((session_id, best, similarity))
        else:
            first_of[text] = session_id
            index.add(session_id, signature)
    return pd.DataFrame(found, columns=["session_id", "near_duplicate_of", "similarity"]).astype(
        {"session_id": "str", "near_duplicate_of": "str", "similarity": "float64"}
    )


def _one_by_one(signed: Iterable[tuple[list[str], list[str], np.ndarray]]) -> Iterator[tuple[str, str, np.ndarray]]:
    for batch in signed:
        yield from zip(*batch, strict=True)


class _Index:
    """Signatures, found again by their bands."""

    def __init__(self, options: NearDuplicateOptions) -> None:
        bands, self._length = choose_bands(options.threshold, options.permutations, FOUND)
        self._session_ids: list[str] = []
        self._signatures = np.empty((1024, options.permutations), dtype=np.uint32)
        # Questions of a band form a chain: the latest is known by the band's hash, and each names the one before (-1:
        # none). A list for each of millions of bands would take several times the memory.
        self._latest: list[dict[int, int]] = [{} for _ in range(bands)]
        self._before = np.empty((1024, bands), dtype=np.int32)

    def most_similar(self, signature: np.ndarray) -> tuple[str | None, float]:
        """Give the most similar question, of equal ones the first added, and the estimated Jaccard similarity."""
        near: set[int] = set()
        for band, (latest, key) in enumerate(zip(self._latest, self._keys(signature), strict=True)):
            at = latest.get(key, -1)
            for _ in range(COMPARED):
                if at < 0:
                    break
                near.add(at)
                at = int(self._before[at, band])
        if not near:
            return None, 0.0
        compared = sorted(near)
        similarities = (self._signatures[compared] == signature).mean(axis=1)
        best = int(similarities.argmax())
        return self._session_ids[compared[best]], float(similarities[best])

    def add(self, session_id: str, signature: np.ndarray) -> None:
        at = len(self._session_ids)
        if at == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
            self._before = np.concatenate([self._before, np.empty_like(self._before)])
        self._session_ids.append(session_id)
        self._signatures[at] = signature
        for band, (latest, key) in enumerate(zip(self._latest, self._keys(signature), strict=True)):
            self._before[at, band] = latest.get(key, -1)
            latest[key] = at

    def _keys(self, signature: np.ndarray) -> list[int]:
        # Two bands of the same hash cost a comparison, no more.
        return [
            hash(band.tobytes()) for band in signature[: len(self._latest) * self._length].reshape(-1, self._length)
        ]
