import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarilm_kedro.text.deduplication import clusters, find_duplicates
from clarilm_kedro.text.similarity import LEXICAL, NearDuplicateRule, pairs_within
from text.similar_texts import jaccard, question_lists

RULE = NearDuplicateRule(jaccard=0.6, cosine=None, band_from=0.6)
CAR = "How do I change the oil of a car?"


def kept(texts: list[str], rule: NearDuplicateRule = RULE) -> list[str]:
    dropped = {each.at for each in find_duplicates(texts, rule)}
    return [text for at, text in enumerate(texts) if at not in dropped]


def test_one_of_two_stays_and_the_other_names_it() -> None:
    texts = [CAR, "Which hotel is best?", "How do I change the oil of a car in Berlin?"]
    (found,) = find_duplicates(texts, RULE)
    assert {found.at, found.of} == {0, 2}
    assert (found.method, found.score) == (LEXICAL, jaccard(texts[0], texts[2]))
    assert len(kept(texts)) == 2


def test_the_first_texts_are_kept_whatever_they_are_like() -> None:
    texts = [CAR, CAR, "Which hotel is best?", "Which hotel is best"]
    assert [(each.at, each.of) for each in find_duplicates(texts, RULE, n_kept=4)] == []
    found = find_duplicates([*texts, "how do I change the oil of a car"], RULE, n_kept=2)
    assert [(each.at, each.of in (0, 1)) for each in found if each.at == 4] == [(4, True)]


def test_a_chain_of_similar_texts_is_not_merged_into_one() -> None:
    words = [letter * 3 for letter in "abcdefghijklmnopqr"]
    chain = [" ".join(words[start : start + 8]) for start in range(10)]
    assert len(kept(chain)) >= 3
    assert len(set(clusters(chain, pairs_within(chain, RULE)))) == 1


@settings(max_examples=40)
@given(texts=question_lists, order=st.randoms(use_true_random=False))
def test_what_is_kept_does_not_depend_on_the_order_and_is_kept_again(texts: list[str], order: random.Random) -> None:
    once = kept(texts)
    assert sorted(kept(order.sample(texts, len(texts)))) == sorted(once)
    assert kept(once) == once
    assert not pairs_within(once, RULE).shape[0]


@settings(max_examples=40)
@given(texts=question_lists)
def test_each_dropped_text_is_like_one_that_is_kept(texts: list[str]) -> None:
    found = find_duplicates(texts, RULE)
    dropped = {each.at for each in found}
    assert len(dropped) == len(found)
    for each in found:
        assert each.of not in dropped
        assert each.score >= RULE.jaccard


@settings(max_examples=40)
@given(texts=question_lists, order=st.randoms(use_true_random=False))
def test_clusters_have_names_of_their_texts(texts: list[str], order: random.Random) -> None:
    def named(given_texts: list[str]) -> set[tuple[str, str]]:
        return set(zip(given_texts, clusters(given_texts, pairs_within(given_texts, RULE)), strict=True))

    found = named(texts)
    assert named(order.sample(texts, len(texts))) == found
    pairs = pairs_within(texts, RULE)
    names = clusters(texts, pairs)
    for pair in pairs.itertuples():
        assert names[pair.left] == names[pair.right]


def test_without_pairs_every_text_is_alone() -> None:
    nothing = pd.DataFrame({"left": [], "right": []}, dtype="int64")
    assert len(set(clusters(["a", "b", "c"], nothing))) == 3
    assert clusters([], nothing) == []


@pytest.mark.parametrize("n_kept", [0, 1])
def test_nothing_to_drop(n_kept: int) -> None:
    assert find_duplicates(["only one"], RULE, n_kept) == []
