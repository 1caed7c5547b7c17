"""Predictions from files: every format, what is accepted, and what each fault says."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clarilm_kedro.datasets.records import RecordsDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.records import Record, Records, Reject
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS, check_complete
from clarilm_kedro.pipelines.evaluation.given import read_given_predictions
from clarilm_kedro.pipelines.evaluation.nodes import merge_predictions

ITEMS = pd.DataFrame({"benchmark": ["in3", "in3", "clamber"], "item_id": ["in3-0", "in3-3", "clamber-0"]})
NAN = float("nan")


def row(item_id: Any = "in3-0", **more: Any) -> dict[str, Any]:
    return {
        "benchmark": "in3",
        "system": "other",
        "item_id": item_id,
        "text": "Need Clarification: No\nIt is 4.",
        **more,
    }


def read(*rows: dict[str, Any]) -> pd.DataFrame:
    given = Records("predictions", [Record(number, each, "p.jsonl") for number, each in enumerate(rows)])
    return read_given_predictions(given, ITEMS)


def test_decisions_come_from_the_text_or_from_asked() -> None:
    found = read(
        row(text="**Need Clarification:** Yes\nClarifying question: Which day?", p_ask=0.75),
        row(3, asked=False, text=""),
        row("in3-0", seed=1, text=""),
        row("in3-3", seed="1", asked="yes", text="I must ask. Which day?", question="Which day?", p_ask=""),
    )
    assert list(found.columns) == list(PREDICTION_COLUMNS)
    columns = ["seed", "item_id", "text", "asked", "question", "parsed"]
    assert found[columns].values.tolist() == [
        [0, "in3-0", "Clarifying question: Which day?", True, "Which day?", True],
        [0, "in3-3", "", False, "", True],
        [1, "in3-0", "", False, "", False],
        [1, "in3-3", "I must ask. Which day?", True, "Which day?", True],
    ]
    assert found["p_ask"].tolist()[0] == 0.75
    assert found["p_ask"].isna().sum() == 3
    check_complete(ITEMS, found)  # a system need not be in every benchmark


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [row(), row()],
            r"p\.jsonl, row 1 \(system 'other', benchmark 'in3', item 'in3-0'\): the same item as in .*row 0",
        ),
        ([row(), row("in3-9")], r"row 1 .*'in3-9' is no item of this run's 'in3'"),
        ([row(), row(7)], r"row 1 .*'in3-7' is no item"),
        ([row(benchmark="in4")], r"no benchmark 'in4', only clamber, in3"),
        ([row()], r"System 'other', seed 0, has no prediction for item 'in3-3' of benchmark 'in3'"),
        ([row(), row("in3-3"), row(seed=2)], r"seed 2, has no prediction for item 'in3-3'"),
        ([row(text=NAN)], r"row 0 .*'text' is NaN"),
        ([row(text=None)], r"neither 'text' nor 'asked'"),
        ([row(asked=NAN)], r"'asked' is NaN"),
        ([row(asked=2)], r"'asked' is 2, expected true or false"),
        ([row(asked=True)], r"'asked' is True, but the text says otherwise: 'Need Clarification: No"),
        ([row(system="")], r"'system' is '', expected a name"),
        ([row(benchmark=NAN)], r"'benchmark' is NaN"),
        ([row("")], r"'item_id' is '', expected an id such as 'in3-0'"),
        ([row(NAN)], r"'item_id' is NaN"),
        ([row(None)], r"'item_id' is missing"),
        ([row(p_ask=NAN)], r"'p_ask' is NaN"),
        ([row(p_ask=1.5)], r"'p_ask' is 1\.5, expected a number from 0 to 1"),
        ([row(seed=0.5)], r"'seed' is 0\.5"),
        ([row(label=1)], r"no column 'label'"),
    ],
)
def test_each_fault_names_its_row(rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ClarilmError, match=said):
        read(*rows)


def test_many_faults_are_counted_and_unreadable_lines_are_faults() -> None:
    with pytest.raises(ClarilmError, match=r"(?s)12 faults:.*and 2 more"):
        read(*(row(f"x{number}") for number in range(12)))
    with pytest.raises(ClarilmError, match=r"p\.jsonl, line 3: cut off"):
        read_given_predictions(Records("predictions", [], [Reject("p.jsonl", 2, "cut off", 3)]), ITEMS)


def test_no_file_is_no_rows() -> None:
    assert read().empty
    assert list(read().columns) == list(PREDICTION_COLUMNS)


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet", "tsv"])
def test_every_format_says_the_same(tmp_path: Path, form: str) -> None:
    # A line of TSV is a row, so a text of two lines cannot stand there.
    text = "Which day?" if form == "tsv" else "Need Clarification: Yes\nWhich day?"
    rows = [row(text=text, asked=True), row("in3-3", text="", asked=False)]
    path, frame = tmp_path / f"p.{form}", pd.DataFrame(rows)
    if form == "parquet":
        frame.to_parquet(path)
    elif form in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if form == "csv" else "\t")
    else:
        path.write_text(json.dumps(rows) if form == "json" else "\n".join(map(json.dumps, rows)))
    found = read_given_predictions(RecordsDataset(filepath=str(path), name="predictions").load(), ITEMS)
    assert found[["item_id", "asked", "question", "parsed"]].values.tolist() == [
        ["in3-0", True, "Which day?", True],
        ["in3-3", False, "", True],
    ]


def test_a_given_system_may_not_have_the_name_of_another() -> None:
    given = read(row(), row("in3-3"))
    with pytest.raises(ClarilmError, match="Two systems are called 'other'"):
        merge_predictions(given, given)
