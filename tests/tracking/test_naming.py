"""Under which experiment and name a run is found again."""

import shlex
from datetime import datetime

import pytest

from clarilm_kedro.tracking.naming import command_of, experiment_of, experiments, is_part, run_name_of, tags_of

NOW = datetime(2026, 11, 24, 18, 5, 59)


@pytest.mark.parametrize(
    ("pipelines", "experiment"),
    [
        (["ingestion", "cfd", "ofs", "training", "evaluation", "audit"], "clarilm"),
        (["training"], "clarilm"),
        (["training", "evaluation"], "clarilm"),
        (["ofs"], "clarilm-data"),
        (["ingestion", "cfd"], "clarilm-data"),
        (["published", "download"], "clarilm-data"),
        (["published", "training", "evaluation"], "clarilm"),
        (["evaluation", "judge"], "clarilm-evaluation"),
        (["audit", "recall"], "clarilm-audit"),
        (["audit", "ofs"], "clarilm"),
        (["of_the_users_own"], "clarilm"),
        (["ofs", "of_the_users_own"], "clarilm"),
        ([], "clarilm"),
    ],
)
def test_what_is_run_chooses_the_experiment(pipelines: list[str], experiment: str) -> None:
    assert experiment_of(pipelines) == experiment
    assert experiment in experiments()


def test_every_experiment_says_what_is_in_it() -> None:
    assert all(tags_of(name)["mlflow.note.content"] for name in experiments())
    assert tags_of("of the user's own") == {}


def test_a_run_is_named_by_what_is_run_and_when() -> None:
    whole = ["ingestion", "cfd", "ofs", "training", "evaluation"]
    assert run_name_of(whole, whole=True, part=False, env=None, now=NOW) == "all 2026-11-24 18:05"
    assert run_name_of(["ofs"], whole=False, part=False, env="test", now=NOW) == "ofs test 2026-11-24 18:05"
    assert (
        run_name_of(["training", "evaluation"], whole=True, part=True, env=None, now=NOW)
        == "part of training+evaluation 2026-11-24 18:05"
    )


def test_a_run_of_some_nodes_is_a_part() -> None:
    assert is_part({"from_nodes": ["a"], "tags": None})
    assert not is_part({"from_nodes": None, "tags": [], "namespaces": ()})


def test_the_command_repeats_the_run_with_its_options() -> None:
    run_params = {
        "env": "test",
        "from_nodes": ["a", "b"],
        "node_names": ["c"],
        "runtime_params": {"sft": {"learning_rate": 0.003}, "run_name": "two words; rm"},
    }
    line = command_of(run_params, ["training", "evaluation"])
    assert shlex.split(line) == [
        "kedro",
        "run",
        "--env=test",
        "--pipelines=training,evaluation",
        "--from-nodes=a,b",
        "--nodes=c",
        "--params=sft.learning_rate=0.003,run_name=two words; rm",
    ]
    assert command_of({}, ["__default__"]) == "kedro run"
