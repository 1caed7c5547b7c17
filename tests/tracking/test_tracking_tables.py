"""Tables and numbers in the form that MLflow takes."""

import math
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from clarilm_kedro.tracking.tables import plain_name, printable, system_metrics, table_metrics


def results() -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "benchmark": ["in3", "in3", "our_test"],
            "system": ["base", "clarilm", "clarilm"],
            "acc": [0.5, 0.75, 1.0],
            "n": [3, 3, 4],
            "tf": [None, 0.25, None],
            "teacher": ["none", "t", "t"],
        }
    )
    return frame.astype({"tf": "float64"})


def test_every_number_of_a_table_becomes_a_metric_under_its_keys() -> None:
    found = table_metrics(results(), ["benchmark", "system"])
    assert found == {
        "in3.base.acc": 0.5,
        "in3.base.n": 3,
        "in3.clarilm.acc": 0.75,
        "in3.clarilm.n": 3,
        "in3.clarilm.tf": 0.25,
        "our_test.clarilm.acc": 1.0,
        "our_test.clarilm.n": 4,
    }


def test_a_systems_numbers_are_called_the_same_whatever_the_system() -> None:
    found = system_metrics(results(), ["benchmark", "system"], "results_table")
    assert found["base"] == {"in3/acc": 0.5, "in3/n": 3}
    assert found["clarilm"] == {"in3/acc": 0.75, "in3/n": 3, "in3/tf": 0.25, "our_test/acc": 1.0, "our_test/n": 4}


def test_a_mapping_of_systems_gives_its_plain_numbers() -> None:
    fitted = {"threshold": 0.5, "n": 80, "auc": math.nan, "score": None, "status": "fitted", "odd": True, "curve": [1]}
    assert system_metrics({"clarilm": fitted}, [], "calibrations") == {
        "clarilm": {"calibrations/threshold": 0.5, "calibrations/n": 80}
    }


def test_lists_become_json_text_in_mlflow_tables() -> None:
    frame = pd.DataFrame({"sources": [["log", "llm"]], "facet": ["city"]})
    assert list(printable(frame)["sources"]) == ['["log", "llm"]']


def test_of_a_long_table_evenly_spaced_rows_are_shown() -> None:
    frame = pd.DataFrame({"row": range(10)})
    assert list(printable(frame, max_rows=4)["row"]) == [0, 2, 5, 7]
    assert list(printable(frame, max_rows=10)["row"]) == list(range(10))


@given(st.text(min_size=1))
def test_any_name_of_a_system_can_be_logged(name: str) -> None:
    _validate_metric_name(plain_name(name))


def test_names_of_users_and_numbers_that_are_none_are_logged(tmp_path: Path) -> None:
    names = ["gpt-4o@2024", "../../etc", "größe 中", "a//b", "x" * 400, "<b>"]
    frame = pd.DataFrame({"system": names, "acc": [0.1, 0.2, math.nan, 0.4, math.inf, 0.6]})
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = mlflow.create_experiment("odd", artifact_location=str(tmp_path / "artifacts"))
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_metrics(table_metrics(frame, ["system"]))
    logged = mlflow.get_run(run.info.run_id).data.metrics
    assert len(logged) == 5
    assert logged["gpt-4o_2024.acc"] == pytest.approx(0.1)
