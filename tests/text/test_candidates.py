import random

import numpy as np
import pytest

from clarilm_kedro.text import candidates
from clarilm_kedro.text.candidates import propose_pairs

WANTED = [(0.6, 0.999)]


def crowd(size: int) -> list[str]:
    chance = random.Random(5)
    return [f"what is the occupation of the person {chance.randrange(10**6)} whom you named" for _ in range(size)]


def test_similar_texts_are_proposed_once_in_order_and_never_with_themselves() -> None:
    texts = [*crowd(30), "something else entirely", "nothing of the kind at all"]
    every = np.arange(len(texts))
    found = propose_pairs(texts, every, None, WANTED, 128)
    assert (found[:, 0] < found[:, 1]).all()
    assert found.max() < 30
    assert len({tuple(pair) for pair in found}) == len(found) == 30 * 29 / 2
    assert found.tolist() == sorted(found.tolist())
    both = propose_pairs(texts, every, every, WANTED, 128)
    assert {tuple(pair) for pair in both} == {(i, j) for pair in found for i, j in (pair, pair[::-1])}


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = crowd(60)
    left, right = np.arange(20), np.arange(10, 60)
    whole = propose_pairs(texts, left, right, WANTED, 128)
    monkeypatch.setattr(candidates, "BLOCK", 7)
    monkeypatch.setattr(candidates, "BATCH", 9)
    assert propose_pairs(texts, left, right, WANTED, 128).tolist() == whole.tolist()


def test_nothing_to_propose() -> None:
    nothing = np.empty(0, dtype=int)
    for texts, left, right in (([], nothing, None), (["a"], np.arange(1), None), (["a", "b"], np.arange(2), nothing)):
        assert propose_pairs(texts, left, right, WANTED, 64).shape == (0, 2)
