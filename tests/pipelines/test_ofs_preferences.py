"""Preference pairs and training tables from annotations."""

import json
from typing import Any

import pandas as pd
import pytest

from clarilm_kedro.finetuning.template import parse_completion
from clarilm_kedro.pipelines.ofs.preferences import (
    ANSWER_OVER_CLARIFY,
    BETTER_QUESTION,
    CLARIFY_OVER_ANSWER,
    build_preferences,
    build_training_tables,
)
from clarilm_kedro.pipelines.ofs.schemas import ANNOTATIONS, CANDIDATES, PreferenceOptions
from clarilm_kedro.tables import table

OFFERED = [
    {"candidate_id": "city", "kind": "ask", "text": "Which city?", "sources": ["llm"], "rank": 0},
    {"candidate_id": "answer", "kind": "answer", "text": "Try the corner cafe.", "sources": ["answer"], "rank": -1},
    {"candidate_id": "budget", "kind": "ask", "text": "What is your budget?", "sources": ["llm", "log"], "rank": 1},
    {"candidate_id": "time", "kind": "ask", "text": "When?", "sources": ["log"], "rank": 2},
]
OPTIONS = PreferenceOptions(seed=7, max_pairs=None)
Tables = tuple[pd.DataFrame, pd.DataFrame]


def tables(*rows: tuple[int, str, str], offered: list[dict[str, Any]] | None = None) -> Tables:
    """Annotations and candidates of questions given as (number, chosen candidate, split)."""
    by_id = {each["candidate_id"]: each for each in (offered or OFFERED)}
    annotations = [
        dict.fromkeys(ANNOTATIONS, "")
        | {
            "question_id": f"q{number}",
            "question": f"question {number}",
            "split": split,
            "choice_id": choice,
            "choice_kind": by_id[choice]["kind"],
            "text": by_id[choice]["text"],
            "sources": by_id[choice]["sources"],
            "teacher": "t",
            "n_votes": 1,
            "agreement": 1.0,
        }
        for number, choice, split in rows
    ]
    candidates = [
        {"question_id": f"q{number}", "facet": "", "position": place, **each}
        for number, _, _ in rows
        for place, each in enumerate(by_id.values(), start=1)
    ]
    return table(annotations, ANNOTATIONS), table(candidates, CANDIDATES)


def test_a_chosen_question_beats_the_answer_and_another_question() -> None:
    pairs = build_preferences(*tables((1, "city", "train")), OPTIONS).set_index("type")
    assert set(pairs.index) == {CLARIFY_OVER_ANSWER, BETTER_QUESTION}
    assert pairs.loc[CLARIFY_OVER_ANSWER, "rejected"] == "Try the corner cafe."
    assert pairs.loc[BETTER_QUESTION, "rejected"] in {"What is your budget?", "When?"}
    assert pairs.loc[CLARIFY_OVER_ANSWER, "chosen_source"] == "llm"
    assert pairs.loc[CLARIFY_OVER_ANSWER, "rejected_source"] == "answer"


def test_a_chosen_answer_beats_one_question() -> None:
    pairs = build_preferences(*tables((1, "answer", "train")), OPTIONS)
    assert list(pairs["type"]) == [ANSWER_OVER_CLARIFY]
    assert not pairs["chosen_asks"].iloc[0]
    assert pairs["rejected_asks"].iloc[0]


def test_both_replies_stand_as_completions_of_the_template() -> None:
    pairs = build_preferences(*tables((1, "city", "train")), OPTIONS)
    for row in pairs.to_dict("records"):
        for side in ("chosen", "rejected"):
            assert parse_completion(row[f"{side}_completion"]) == (row[f"{side}_asks"], row[side])
        assert json.loads(row["prompt"])[-1] == {"role": "user", "content": "question 1"}


@pytest.mark.parametrize(("negatives", "expected"), [("best", ["budget", "time"]), ("worst", ["time", "budget"])])
def test_rejected_questions_are_taken_by_rank(negatives: Any, expected: list[str]) -> None:
    options = PreferenceOptions(worse_questions=1, negatives=negatives)
    pairs = build_preferences(*tables((1, "city", "train")), options).set_index("type")
    assert pairs.loc[BETTER_QUESTION, "rejected_id"] == expected[0]
    both = build_preferences(*tables((1, "city", "train")), PreferenceOptions(worse_questions=9, negatives=negatives))
    assert set(both[both["type"] == BETTER_QUESTION]["rejected_id"]) == set(expected)
    assert both["preference_id"].is_unique


def test_types_can_be_left_out() -> None:
    options = PreferenceOptions(worse_questions=0, needless_questions=0)
    pairs = build_preferences(*tables((1, "city", "train"), (2, "answer", "train")), options)
    assert list(pairs["type"]) == [CLARIFY_OVER_ANSWER]


def test_no_pair_prefers_a_reply_to_itself() -> None:
    twins = [OFFERED[0], {**OFFERED[0], "candidate_id": "twin", "text": "which city ?"}, OFFERED[1]]
    pairs = build_preferences(*tables((1, "city", "train"), offered=twins), OPTIONS)
    assert list(pairs["type"]) == [CLARIFY_OVER_ANSWER]


def test_without_annotations_the_tables_are_empty_but_typed() -> None:
    annotations, candidates = tables()
    pairs = build_preferences(annotations, candidates, OPTIONS)
    made = build_training_tables(annotations, pairs, OPTIONS)
    assert pairs.empty
    assert all(each.empty and len(each.columns) > 3 for each in made)


def test_every_row_lands_in_the_table_of_its_split() -> None:
    annotations, candidates = tables(
        (1, "city", "train"), (2, "answer", "valid"), (3, "city", "test"), (4, "answer", "test")
    )
    pairs = build_preferences(annotations, candidates, OPTIONS)
    sft, dpo, validation, our_test = build_training_tables(annotations, pairs, OPTIONS)
    assert list(sft["row_id"]) == ["q1"]
    assert set(dpo["question"]) == {"question 1"}
    assert list(validation["row_id"]) == ["q2"]
    assert list(our_test["needs_clarification"]) == [True, False]
    assert [list(each) for each in our_test["references"]] == [["Which city?"], []]
    assert list(our_test["thought"]) == list(annotations.loc[annotations["split"] == "test", "thought"])


def test_pairs_do_not_depend_on_row_order_and_are_limited() -> None:
    annotations, candidates = tables(*((number, "city", "train") for number in range(9)))
    limited = PreferenceOptions(seed=7, max_pairs=5)
    made = []
    for seed in (0, 1):
        mixed = (each.sample(frac=1, random_state=seed) for each in (annotations, candidates))
        pairs = build_preferences(*mixed, limited)
        made.append((pairs, build_training_tables(annotations, pairs, limited)[1]))
    assert made[0][0].equals(made[1][0])
    assert made[0][1].equals(made[1][1])
    assert len(made[0][1]) == 5
