import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning import building
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.jobs import adapter_digest
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.sft import SftRow, train_sft
from clarilm_kedro.finetuning.tracking import Tracker, child_run


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """An MLflow store of this test's own; gives the client."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = mlflow.create_experiment("tests", artifact_location=(tmp_path / "artifacts").as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(before)


def children(client: Any, parent: str) -> list[Any]:
    experiment = client.get_run(parent).info.experiment_id
    return client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'")


def test_a_training_is_a_child_of_the_active_run(
    store: Any, tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")  # seconds, by default more than this takes
    options = SftOptions(**{**quick, "epochs": 4})
    with mlflow.start_run() as parent:
        mlflow.set_tag("label", "faster")
        trained = train_sft(rows, tiny, options, run_name="clarilm_sft")
        report = trained.report
        assert mlflow.active_run().info.run_id == parent.info.run_id
    (run,) = children(store, parent.info.run_id)
    assert run.info.run_name == "clarilm_sft faster"
    assert run.data.tags["training"] == "clarilm_sft"
    assert run.info.status == "FINISHED"
    assert run.data.params["learning_rate"] == "0.02"
    assert set(run.data.params) == {"method", "base_model", "rows", *SftOptions.model_fields}
    assert run.data.params["rows"] == str(len(rows))
    assert trained.path is not None
    assert run.data.tags["adapter"] == adapter_digest(trained.path)
    curve = store.get_metric_history(run.info.run_id, "loss")
    assert [point.step for point in curve] == list(range(1, report["steps"] + 1))
    assert {"learning_rate", "tokens_per_second", "total_seconds"} <= set(run.data.metrics)
    logged = {file.path for file in store.list_artifacts(run.info.run_id, "adapter")}
    assert logged == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/base_model.json",
    }
    assert store.get_run(parent.info.run_id).data.params == {}
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.name == "clarilm_sft"
    assert json.loads(given.dataset.profile) == {"num_rows": len(rows)}
    assert run.data.metrics["total_peak_memory_gb"] > 0
    assert any(name.startswith("system/") for name in run.data.metrics)
    assert "mfu" not in run.data.metrics  # the peak of a CPU is not known


def test_mfu_is_logged_where_the_devices_peak_is_known(
    store: Any, tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "device_peak", lambda _: 4e12)
    with mlflow.start_run() as parent:
        report = train_sft(rows, tiny, SftOptions(**{**quick, "epochs": 1})).report
    (run,) = children(store, parent.info.run_id)
    assert run.data.metrics["mfu"] == pytest.approx(run.data.metrics["tflops_per_second"] / 4)
    assert report["mfu"] == pytest.approx(run.data.metrics["mfu"])


def test_two_trainings_do_not_share_a_run(store: Any) -> None:
    with mlflow.start_run() as parent:
        for rate in (1, 2):
            with child_run("clarilm_sft", {"learning_rate": rate}) as run:
                Tracker(run).metrics({"loss": 1.0 / rate}, 1)
    assert sorted(run.data.metrics["loss"] for run in children(store, parent.info.run_id)) == [0.5, 1.0]


def test_the_rows_have_one_digest_whatever_is_done_with_them(
    store: Any, tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any]
) -> None:
    """So that two runs beside each other show whether they were trained on the same rows."""
    with mlflow.start_run() as parent:
        for rate, used in ((0.02, rows), (0.01, rows), (0.02, rows[1:])):
            train_sft(used, tiny, SftOptions(**{**quick, "learning_rate": rate, "epochs": 1}))
    runs = sorted(children(store, parent.info.run_id), key=lambda run: run.info.start_time)
    same, again, fewer = (run.inputs.dataset_inputs[0].dataset.digest for run in runs)
    assert same == again != fewer
    assert len({run.data.tags["digest"] for run in runs}) == 3


def test_ctrl_c_marks_a_training_as_killed(store: Any) -> None:
    with mlflow.start_run() as parent, pytest.raises(KeyboardInterrupt), child_run("sft", {}):
        raise KeyboardInterrupt
    (run,) = children(store, parent.info.run_id)
    assert run.info.status == "KILLED"


def test_a_training_that_fails_marks_its_run(
    store: Any, tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any]
) -> None:
    broken = SftOptions(**{**quick, "learning_rate": 1e30, "max_grad_norm": 1e30})
    with mlflow.start_run() as parent, pytest.raises(ClarilmError, match="The loss became"):
        train_sft(rows, tiny, broken)
    (run,) = children(store, parent.info.run_id)
    assert run.info.status == "FAILED"


def test_without_an_active_run_nothing_is_logged(tmp_path: Path) -> None:
    with child_run("sft", {"a": 1}) as run:
        tracker = Tracker(run)
        tracker.metrics({"loss": 1.0}, 1)
        tracker.tags({"a": 1})
        tracker.dataset("rows", "d", tmp_path, 1)
        tracker.adapter(tmp_path)
        with tracker.system_metrics():
            assert run is None
    assert mlflow.active_run() is None


def test_mlflow_is_not_imported_for_nothing() -> None:
    code = (
        "import sys\n"
        "import clarilm_kedro.finetuning.fm_log, clarilm_kedro.finetuning.dpo, clarilm_kedro.pipelines.training.nodes\n"
        "from clarilm_kedro.finetuning.tracking import Tracker, child_run\n"
        "with child_run('sft', {}) as run: Tracker(run).metrics({'loss': 1.0})\n"
        "heavy = {'mlflow', 'torch', 'transformers', 'trl', 'peft', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
