"""Fusion of facets: what is merged, what never is, and that neither order nor repetition matters."""

import csv
import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarilm_kedro.text.embedding import get_embedder
from clarilm_kedro.text.facets import Candidate, fuse
from clarilm_kedro.text.normalise import normalise_facet

#: Share of IN3's pairs of one task merged by cosine alone, measured before this was written: the most there may be.
NATURAL = {0.70: 0.0126, 0.75: 0.0054, 0.80: 0.0023, 0.85: 0.0008, 0.90: 0.0}


def encode(texts: list[str]) -> np.ndarray:
    """A stand-in encoder: the mean of one random direction per word, so that shared words make texts alike."""
    rows = []
    for text in texts:
        seeds = [int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) for word in text.split() or [""]]
        row = sum(np.random.default_rng(seed).normal(size=16) for seed in seeds)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows).reshape(len(texts), 16)


def offer(*facets: str, source: str = "llm") -> list[Candidate]:
    return [Candidate.of(facet, rank, source, row=rank) for rank, facet in enumerate(facets)]


def both(llm: Sequence[str], log: Sequence[str]) -> list[Candidate]:
    asked = offer(*llm)
    return asked + [Candidate.of(facet, rank, "log", row=len(asked) + rank) for rank, facet in enumerate(log)]


def pairs(project: Path, relation: str) -> list[tuple[str, str]]:
    with (project / "benchmarks" / "facet_pairs.csv").open(encoding="utf-8", newline="") as file:
        return [(row["facet"], row["other"]) for row in csv.DictReader(file) if row["relation"] == relation]


def merged(of: Sequence[tuple[str, str]], threshold: float) -> list[tuple[str, str]]:
    fused, _ = fuse([offer(*pair) for pair in of], get_embedder().encode, threshold)
    return [pair for pair, group in zip(of, fused, strict=True) if len(group) == 1]


def test_equal_normal_forms_are_one_and_keep_every_origin() -> None:
    fused, merges = fuse([both(["budget", "travel dates"], ["Travel date", "the city"])], encode, None)
    assert [(each.facet, each.sources, each.members) for each in fused[0]] == [
        ("budget", ("llm",), ("budget",)),
        ("travel dates", ("llm", "log"), ("travel dates", "Travel date")),
        ("the city", ("log",), ("the city",)),
    ]
    assert [(each.kept.facet, each.other.facet, each.method, each.cosine) for each in merges] == [
        ("travel dates", "Travel date", "exact", None)
    ]


def test_a_merged_facet_stands_where_its_best_member_stood() -> None:
    fused, _ = fuse([both(["budget", "the city", "travel dates"], ["Travel date"])], encode, None)
    assert [(each.facet, each.rank) for each in fused[0]] == [("budget", 0), ("travel dates", 0), ("the city", 1)]


def test_alike_facets_are_one_and_vetoed_ones_are_not(project: Path) -> None:
    group = both(["left side", "type of cuisine"], ["cuisine type", "right side"])
    fused, merges = fuse([group], get_embedder().encode, 0.90)
    assert [each.facet for each in fused[0]] == ["left side", "type of cuisine", "right side"]
    assert [(each.kept.facet, each.other.facet, each.method, each.words) for each in merges] == [
        ("left side", "right side", "vetoed", "left / right"),
        ("type of cuisine", "cuisine type", "semantic", None),
    ]
    assert all(each.cosine is not None and 0.9 <= each.cosine <= 1 for each in merges)


def test_linkage_is_complete_not_single() -> None:
    """The second is close to the others, which are not close to each other: one of them stays."""
    at = {"a": 0.0, "b": 0.4, "c": 0.8}

    def on_a_circle(texts: list[str]) -> np.ndarray:
        return np.array([[np.cos(at[text]), np.sin(at[text])] for text in texts])

    fused, _ = fuse([offer("a", "b", "c")], on_a_circle, 0.90)
    assert sorted(each.members for each in fused[0]) in ([("a", "b"), ("c",)], [("a",), ("b", "c")])


def test_every_text_is_encoded_once_and_only_where_there_is_something_to_compare() -> None:
    seen: list[str] = []

    def counting(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return encode(texts)

    fuse(
        [offer("the budget", "colour"), offer("Budget", "size"), offer("alone"), offer("one", "the one"), []],
        counting,
        0.9,
    )
    assert sorted(seen) == ["budget", "colour", "size"]


def test_no_different_pair_is_merged_at_the_default_threshold(project: Path) -> None:
    different, same = pairs(project, "different"), pairs(project, "same")
    assert len(different) >= 20
    assert len(same) >= 18
    assert merged(different, 0.90) == []
    assert len(merged(same, 0.90)) >= len(same) // 2


def test_a_higher_threshold_merges_no_more(project: Path) -> None:
    written = pairs(project, "same") + pairs(project, "different")
    found = [set(merged(written, threshold)) for threshold in (0.6, 0.7, 0.8, 0.9)]
    assert all(more >= fewer for more, fewer in itertools.pairwise(found))


@pytest.mark.slow
@pytest.mark.real_data
def test_details_of_one_task_are_hardly_ever_merged(real_data: Path) -> None:
    """IN3 lists different details per task, so every merge of two is wrong."""
    lines = [
        line for name in ("train", "test") for line in (real_data / "in3" / f"{name}.jsonl").read_text().split("\n")
    ]
    details = [[each["description"] for each in json.loads(line)["missing_details"]] for line in lines if line.strip()]
    natural = [pair for task in details for pair in itertools.combinations(task, 2)]
    assert len(natural) > 5000
    for threshold, most in NATURAL.items():
        wrong = [pair for pair in merged(natural, threshold) if normalise_facet(pair[0]) != normalise_facet(pair[1])]
        assert len(wrong) / len(natural) <= most, threshold


_WORDS = [
    "budget",
    "budgets",
    "the",
    "start",
    "end",
    "date",
    "of",
    "trip",
    "trips",
    "city",
    "2",
    "without",
    "Rome",
    "user's",
]
_FACETS = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map(" ".join)
_GROUPS = st.lists(
    st.lists(st.tuples(_FACETS, st.integers(0, 3), st.sampled_from(["llm", "log"])), max_size=8), max_size=3
)
_THRESHOLDS = st.sampled_from([None, 0.5, 0.7, 0.9])


def _candidates(group: Sequence[tuple[str, int, str]]) -> list[Candidate]:
    return [Candidate.of(facet, rank, source, row) for row, (facet, rank, source) in enumerate(group)]


@given(_GROUPS, _THRESHOLDS, st.randoms(use_true_random=False))
def test_fusion_does_not_depend_on_the_order(
    drawn: list[list[tuple[str, int, str]]], threshold: float | None, random: object
) -> None:
    groups = [_candidates(group) for group in drawn]
    shuffled = [list(group) for group in groups]
    for group in shuffled:
        random.shuffle(group)  # type: ignore[attr-defined]
    assert fuse(groups, encode, threshold) == fuse(shuffled, encode, threshold)


@given(_GROUPS, _THRESHOLDS)
def test_fusing_again_changes_nothing(drawn: list[list[tuple[str, int, str]]], threshold: float | None) -> None:
    once, _ = fuse([_candidates(group) for group in drawn], encode, threshold)
    twice, merges = fuse(once, encode, threshold)
    assert once == twice
    assert all(each.method == "vetoed" for each in merges)


@given(_GROUPS, _THRESHOLDS)
def test_nothing_is_lost_and_nothing_is_in_two_places(
    drawn: list[list[tuple[str, int, str]]], threshold: float | None
) -> None:
    groups = [_candidates(group) for group in drawn]
    fused, merges = fuse(groups, encode, threshold)
    for number, (before, after) in enumerate(zip(groups, fused, strict=True)):
        assert sorted(row for each in after for row in each.rows) == list(range(len(before)))
        joined = [each for each in merges if each.group == number and each.method != "vetoed"]
        assert len(joined) == len(before) - len(after)
        forms = [{normalise_facet(member) for member in each.members} for each in after]
        assert all(one.isdisjoint(other) for one, other in itertools.combinations(forms, 2))


@settings(max_examples=15)
@given(
    st.permutations(["travel dates", "dates of travel", "start date", "end date", "date of the start", "trip dates"])
)
def test_the_real_encoder_depends_on_no_order_either(facets: list[str]) -> None:
    ranked = sorted(facets)
    group = [Candidate.of(facet, ranked.index(facet), "llm", ranked.index(facet)) for facet in facets]
    fused, _ = fuse([group], get_embedder().encode, 0.80)
    assert fused == fuse([sorted(group, key=lambda each: each.rank)], get_embedder().encode, 0.80)[0]
    assert fuse(fused, get_embedder().encode, 0.80)[0] == fused
