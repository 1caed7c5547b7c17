import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.metrics.facet_recall import (
    FacetLists,
    FacetMatching,
    distinct_facets,
    embed_facets,
    mean_recalls,
    question_recalls,
    same_facets,
)

MATCHING = FacetMatching(ks=(1, 2, 3))
QUICK = BootstrapOptions(resamples=200)


def recalls(gold: list[str], candidates: list[str]) -> list[float]:
    return question_recalls(FacetLists(tuple(gold), tuple(candidates)), "exact", MATCHING, {})


def test_recall_grows_with_the_head_of_the_list() -> None:
    assert recalls(["brand", "budget", "recipient"], ["color", "budget", "brand"]) == pytest.approx([0, 1 / 3, 2 / 3])


def test_a_gold_facet_counts_once_however_often_it_is_given() -> None:
    assert recalls(["brand", "budget"], ["the brand", "Brands", "brand"]) == [0.5, 0.5, 0.5]
    assert recalls(["brand", "the brands"], ["brand"]) == [1, 1, 1]


def test_what_is_missing_counts_as_nothing() -> None:
    assert recalls(["brand"], []) == [0, 0, 0]
    assert mean_recalls([FacetLists((), ("brand",))], MATCHING, QUICK) == []
    found = mean_recalls([FacetLists(("brand",), ()), FacetLists(("brand",), ("brand",))], MATCHING, QUICK)
    assert [(each.sense, each.k) for each in found] == [(s, k) for s in ("exact", "cosine") for k in (1, 2, 3)]
    assert {each.interval.estimate for each in found} == {0.5}
    assert {each.n for each in found} == {2}
    assert all(each.interval.low < 0.5 < each.interval.high for each in found)


def test_a_broad_candidate_leaves_the_narrow_one_its_facet() -> None:
    """Greedy by rank would give "a" to the first candidate and nothing to the second."""
    vectors = {text: np.array(vector) for text, vector in {
        "a": [1.0, 0.0], "b": [0.0, 1.0], "both": [0.71, 0.71], "only a": [0.9, 0.1],
    }.items()}  # fmt: skip
    for gold in (("a", "b"), ("b", "a")):
        question = FacetLists(gold, ("both", "only a"))
        assert question_recalls(question, "cosine", FacetMatching(ks=(1, 2), threshold=0.7), vectors) == [0.5, 1.0]


def test_other_words_for_the_same_count_in_the_upper_estimate_only() -> None:
    left, right = ["workout times"], ["preferred times of the workouts", "sum of money"]
    vectors = embed_facets([*left, *right], FacetMatching())
    assert same_facets(left, right, "exact", 0.75, vectors).tolist() == [[False, False]]
    assert same_facets(left, right, "cosine", 0.75, vectors).tolist() == [[True, False]]


def test_an_exact_match_is_a_match_whatever_the_vectors_say() -> None:
    vectors = {"Dates": np.array([1.0, 0.0]), "the date": np.array([0.0, 1.0])}
    assert same_facets(["Dates"], ["the date"], "cosine", 0.99, vectors).tolist() == [[True]]


def test_distinct_facets_keep_the_first_wording() -> None:
    assert distinct_facets(["The budgets", "dates", "budget"]) == ["The budgets", "dates"]


words = st.sampled_from(["alpha", "bravo", "carol", "delta", "echoes", "the alpha"])


@given(st.lists(words, min_size=1), st.lists(words), st.randoms())
def test_recall_never_falls_with_k_nor_depends_on_the_order_of_gold(gold, candidates, chance) -> None:
    matching = FacetMatching(ks=tuple(range(1, 8)))
    found = question_recalls(FacetLists(tuple(gold), tuple(candidates)), "exact", matching, {})
    assert found == sorted(found)
    wanted = len(distinct_facets(gold))
    assert all(value <= min(k, wanted) / wanted for k, value in zip(matching.ks, found, strict=True))
    shuffled = chance.sample(gold, len(gold))
    assert question_recalls(FacetLists(tuple(shuffled), tuple(candidates)), "exact", matching, {}) == found


@given(
    st.lists(words, min_size=1, max_size=4),
    st.lists(words, max_size=4),
    st.lists(st.floats(0, np.pi / 2), min_size=6, max_size=6),
)
def test_the_upper_estimate_is_never_below_the_lower(gold, candidates, angles) -> None:
    names = ["alpha", "bravo", "carol", "delta", "echoes", "the alpha"]
    vectors = {name: np.array([np.cos(angle), np.sin(angle)]) for name, angle in zip(names, angles, strict=True)}
    question = FacetLists(tuple(gold), tuple(candidates))
    lower, upper = (question_recalls(question, sense, MATCHING, vectors) for sense in ("exact", "cosine"))
    assert all(low <= high for low, high in zip(lower, upper, strict=True))
