import random
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarilm_kedro.logs.question_sets import read_clamber, read_questions
from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.text import cosine as cosine_module
from clarilm_kedro.text.similarity import (
    EXACT,
    LEXICAL,
    SEMANTIC,
    NearDuplicateRule,
    pairs_between,
    pairs_within,
)
from text.similar_texts import WordVectors, brute_force, jaccard, question_lists

LEXICAL_RULE = NearDuplicateRule(jaccard=0.6, cosine=None, band_from=0.6)
BANDED_RULE = NearDuplicateRule(jaccard=0.7, cosine=0.9, band_from=0.4)
EVERY_RULE = NearDuplicateRule(jaccard=0.7, cosine=0.9, band_from=0)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> WordVectors:
    vectors = WordVectors()
    monkeypatch.setattr(cosine_module, "get_embedder", lambda model: vectors)
    return vectors


def places(pairs: pd.DataFrame) -> set[tuple[int, int]]:
    return set(zip(pairs["left"], pairs["right"], strict=True))


def test_three_ways_to_be_nearly_the_same() -> None:
    texts = [
        "How do I change the oil of a car?",
        "how do i change  the oil of a car",
        "How do I change the oil of a car in Berlin?",
        "Which hotel is best?",
        "a car: how do I change the oil of",
    ]
    found = pairs_within(texts, BANDED_RULE)
    assert [tuple(row) for row in found.drop(columns="score").itertuples(index=False)] == [
        (0, 1, EXACT),
        (0, 2, LEXICAL),
        (0, 4, SEMANTIC),
        (1, 2, LEXICAL),
        (1, 4, SEMANTIC),
        (2, 4, SEMANTIC),
    ]
    assert found["score"].tolist()[:3] == [1.0, jaccard(texts[0], texts[2]), 1.0]
    assert found["score"].between(0.7, 1).all()


def test_two_lists_and_the_empty_ones() -> None:
    found = pairs_between(["a question", "Another one?"], ["another ONE", "a question!", "A question"], LEXICAL_RULE)
    assert places(found) == {(0, 1), (0, 2), (1, 0)}
    for left, right in (([], []), ([], ["a"]), (["a"], [])):
        assert pairs_between(left, right, BANDED_RULE).empty
    nothing = pairs_within([], BANDED_RULE)
    assert list(nothing.columns) == ["left", "right", "method", "score"]


def test_only_texts_of_the_band_are_embedded(encoder: WordVectors) -> None:
    texts = [
        "which hotel in berlin",
        "which hotel in berlin",
        "oil of a car",
        "the best truck",
        "berlin which hotel in",
    ]
    pairs_within(texts, LEXICAL_RULE)
    assert encoder.seen == []
    pairs_within(texts, BANDED_RULE)
    assert sorted(encoder.seen) == ["berlin which hotel in", "which hotel in berlin"]


def test_a_band_above_the_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"band_from = 0.9 is above jaccard = 0.8"):
        NearDuplicateRule(band_from=0.9)


@pytest.mark.parametrize("rule", [LEXICAL_RULE, BANDED_RULE, EVERY_RULE], ids=["lexical", "banded", "every"])
@settings(max_examples=40)
@given(texts=question_lists)
def test_the_pairs_are_those_of_brute_force(rule: NearDuplicateRule, texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cosine_module, "get_embedder", lambda model: WordVectors())
        found = places(pairs_within(texts, rule))
    expected = brute_force(texts, rule)
    assert found <= expected
    # At the lower end of the band nine of ten pairs are proposed; elsewhere practically all.
    missed = expected - found
    assert all(jaccard(texts[left], texts[right]) < rule.jaccard for left, right in missed)
    assert not missed or rule is BANDED_RULE


@settings(max_examples=40)
@given(texts=question_lists, order=st.randoms(use_true_random=False), cut=st.integers(0, 14))
def test_the_order_of_the_rows_and_other_rows_change_nothing(texts: list[str], order: random.Random, cut: int) -> None:
    def said(pairs: pd.DataFrame, left: list[str], right: list[str]) -> set[tuple[frozenset[str], str, float]]:
        return {(frozenset((left[row.left], right[row.right])), row.method, row.score) for row in pairs.itertuples()}

    shuffled = order.sample(texts, len(texts))
    one, other = shuffled[:cut], shuffled[cut:]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cosine_module, "get_embedder", lambda model: WordVectors())
        whole = said(pairs_within(texts, BANDED_RULE), texts, texts)
        assert said(pairs_within(shuffled, BANDED_RULE), shuffled, shuffled) == whole
        parts = said(pairs_within(one, BANDED_RULE), one, one) | said(pairs_within(other, BANDED_RULE), other, other)
        assert parts | said(pairs_between(one, other, BANDED_RULE), one, other) == whole
        assert said(pairs_between(other, one, BANDED_RULE), other, one) | parts == whole


@pytest.mark.real_data
def test_real_questions_lose_no_pair(real_data: Path) -> None:
    """Every pair that brute force finds among published questions, templates among them, and no other."""
    ambigqa = read_records(str(real_data / "questions" / "ambignq_dev_light.json"), "ambigqa")
    clamber = read_records(str(real_data / "clamber" / "clamber_sample.jsonl"), "clamber", "json_in_jsonl")
    texts = [row.question for row in (*read_questions(ambigqa, "ambigqa"), *read_clamber(clamber))]
    found = places(pairs_within(texts, LEXICAL_RULE))
    assert found == every_lexical_pair(texts, LEXICAL_RULE.jaccard)
    assert len(found) > 100


def every_lexical_pair(texts: list[str], threshold: float) -> set[tuple[int, int]]:
    import numpy as np
    from scipy.sparse import triu
    from sklearn.feature_extraction.text import CountVectorizer

    from clarilm_kedro.text.minhash import shingles
    from clarilm_kedro.text.normalise import normalise_question

    counter = CountVectorizer(analyzer=lambda text: shingles(normalise_question(text)), binary=True, dtype=np.int32)
    matrix = counter.fit_transform(texts)
    sizes = np.diff(matrix.indptr)
    shared = triu(matrix @ matrix.T, k=1).tocoo()
    similar = shared.data / (sizes[shared.row] + sizes[shared.col] - shared.data) >= threshold
    return set(zip(shared.row[similar].tolist(), shared.col[similar].tolist(), strict=True))
