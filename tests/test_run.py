"""The whole graph through KedroSession on the test environment, and again from the response store."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from mlflow.tracking import MlflowClient

from clarilm_kedro.commands import commands
from network import only_loopback, without_network
from notebook_running import outputs_of_notebook
from project_copy import copy_of_the_project
from reconciliation import unbalanced

pytestmark = pytest.mark.slow


def run(root: Path, monkeypatch: pytest.MonkeyPatch, **kwargs: Any) -> None:
    monkeypatch.chdir(root)
    bootstrap_project(root)
    with KedroSession.create(root, env="test") as session:
        session.run(**kwargs)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A finished run, and what it tried to reach beyond loopback."""
    root = copy_of_the_project(tmp_path_factory.mktemp("finished") / "clarilm")
    with pytest.MonkeyPatch.context() as monkeypatch, only_loopback() as tried:
        run(root, monkeypatch)
    return root, tried


@pytest.fixture(scope="module")
def finished(watched: tuple[Path, list[str]]) -> Path:
    return watched[0]


def read(root: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(next((root / "data" / "test").rglob(f"{name}.parquet")))


def runs(root: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    experiments = [each.experiment_id for each in client.search_experiments()]
    return client.search_runs(experiments, order_by=["attributes.start_time ASC"])


def test_a_default_run_tries_to_reach_nothing_beyond_loopback(watched: tuple[Path, list[str]]) -> None:
    assert watched[1] == []


def test_every_table_is_there_and_names_its_teacher(finished: Path) -> None:
    for name in (
        "clarifications",
        "seed_questions",
        "synthetic_questions",
        "answers",
        "annotations",
        "preferences",
        "sft_train",
    ):
        assert set(read(finished, name)["teacher"]) == {"sample-teacher"}, name
    results = read(finished, "results_table")
    assert set(results["benchmark"]) == {"our_test", "in3", "clamber"}
    assert {"always-ask", "never-ask", "tf-idf", "base", "clarilm-sft", "clarilm"} <= set(results["system"])
    assert set(results.loc[results["system"] == "clarilm", "teacher"]) == {"sample-teacher"}


def test_no_test_question_is_trained_on(finished: Path) -> None:
    from clarilm_kedro.text.normalise import normalise_question

    tested = {normalise_question(text) for text in read(finished, "benchmarks")["question"]}
    for name in ("sft_train", "dpo_train", "validation"):
        assert tested.isdisjoint(normalise_question(text) for text in read(finished, name)["question"]), name


def test_every_count_adds_up_from_sessions_to_preferences(finished: Path) -> None:
    assert unbalanced(finished / "data" / "test") == []
    assert len(read(finished, "preferences")) > 0
    assert not read(finished, "leakage_summary")["action"].eq("remains").any()


def test_the_audit_of_the_scripted_teacher_shows_that_the_pipelines_lose_nothing(finished: Path) -> None:
    audit = read(finished, "teacher_audit").set_index(["task", "subset", "metric"])["value"]
    for task, subset, metric in (
        ("ingestion", "all", "gold_in_sessions"),
        ("extraction", "all", "f1"),
        ("extraction", "all", "facet_exact"),
        ("question_filter", "all", "accuracy"),
        ("facets", "all", "recall_at_10_exact"),
        ("in3_facets", "all", "recall_at_10_exact"),
        *(
            ("annotation", candidates, metric)
            for candidates in ("own_candidates", "gold_candidates")
            for metric in ("annotated", "accuracy", "kappa", "best_facet_offered_exact", "best_facet_chosen_exact")
        ),
    ):
        assert audit[task, subset, metric] >= 0.99, (task, subset, metric)
    assert audit["cost", "all", "failed_share"] == 0
    assert set(read(finished, "teacher_audit")["teacher"]) == {"sample-teacher (scripted)"}
    assert runs(finished)[0].data.metrics["annotation.own_candidates.kappa.value"] >= 0.99


def test_facet_recall_is_there_for_every_source(finished: Path) -> None:
    recall = read(finished, "facet_recall")
    assert {(row["benchmark"], row["source"]) for row in recall.to_dict("records")} == {
        (benchmark, source) for benchmark in ("sample_world", "in3") for source in ("log", "llm", "fused")
    }
    whole = recall[recall["subset"] == "all"].set_index(["benchmark", "source", "metric"])["value"]
    for benchmark in ("sample_world", "in3"):
        assert whole[benchmark, "llm", "recall_at_10_exact"] == 1
        assert whole[benchmark, "fused", "recall_at_10_exact"] >= whole[benchmark, "log", "recall_at_10_exact"]


def test_trainings_are_nested_runs_with_curves(finished: Path) -> None:
    found = runs(finished)
    parents = [each for each in found if "mlflow.parentRunId" not in each.data.tags]
    children = [each for each in found if "mlflow.parentRunId" in each.data.tags]
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    assert {each.data.tags["training"] for each in children} == {"fm_log_sft", "clarilm_sft", "clarilm_dpo"}
    assert parents[0].info.run_name.startswith("all test 20")
    assert {each.info.run_name for each in children} == {
        f"{each.data.tags['training']} {parents[0].data.tags['label']}" for each in children
    }
    assert {each.info.experiment_id for each in children} == {parents[0].info.experiment_id}
    assert all("loss" in each.data.metrics for each in children)
    assert parents[0].data.params["ofs.synthesis.per_call"] == "3"
    assert any(key.startswith("our_test.clarilm.") for key in parents[0].data.metrics)
    assert parents[0].data.params["chat_llm.model"] == "sample-teacher"
    aligned = next(each for each in children if each.data.tags["training"] == "clarilm_dpo")
    assert aligned.data.metrics["our_test/f1_macro"] == parents[0].data.metrics["our_test.clarilm.f1_macro"]
    assert "calibrations/threshold" in aligned.data.metrics
    assert aligned.data.tags["evaluated_in"] == parents[0].info.run_id


def test_a_run_names_the_data_it_read_and_made(finished: Path) -> None:
    parent = next(each for each in runs(finished) if each.info.run_name.startswith("all test"))
    used = {each.dataset.name: (each.dataset, each.tags[0].value) for each in parent.inputs.dataset_inputs}
    assert {name for name, (_, context) in used.items() if context == "input"} >= {"sharegpt", "wildchat", "clamber"}
    for name in ("sessions", "clarifications", "preferences", "sft_train", "our_test", "row_scores"):
        given, context = used[name]
        assert (context, json.loads(given.profile)["num_rows"]) == ("output", len(read(finished, name))), name
        assert json.loads(given.source)["uri"].startswith("data/test/")


def test_tables_reports_and_pages_are_artifacts(finished: Path) -> None:
    parent = next(each for each in runs(finished) if each.info.run_name.startswith("all test"))
    client = MlflowClient(f"sqlite:///{finished}/mlflow.db")
    kept = {file.path for folder in ("tables", "files") for file in client.list_artifacts(parent.info.run_id, folder)}
    assert kept >= {
        *(f"tables/{name}.json" for name in ("results_table", "row_scores", "predictions", "comparisons")),
        *(f"files/{name}" for name in ("report.html", "figures.html", "examples.html", "results.md")),
    }


def test_the_final_model_is_registered_with_its_card(finished: Path) -> None:
    told = json.loads((finished / "data" / "test" / "08_reporting" / "registered_model.json").read_text())
    assert (told["status"], told["model_uri"]) == ("registered", "models:/clarilm@champion")
    version = MlflowClient(f"sqlite:///{finished}/mlflow.db").get_model_version_by_alias("clarilm", "champion")
    assert version.tags["teacher"] == "sample-teacher"
    card = (finished / "data" / "test" / "08_reporting" / "model_card.md").read_text()
    assert "say nothing about real questions" in card
    assert card.split("\n---\n", 1)[1].strip()[:200] == version.description[:200]
    assert "sample data" in (finished / "data" / "test" / "08_reporting" / "data_card.md").read_text()


def test_a_second_run_buys_nothing_and_gives_the_same_rows(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: read(finished, name) for name in ("annotations", "preferences", "facets")}
    run(finished, monkeypatch, pipeline_names=["ofs"])
    for name, frame in before.items():
        pd.testing.assert_frame_equal(frame, read(finished, name))
    last = runs(finished)[-1]
    assert last.data.metrics["chat.choice.requests_sent"] == 0
    assert last.data.metrics["chat.choice.store_hits"] > 0
    assert mlflow.active_run() is None


def test_a_poor_teacher_does_not_stop_the_run(finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing mined, nothing annotated: trainings and calibration say why they were skipped, evaluation still runs."""
    monkeypatch.chdir(finished)
    bootstrap_project(finished)
    params = {
        "store": str(tmp_path),
        "fm_log": {"min_examples": 10_000},
        "limits": {"seed_questions": 3, "synthetic_questions": 1},
    }
    with KedroSession.create(finished, env="test", runtime_params=params) as session:
        session.run()
    results = pd.read_parquet(next(tmp_path.rglob("results_table.parquet")))
    assert {"always-ask", "base"} <= set(results["system"])


def command(root: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.chdir(root)
    result = CliRunner().invoke(commands, ["clarilm", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_plan_after_a_run_has_nothing_left_to_buy(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = command(finished, monkeypatch, "plan", "--env", "test")
    assert "Together 0 calls, US$ 0.00." in told
    assert told.count("exact") == 7 + 6
    changed = command(finished, monkeypatch, "plan", "--env", "test", "-p", "ofs", "--params", "chat_llm.max_tokens=99")
    assert "replies as long as so far" in changed
    assert "Together 0 calls" not in changed


def test_the_audit_is_printed(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = command(finished, monkeypatch, "audit", "--env", "test")
    assert "Chat model: sample-teacher (scripted)" in told
    assert "R@10" in told


@pytest.mark.parametrize("name", ["01_sessions_and_facets", "02_annotations", "03_compare_lora_runs"])
def test_the_notebooks_run(project: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("KEDRO_ENV", "test")
    outputs = outputs_of_notebook(project / "notebooks" / f"{name}.ipynb", finished)
    assert any("image/png" in each for each in outputs)
    assert any("<table" in each.get("text/html", "") for each in outputs)


def test_a_plan_before_any_run_is_an_estimate(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = command(workspace, monkeypatch, "plan", "--env", "paper")
    assert told.count("estimate: ") == 7 + 6 + 5  # the last are the baselines of the paper that are endpoints
    assert re.search(r"without .*deepseek-ai/DeepSeek-R1, .*whose price is not in the price table", told)
    assert "The memory of the trainings is not planned" in told
    assert not (workspace / "data" / "paper").exists()


def test_the_store_can_be_looked_into(finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = command(finished, monkeypatch, "store", "--env", "test")
    assert "0 requests were lost on their way" in told
    assert {"extraction", "facets", "answer", "choice"} <= set(told.split())
    out = tmp_path / "replies.jsonl"
    command(finished, monkeypatch, "store", "--env", "test", "export", "--stage", "facets", "--out", str(out))
    stages = [json.loads(line)["stage"] for line in out.read_text().splitlines()]
    asked = {
        text for name in ("llm_facet_replies", "audit_llm_facet_replies") for text in read(finished, name)["question"]
    }
    assert len(stages) == len(asked)
    assert set(stages) == {"facets"}
    assert command(finished, monkeypatch, "store", "--env", "test", "prune", "--model", "other", "--yes").endswith(
        "0 replies deleted.\n"
    )


@pytest.fixture(scope="module")
def second(finished: Path) -> bool:
    """Another learning rate, with no network but loopback where that can be had; gives whether it could."""
    denied = without_network()
    options = "--params=sft.learning_rate=0.003,run_name=faster"
    subprocess.run(
        [*(denied or []), sys.executable, "-m", "kedro", "run", "--env=test", options],
        cwd=finished,
        check=True,
        timeout=1200,
    )
    return denied is not None


def test_a_default_run_needs_no_network(second: bool) -> None:
    if not second:
        pytest.skip("unshare may not take the network away here")


def test_two_lora_runs_can_be_compared(finished: Path, second: bool) -> None:
    """The same keys of options and numbers, the same rows, results of each: what the UI lays side by side."""
    pair = [each for each in runs(finished) if each.data.tags.get("training") == "clarilm_sft"]
    assert [each.data.params["learning_rate"] for each in pair] == ["0.0015", "0.003"]
    assert pair[1].info.run_name == "clarilm_sft faster"
    assert set(pair[0].data.params) == set(pair[1].data.params)
    results = [{key: value for key, value in each.data.metrics.items() if key.startswith("our_test/")} for each in pair]
    assert set(results[0]) == set(results[1]) >= {"our_test/f1_macro", "our_test/ask_rate", "our_test/n"}
    digests = {each.inputs.dataset_inputs[0].dataset.digest for each in pair}
    assert len(digests) == 1
    assert pair[0].data.tags["adapter"] != pair[1].data.tags["adapter"]
    assert pair[0].info.experiment_id == pair[1].info.experiment_id
