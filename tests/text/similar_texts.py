"""Texts for tests of near-duplicates: small alphabets so that similar ones occur, and a stand-in for the encoder."""

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from clarilm_kedro.text.minhash import shingles
from clarilm_kedro.text.normalise import normalise_question
from clarilm_kedro.text.similarity import NearDuplicateRule

WORDS = ("how", "do", "i", "change", "the", "oil", "of", "a", "car", "truck", "in", "Berlin", "which", "hotel", "best")
questions = st.lists(st.sampled_from(WORDS), min_size=0, max_size=7).map(" ".join)
question_lists = st.lists(questions | st.text("ab ?É", max_size=8), max_size=14)


class WordVectors:
    """Embeds a text as the counts of its words, so that word order is what it does not see."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        vectors = np.array([[text.split().count(word.lower()) for word in WORDS] + [0.01] for text in texts])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def jaccard(one: str, other: str) -> float:
    """Jaccard similarity of character 5-grams, the plain way."""
    first, second = shingles(normalise_question(one)), shingles(normalise_question(other))
    return len(first & second) / len(first | second)


def cosine(one: str, other: str) -> float:
    first, second = WordVectors().encode([normalise_question(one), normalise_question(other)])
    return round(float(first @ second), 4)


def brute_force(texts: Sequence[str], rule: NearDuplicateRule) -> set[tuple[int, int]]:
    """All pairs that a rule holds for, by looking at every pair."""
    found = set()
    for left, right in itertools.combinations(range(len(texts)), 2):
        one, other = texts[left], texts[right]
        similarity = jaccard(one, other)
        close = rule.cosine is not None and similarity >= rule.band_from and cosine(one, other) >= rule.cosine
        if normalise_question(one) == normalise_question(other) or similarity >= rule.jaccard or close:
            found.add((left, right))
    return found
