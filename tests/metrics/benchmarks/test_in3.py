"""IN3 rows, and what always asking scores on the real test file."""

import json
from pathlib import Path

import pytest

from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.benchmarks.in3 import parse_in3
from clarilm_kedro.metrics.benchmarks.shape import RowError, read_rows
from clarilm_kedro.metrics.necessity import confusion, necessity_scores

ROW = {
    "category": "Food",
    "task": "Find a recipe.",
    "vague": True,
    "missing_details": [
        {"description": "Dish", "importance": "3", "inquiry": "Which dish?", "options": ["Pizza"]},
        {"description": "Time", "importance": "1", "inquiry": " ", "options": []},
    ],
}


def test_vague_row() -> None:
    content = parse_in3(ROW)
    assert (content.question, content.needs_clarification, content.category) == ("Find a recipe.", True, "Food")
    assert (content.references, content.importances, content.facets) == (("Which dish?",), (3,), ("Dish", "Time"))


def test_clear_row_has_no_references() -> None:
    assert parse_in3({**ROW, "vague": False}).references == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"task": None}, "no_question"),
        ({"vague": "true"}, "bad_label"),
        ({"missing_details": None}, "bad_details"),
        ({"missing_details": ["Which?"]}, "bad_details"),
        ({"missing_details": [{"inquiry": "Which?", "importance": "high"}]}, "bad_importance"),
    ],
)
def test_other_forms_are_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(RowError) as caught:
        parse_in3({**ROW, **change})
    assert caught.value.reason == reason


@pytest.mark.real_data
def test_always_and_never_asking_on_the_real_test_file(real_data: Path) -> None:
    lines = (real_data / "in3" / "test.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [Record(i, json.loads(line), "test.jsonl") for i, line in enumerate(lines) if line.strip()]
    items, rejected = read_rows("in3", Records("in3", rows), parse_in3)
    needs = items["needs_clarification"].to_numpy()
    assert (len(items), int(needs.sum()), len(rejected)) == (108, 95, 0)
    assert all(len(each) > 0 for each in items.loc[needs, "references"])
    always = necessity_scores(confusion(needs, [True] * 108))
    never = necessity_scores(confusion(needs, [False] * 108))
    assert [round(100 * always[name], 2) for name in ("acc", "f1_pos", "f1_macro")] == [87.96, 93.60, 46.80]
    assert [round(100 * never[name], 2) for name in ("acc", "f1_pos", "f1_macro")] == [12.04, 0.0, 10.74]
