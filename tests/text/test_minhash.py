import random
import string

import numpy as np
import pytest

from clarilm_kedro.text.minhash import choose_bands, shingles, signatures


def random_text(chance: random.Random, words: int = 30) -> str:
    return " ".join("".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(words))


def changed(chance: random.Random, text: str, words: int) -> str:
    parts = text.split()
    for at in chance.sample(range(len(parts)), words):
        parts[at] = "".join(chance.choices(string.ascii_lowercase, k=6))
    return " ".join(parts)


def test_shingles_are_five_characters_and_a_short_text_is_its_own() -> None:
    assert shingles("what is") == {"what ", "hat i", "at is"}
    assert shingles("hi") == {"hi"}
    assert shingles("") == {""}


def test_the_estimate_is_near_the_true_similarity() -> None:
    chance = random.Random(7)
    firsts = [random_text(chance) for _ in range(120)]
    others = [changed(chance, text, number % 12) for number, text in enumerate(firsts)]
    signed = signatures(firsts + others, 256)
    assert (signed.shape, signed.dtype) == ((240, 256), np.uint32)
    estimates = (signed[:120] == signed[120:]).mean(axis=1)
    exact = [
        len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))
        for one, other in zip(firsts, others, strict=True)
    ]
    # The standard error of one estimate is at most sqrt(0.25 / 256) = 0.03; of the mean of 120, 0.003.
    assert abs((estimates - exact).mean()) < 0.012
    assert np.abs(estimates - exact).max() < 0.14


def test_any_text_can_be_signed() -> None:
    assert signatures([], 16).shape == (0, 16)
    assert signatures(["", "\ud800 alone", "ünïcödé 日本語"], 16).shape == (3, 16)


@pytest.mark.parametrize("threshold", [0.001, 0.3, 0.5, 0.8, 0.99, 1.0])
@pytest.mark.parametrize("permutations", [16, 64, 256])
@pytest.mark.parametrize("found", [0.9, 0.999])
def test_bands_find_a_pair_at_the_threshold(threshold: float, permutations: int, found: float) -> None:
    bands, length = choose_bands(threshold, permutations, found)
    assert bands * length <= permutations
    if length > 1:
        assert 1 - (1 - threshold**length) ** bands >= found
    if length < permutations:
        longer = length + 1
        assert 1 - (1 - threshold**longer) ** (permutations // longer) < found
