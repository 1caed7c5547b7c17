"""What an audit asks about: labels in their shares, whatever the order of rows."""

import random
from pathlib import Path
from typing import Any

import ibis
import pytest

from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.pipelines.audit.drawing import (
    draw_filter_questions,
    draw_in3_tasks,
    draw_in_shares,
    draw_questions,
    draw_sessions,
    gather_facet_questions,
    list_gold_candidates,
)
from clarilm_kedro.pipelines.audit.schemas import DrawOptions
from clarilm_kedro.pipelines.ofs.seeds import question_identity


def gold(rows: list[dict[str, Any]]) -> Records:
    return Records("gold", [Record(number, row, "gold.jsonl") for number, row in enumerate(rows)])


NECESSITY = [
    {"question": f"{'vague' if number % 3 == 0 else 'clear'} {number}?", "needs_clarification": number % 3 == 0,
     "intent": f"i{number // 3}"}
    for number in range(30)
]  # fmt: skip
FACETS = [
    {"question": f"vague {3 * number}?", "intent": f"i{number}", "facets": ["size", "price"],
     "clarifying_questions": ["Which size?", "At which price?"]}
    for number in range(9)
]  # fmt: skip


def test_shares_are_kept_and_larger_draws_hold_smaller_ones() -> None:
    rows = [{"id": str(number), "label": number % 4 == 0} for number in range(100)]
    few, many = (
        {row["id"]: row for row in draw_in_shares(rows, limit, 7, lambda row: row["id"], lambda row: row["label"])}
        for limit in (20, 60)
    )
    assert sum(row["label"] for row in few.values()) == 5
    assert sum(row["label"] for row in many.values()) == 15
    assert few.keys() <= many.keys()
    shuffled = random.Random(1).sample(rows, len(rows))
    again = draw_in_shares(shuffled, 20, 7, lambda row: row["id"], lambda row: row["label"])
    assert [row["id"] for row in again] == list(few)
    assert len(draw_in_shares(rows, None, 7, lambda row: row["id"], lambda row: row["label"])) == 100


def test_questions_come_with_their_gold_and_those_without_facets_stay_out() -> None:
    drawn = draw_questions(gold(NECESSITY), gold(FACETS), DrawOptions(max_questions=9))
    assert len(drawn) == 9
    assert drawn["needs_clarification"].sum() == 3
    assert set(drawn["intent"]) <= {f"i{number}" for number in range(9)}
    assert all(facets == ["size", "price"] for facets in drawn["gold_facets"])
    assert list(drawn["question_id"]) == sorted(question_identity(text) for text in drawn["question"])
    every = draw_questions(gold(NECESSITY), gold(FACETS), DrawOptions())
    assert len(every) == 27


def test_gold_candidates_are_the_intents_facets_in_order() -> None:
    drawn = draw_questions(gold(NECESSITY), gold(FACETS), DrawOptions(max_questions=2))
    candidates = list_gold_candidates(drawn)
    assert list(candidates["facet"]) == ["size", "price"] * 2
    assert list(candidates["rank"]) == [0, 1] * 2
    assert list(candidates["clarifying_question"]) == ["Which size?", "At which price?"] * 2
    assert candidates["candidate_id"].is_unique


def test_texts_whose_label_is_open_are_not_asked_about() -> None:
    roles = ["vague", "specified", "fact", "says", "next_step", "follow_up", "reading"]
    rows = [{"question": f"{role} text", "role": role} for role in roles]
    drawn = draw_filter_questions(gold(rows), DrawOptions())
    assert {row["question"].split()[0]: row["stands_alone"] for row in drawn.to_dict("records")} == {
        "vague": True,
        "specified": True,
        "fact": True,
        "says": False,
    }


def in3(task: str, *importances: str) -> dict[str, Any]:
    details = [
        {"description": f"Detail {number}", "importance": each, "inquiry": "Which?", "options": []}
        for number, each in enumerate(importances)
    ]
    return {"task": task, "vague": bool(importances), "missing_details": details}


def test_in3_gives_its_vague_tasks_and_a_test_task_is_no_training_task() -> None:
    train = gold([in3("Plan a trip", "3"), in3("Bake a cake", "2", "1"), in3("Say yes")])
    test = gold([in3("Plan a  trip!"), in3("Buy a bike", "1", "3")])
    drawn = draw_in3_tasks(train, test, DrawOptions())
    found = {row["question"]: (row["source"], list(row["importances"])) for row in drawn.to_dict("records")}
    assert found == {"Bake a cake": ("in3_train", [2, 1]), "Buy a bike": ("in3_test", [1, 3])}
    assert draw_in3_tasks(Records(), Records(), DrawOptions()).empty


@pytest.mark.real_data
def test_real_in3_gives_all_its_vague_tasks_without_the_test_tasks_in_train(real_data: Path) -> None:
    train, test = (read_records(str(real_data / "in3" / f"{name}.jsonl"), "in3") for name in ("train", "test"))
    drawn = draw_in3_tasks(train, test, DrawOptions())
    tested = {question_identity(record.data["task"]) for record in test.rows}
    assert (drawn["source"] == "in3_test").sum() == sum(record.data["vague"] for record in test.rows) == 95
    trained = set(drawn.loc[drawn["source"] == "in3_train", "question_id"])
    assert trained.isdisjoint(tested)
    assert {question_identity(record.data["task"]) for record in train.rows if record.data["vague"]} <= trained | tested
    assert {importance for row in drawn["importances"] for importance in row} == {1, 2, 3}


def test_facets_are_listed_once_for_a_question_in_both_sets() -> None:
    questions = draw_questions(gold(NECESSITY), gold(FACETS), DrawOptions(max_questions=4))
    shared = questions["question"].iloc[0]
    tasks = draw_in3_tasks(gold([in3(shared, "3"), in3("Buy a bike", "1")]), Records(), DrawOptions())
    asked, no_log_facets, no_log_answers = gather_facet_questions(questions, tasks)
    assert len(asked) == 5
    assert asked["question_id"].is_unique
    assert no_log_facets.empty
    assert no_log_answers.empty


@pytest.mark.parametrize("limit", [None, 6])
def test_sessions_with_and_without_clarifications_keep_their_shares(limit: int | None) -> None:
    rows = {"session_id": [f"s{number}" for number in range(12)], "chat_id": [f"c{number}" for number in range(12)]}
    clarified = gold([{"chat_id": f"c{number}"} for number in range(4)])
    drawn = draw_sessions(ibis.memtable(rows), clarified, DrawOptions(max_sessions=limit)).to_pandas()
    assert len(drawn) == (limit or 12)
    assert drawn["chat_id"].isin([f"c{number}" for number in range(4)]).sum() == len(drawn) / 3
    assert list(drawn["session_id"]) == sorted(drawn["session_id"])
