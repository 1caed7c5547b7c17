"""Whole clusters share a split."""

import random
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarilm_kedro.logs.question_sets import read_questions
from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.pipelines.dropping import TIES_SPLITS
from clarilm_kedro.pipelines.held_out import ClusterRule, SplitOptions, held_back
from clarilm_kedro.pipelines.ofs.seeds import question_identity
from clarilm_kedro.pipelines.ofs.splits import assemble_questions, draw_splits, split_seed_questions
from clarilm_kedro.text.similarity import pairs_between, pairs_within
from pipelines.question_rows import CLUSTERS, examples, fm_log, in3_rows, judged, seeds, shuffled, synthetic

OPTIONS = SplitOptions(test_questions=3, validation_questions=2, synthetic_target=10, held_back_share=1)
OIL = "How do I change the oil of my old car?"
WORDS = ("how", "do", "i", "change", "the", "oil", "of", "a", "car", "truck", "in", "berlin", "which", "hotel", "best")
texts_of_questions = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), max_size=10, unique=True
)


def split_of(questions: pd.DataFrame) -> dict[str, str]:
    return dict(zip(questions["question"], questions["split"], strict=True))


def crossing(questions: pd.DataFrame, rule: ClusterRule) -> list[tuple[str, str]]:
    """Pairs over the cluster threshold of which the two sides have different splits."""
    texts, splits = list(questions["question"]), list(questions["split"])
    pairs = pairs_within(texts, rule)
    return [(texts[row.left], texts[row.right]) for row in pairs.itertuples() if splits[row.left] != splits[row.right]]


@given(sizes=st.lists(st.integers(1, 6), max_size=12), test=st.integers(0, 12), valid=st.integers(0, 6))
def test_a_held_out_size_is_missed_by_less_than_the_largest_cluster(sizes: list[int], test: int, valid: int) -> None:
    cluster_of = {f"{name}-{at}": str(name) for name, size in enumerate(sizes) for at in range(size)}
    found = draw_splits(cluster_of, {"test": test, "valid": valid}, 7)
    counts = Counter(found.values())
    assert found.keys() == cluster_of.keys()
    assert counts["test"] <= test
    assert counts["valid"] <= valid
    if sizes and sum(sizes) >= test + valid + max(sizes):
        assert test - counts["test"] < max(sizes)
        assert valid - counts["valid"] < max(sizes)
    assert {len({found[row] for row in cluster_of if cluster_of[row] == name}) for name in cluster_of.values()} <= {1}


def test_the_order_of_the_rows_draws_nothing_else() -> None:
    cluster_of = {f"q{number}": f"c{number // 2}" for number in range(40)}
    backwards = dict(reversed(cluster_of.items()))
    assert draw_splits(cluster_of, {"test": 9}, 7) == draw_splits(backwards, {"test": 9}, 7)
    assert draw_splits(cluster_of, {"test": 9}, 8) != draw_splits(cluster_of, {"test": 9}, 7)
    assert Counter(draw_splits(cluster_of, {"test": 9}, 7).values())["test"] == 8


def test_a_written_question_takes_the_split_of_what_it_is_like() -> None:
    rows = [judged(OIL, split="test"), judged("Where is my hotel in Berlin?", split="valid"), judged("Who?")]
    like = ["How do I change the oil of my car?", "Where is my hotel in Berlin now?", "What is the tallest tree there?"]
    questions, dropped = assemble_questions(
        seeds(*rows),
        synthetic(*like, "Which tyres fit a small truck?"),
        examples("what is the tallest tree"),
        in3_rows("Which tyres would fit a small truck?"),
        fm_log(),
        SplitOptions(test_questions=0, validation_questions=0),
        CLUSTERS,
    )
    assert dropped.empty
    split = split_of(questions)
    assert [split[text] for text in like] == ["test", "valid", "train"]
    assert split["Which tyres fit a small truck?"] == "train"
    named = dict(zip(questions["question"], questions["cluster_id"], strict=True))
    assert named[like[0]] == named[OIL] != named[like[1]]
    assert Counter(questions["origin"]) == {"log": 3, "generated": 4}


def test_a_written_question_that_ties_two_splits_together_is_dropped() -> None:
    left, right = "alpha beta gamma delta epsilon zeta", "gamma delta epsilon zeta eta theta iota"
    between = "beta gamma delta epsilon zeta eta theta"
    assert len(pairs_within([left, right], CLUSTERS)) == 0
    assert len(pairs_within([left, between], CLUSTERS)) == len(pairs_within([right, between], CLUSTERS)) == 1
    rows = seeds(judged(left, split="train"), judged(right, split="test"))
    questions, dropped = assemble_questions(
        rows, synthetic(between), examples(), in3_rows(), fm_log(), OPTIONS, CLUSTERS
    )
    assert len(questions) == 2
    (row,) = dropped.itertuples()
    assert (row.question, row.reason) == (between, TIES_SPLITS)
    assert row.other_id in set(questions["question_id"])
    assert row.score >= 0.6


@settings(max_examples=60)
@given(
    log=texts_of_questions,
    generated=texts_of_questions,
    shown=texts_of_questions,
    order=st.randoms(use_true_random=False),
)
def test_no_pair_over_the_threshold_crosses_a_split(
    log: list[str], generated: list[str], shown: list[str], order: random.Random
) -> None:
    rows = [judged(text) for text in log]
    splits = split_seed_questions(rows, [], CLUSTERS, OPTIONS)
    q_log = seeds(*({**row, "split": splits[row["question_id"]]} for row in rows))
    held_out = list(q_log.loc[q_log["split"] != "train", "question"])
    near = set(pairs_between(shown, held_out, CLUSTERS)["left"])
    clean = [text for at, text in enumerate(shown) if at not in near]  # as collect_examples leaves them
    q_generated = synthetic(*(text for text in generated if text not in log))
    questions, dropped = assemble_questions(
        q_log, q_generated, examples(*clean), in3_rows(), fm_log(), OPTIONS, CLUSTERS
    )
    assert crossing(questions, CLUSTERS) == []
    assert len(questions) + len(dropped) == len(q_log) + len(q_generated)
    assert split_of(questions).items() >= split_of(q_log).items()
    tested = list(questions.loc[questions["split"] != "train", "question"])
    assert pairs_between(clean, tested, CLUSTERS).empty
    shuffled_examples = examples(*order.sample(clean, len(clean)))
    again, _ = assemble_questions(
        shuffled(q_log), shuffled(q_generated), shuffled_examples, in3_rows(), fm_log(), OPTIONS, CLUSTERS
    )
    pd.testing.assert_frame_equal(questions, again)


def test_q_g_gives_the_held_out_questions_that_q_l_does_not() -> None:
    rows = seeds(*(judged(f"{number * 7919} number {number * 104729}") for number in range(20)))
    written = synthetic(*(f"{number * 15485863} is {number * 32452843}?" for number in range(1, 81)))
    options = SplitOptions(test_questions=20, validation_questions=10)
    questions, _ = assemble_questions(rows, written, examples(), in3_rows(), fm_log(), options, CLUSTERS)
    drawn = Counter(questions.loc[questions["origin"] == "generated", "split"])
    assert drawn == {"test": 20, "valid": 10, "train": 50}


def test_only_sessions_that_fm_log_learned_nothing_from_give_held_out_questions() -> None:
    rows = [judged(f"{number * 7919} number {number * 104729}") for number in range(100)]
    options = SplitOptions(test_questions=30, validation_questions=0, synthetic_target=1, held_back_share=0.4)
    away = {row["question_id"] for row in rows if held_back(row["session_id"], options)}
    assert 20 < len(away) < 60
    trained = next(row["question"] for row in rows if row["question_id"] in away)
    splits = split_seed_questions(rows, [trained.upper() + "?"], CLUSTERS, options)
    tested = {name for name, split in splits.items() if split == "test"}
    assert len(tested) == min(30, len(away) - 1)
    assert tested < away
    assert question_identity(trained) not in tested
    assert splits.keys() == {row["question_id"] for row in rows}


def test_a_written_question_like_one_of_fm_log_is_for_training() -> None:
    options = SplitOptions(test_questions=1, validation_questions=0)
    for trained, split in (((), "test"), ((OIL,), "train")):
        written = synthetic("How do I change the oil of my car?")
        rows = seeds(judged("a first question"), judged("and a second one"))
        questions, _ = assemble_questions(rows, written, examples(), in3_rows(), fm_log(*trained), options, CLUSTERS)
        assert split_of(questions)["How do I change the oil of my car?"] == split


@pytest.mark.real_data
def test_no_pair_of_real_questions_crosses_a_split(real_data: Path) -> None:
    """AmbigQA asks some of NQ's questions in other words; PopQA asks from templates."""
    rule = ClusterRule()
    ambigqa, nq, popqa = (
        list(dict.fromkeys(row.question for row in read_questions(read_records(str(path), "x"), "x")))
        for path in (
            real_data / "questions" / "ambignq_dev_light.json",
            real_data / "questions" / "NQ-open.dev.jsonl",
            real_data / "questions" / "popqa_neuropath_subset.tsv",
        )
    )
    options = SplitOptions(test_questions=600, validation_questions=300, synthetic_target=2000, held_back_share=1)
    rows = [judged(text) for text in ambigqa[:1000]]
    splits = split_seed_questions(rows, [], rule, options)
    q_log = seeds(*({**row, "split": splits[row["question_id"]]} for row in rows))
    questions, dropped = assemble_questions(
        q_log, synthetic(*nq[:1500], *popqa[:500]), examples(), in3_rows(), fm_log(), options, rule
    )
    assert len(questions) + len(dropped) == len(q_log) + 2000
    assert crossing(questions, rule) == []
    assert abs(Counter(questions["split"])["test"] - 600) <= 40
