import numpy as np
import pytest

from clarilm_kedro.text import cosine as cosine_module
from clarilm_kedro.text.cosine import close_pairs, cosines
from text.similar_texts import WordVectors, cosine

TEXTS = ["which hotel", "hotel which", "best hotel in berlin", "oil of a car"]


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> WordVectors:
    vectors = WordVectors()
    monkeypatch.setattr(cosine_module, "get_embedder", lambda model: vectors)
    monkeypatch.setattr(cosine_module, "BATCH", 2)
    return vectors


def test_cosines_of_pairs_embed_only_what_they_name(encoder: WordVectors) -> None:
    found = cosines(TEXTS, np.array([[0, 1], [2, 0], [1, 2]]), "m")
    assert found.tolist() == [1.0, cosine(TEXTS[2], TEXTS[0]), cosine(TEXTS[1], TEXTS[2])]
    assert sorted(encoder.seen) == sorted(TEXTS[:3])
    assert cosines(TEXTS, np.empty((0, 2), dtype=int), "m").shape == (0,)


def test_every_close_pair_of_two_lists() -> None:
    pairs, scores = close_pairs(TEXTS, [TEXTS[3], TEXTS[0], TEXTS[0]], 0.9, "m")
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 1], [1, 2], [3, 0]]
    assert scores.tolist() == [1.0] * 5
    for left, right in (([], []), (TEXTS, []), ([], TEXTS)):
        assert len(close_pairs(left, right, 0.9, "m")[0]) == 0
