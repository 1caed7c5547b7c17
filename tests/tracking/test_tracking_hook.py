"""The hook that feeds MLflow, on small pipelines of the tests' own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import pytest
from kedro.framework.project import configure_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import ParquetDataset

from clarilm_kedro.datasets.adapter import AdapterDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.tracking import Tracker, child_run
from clarilm_kedro.tracking.hook import TrackingHook


class Loader(dict[str, Any]):
    config_patterns = {"mlflow": ["mlflow*"]}  # noqa: RUF012


def hook_of(root: Path, **tracking: Any) -> TrackingHook:
    """A hook that has seen a project with an MLflow file of its own."""
    loader = Loader()
    loader["mlflow"] = {
        "server": {"mlflow_tracking_uri": tracking.pop("uri", "sqlite:///mlflow.db")},
        "tracking": {
            "experiment": {
                "name": tracking.pop("experiment", None),
                "create_experiment_kwargs": {"artifact_location": "mlruns"},
            },
            "run": {"name": None, "nested": True, **tracking},
            "params": {
                "dict_params": {"flatten": True, "recursive": True, "sep": "."},
                "long_params_strategy": "truncate",
            },
        },
    }
    context: Any = SimpleNamespace(
        project_path=root, config_loader=loader, _package_name="clarilm_kedro", _get_config_credentials=dict
    )
    hook = TrackingHook()
    hook.after_context_created(context)
    return hook


def asked(*names: str, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("tags", "node_names", "from_nodes", "to_nodes", "from_inputs", "load_versions", "env"))
    return {**empty, "pipeline_names": list(names), **more}


def same(value: Any) -> Any:
    return value


PIPELINE = Pipeline([Node(same, "results", "copied", name="copy")])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one MLflow file for all tests here: to make one takes seconds."""
    configure_project("clarilm_kedro")
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    before = mlflow.get_tracking_uri()
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


def client(root: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def catalog_of(folder: Path, **metadata: Any) -> tuple[DataCatalog, pd.DataFrame]:
    frame = pd.DataFrame({"benchmark": ["in3"] * 2, "system": ["base", "clarilm"], "acc": [0.25, 0.75]})
    dataset = ParquetDataset(filepath=str(folder / "results.parquet"), metadata={"mlflow": metadata})
    dataset.save(frame)
    return DataCatalog({"results": dataset, "copied": MemoryDataset(), "params:x": MemoryDataset({"a": 1})}), frame


def test_a_run_says_what_it_is_and_what_it_reads(root: Path) -> None:
    hook, (catalog, _) = hook_of(root), catalog_of(root)
    run_params = asked("ofs", "cfd", env="test", runtime_params={"seed": 3})
    hook.before_pipeline_run(run_params, PIPELINE, catalog)
    active = mlflow.active_run()
    hook.before_node_run(PIPELINE.nodes[0], catalog, {"params:x": {"a": 1, "b": {"c": "x" * 7000}}}, is_async=False)
    hook.after_pipeline_run(run_params, PIPELINE, catalog)
    assert mlflow.active_run() is None
    run = client(root).get_run(active.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("cfd+ofs test 20")
    experiment = client(root).get_experiment(run.info.experiment_id)
    assert experiment.name == "clarilm-data"
    assert "build data" in experiment.tags["mlflow.note.content"]
    command = "kedro run --env=test --pipelines=cfd,ofs --params=seed=3"
    assert (run.data.tags["kedro_command"], run.data.tags["mlflow.note.content"]) == (command, f"`{command}`")
    assert run.data.params["x.a"] == "1"
    assert len(run.data.params["x.b.c"]) == 6000
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.tags[0].value) == ("results", "input")
    assert json.loads(given.dataset.source) == {"uri": "results.parquet"}
    assert json.loads(given.dataset.profile)["num_rows"] == 2


def test_names_of_the_users_win(root: Path) -> None:
    hook, (catalog, _) = hook_of(root, name="faster", experiment="mine"), catalog_of(root)
    hook.before_pipeline_run(asked("training"), PIPELINE, catalog)
    with child_run("clarilm_sft", {"rank": 8}) as child:
        pass
    active = mlflow.active_run()
    assert active.info.run_name == "faster"
    assert client(root).get_experiment(active.info.experiment_id).name == "mine"
    assert child is not None
    trained = client(root).get_run(child.run_id)
    assert (trained.info.run_name, trained.data.tags["training"]) == ("clarilm_sft faster", "clarilm_sft")
    hook.after_pipeline_run(asked("training"), PIPELINE, catalog)


def test_a_dataset_is_logged_as_its_catalog_entry_asks(root: Path) -> None:
    catalog, frame = catalog_of(root, table=True, file=True, dataset=True, metrics=["benchmark", "system"])
    hook = hook_of(root)
    hook.after_dataset_saved("results", frame)  # no run is active: nothing happens
    hook.before_pipeline_run(asked("ofs"), Pipeline([]), catalog)
    active = mlflow.active_run()
    hook.after_dataset_saved("results", frame)
    hook.after_dataset_saved("copied", 1)
    hook.after_pipeline_run(asked("ofs"), Pipeline([]), catalog)
    run = client(root).get_run(active.info.run_id)
    files = {
        file.path for folder in ("tables", "files") for file in client(root).list_artifacts(run.info.run_id, folder)
    }
    assert run.data.metrics == {"in3.base.acc": 0.25, "in3.clarilm.acc": 0.75}
    assert files == {"tables/results.json", "files/results.parquet"}
    (made,) = run.inputs.dataset_inputs
    assert (made.dataset.name, made.tags[0].value) == ("results", "output")


def test_the_training_of_a_system_learns_how_good_it_is(root: Path, tmp_path: Path) -> None:
    """Also in a later run, and from a copy of the adapter; one that no run is known to have made changes nothing."""
    adapters = {}
    for system in ("clarilm", "unknown"):
        weights = tmp_path / f"trained-{system}"
        weights.mkdir()
        (weights / "adapter_config.json").write_text("{}")
        (weights / "adapter_model.safetensors").write_text(f"weights of {system}")
        entry = AdapterDataset(filepath=str(tmp_path / system), metadata={"mlflow": {"system": system}})
        entry.save(TrainedAdapter(weights, {}))
        adapters[f"{system}_adapter"] = entry
    adapters["gone_adapter"] = AdapterDataset(filepath=str(tmp_path / "gone"), metadata={"mlflow": {"system": "base"}})
    _, frame = catalog_of(root)
    catalog, _ = catalog_of(tmp_path, trained=True, metrics=["benchmark", "system"])
    for name, entry in adapters.items():
        catalog[name] = entry
    catalog["calibrations"] = JSONDataset(
        filepath=str(tmp_path / "calibrations.json"), metadata={"mlflow": {"trained": True}}
    )
    pipeline = Pipeline([Node(max, [*adapters, "results"], "best", name="best")])

    hook = hook_of(root)
    hook.before_pipeline_run(asked("training"), pipeline, catalog)
    with child_run("clarilm_sft", {"rank": 8}) as child:
        from clarilm_kedro.finetuning.jobs import adapter_digest

        Tracker(child).tags({"adapter": adapter_digest(tmp_path / "clarilm")})
    hook.after_pipeline_run(asked("training"), pipeline, catalog)

    hook = hook_of(root)
    hook.before_pipeline_run(asked("evaluation"), pipeline, catalog)
    active = mlflow.active_run()
    hook.after_dataset_saved("results", frame)
    hook.after_dataset_saved(
        "calibrations", {"clarilm": {"threshold": 0.625, "curve": [1]}, "base": {"threshold": 0.5}}
    )
    hook.after_pipeline_run(asked("evaluation"), pipeline, catalog)
    assert child is not None
    trained = client(root).get_run(child.run_id)
    assert trained.data.metrics == {"in3/acc": 0.75, "calibrations/threshold": 0.625}
    assert trained.data.tags["evaluated_in"] == active.info.run_id
    assert [file.path for file in client(root).list_artifacts(child.run_id)] == ["calibrations.json"]
    evaluated = client(root).get_run(active.info.run_id)
    assert evaluated.data.tags["trained_in.clarilm"] == child.run_id
    assert "trained_in.base" not in evaluated.data.tags


def test_an_error_fails_the_run_and_is_told(root: Path) -> None:
    hook, (catalog, _) = hook_of(root), catalog_of(root)
    hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
    active = mlflow.active_run()
    hook.on_pipeline_error(ClarilmError("Row 7 at https://u:secret@h is broken."), asked("ofs"), PIPELINE, catalog)
    run = client(root).get_run(active.info.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["mlflow.note.content"].endswith("Stopped: Row 7 at https://h is broken.")


def test_a_run_left_open_is_closed_before_the_next_one(root: Path) -> None:
    """Ctrl-C in a notebook calls no hook, and the next run must not go on in the one it stopped."""
    hook, (catalog, _) = hook_of(root), catalog_of(root)
    hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
    first = mlflow.active_run()
    hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
    second = mlflow.active_run()
    hook.after_pipeline_run(asked("ofs"), PIPELINE, catalog)
    assert [client(root).get_run(run.info.run_id).info.status for run in (first, second)] == ["KILLED", "FINISHED"]


def test_a_run_of_the_users_is_joined_and_left_open(root: Path) -> None:
    hook, (catalog, _) = hook_of(root), catalog_of(root)
    mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
    with mlflow.start_run(run_name="a sweep") as own:
        hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
        hook.after_pipeline_run(asked("ofs"), PIPELINE, catalog)
        assert mlflow.active_run().info.run_id == own.info.run_id
    assert client(root).get_run(own.info.run_id).data.tags["kedro_command"] == "kedro run --pipelines=ofs"


def test_a_deleted_experiment_comes_back(root: Path) -> None:
    hook, (catalog, _) = hook_of(root, experiment="of a while ago"), catalog_of(root)
    made = client(root).create_experiment("of a while ago", artifact_location=str(root / "mlruns"))
    client(root).delete_experiment(made)
    hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
    assert mlflow.active_run().info.experiment_id == made
    hook.after_pipeline_run(asked("ofs"), PIPELINE, catalog)


def test_without_tracking_nothing_is_made(tmp_path: Path) -> None:
    hook, (catalog, frame) = hook_of(tmp_path, uri=False), catalog_of(tmp_path, table=True)
    hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
    hook.before_node_run(PIPELINE.nodes[0], catalog, {"params:x": {"a": 1}}, is_async=False)
    hook.after_dataset_saved("results", frame)
    hook.after_pipeline_run(asked("ofs"), PIPELINE, catalog)
    hook.on_pipeline_error(ValueError("x"), asked("ofs"), PIPELINE, catalog)
    assert mlflow.active_run() is None
    assert [path.name for path in tmp_path.iterdir()] == ["results.parquet"]


def test_a_store_that_cannot_be_used_stops_the_run_before_it_starts(tmp_path: Path) -> None:
    hook, (catalog, _) = hook_of(tmp_path, uri="http://127.0.0.1:1"), catalog_of(tmp_path)
    with pytest.raises(ClarilmError, match=r"MLflow cannot use its store at http://127\.0\.0\.1:1"):
        hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
    (tmp_path / "no.db").mkdir()
    hook = hook_of(tmp_path, uri="sqlite:///no.db")
    with pytest.raises(ClarilmError, match="MLflow cannot use its store at sqlite:///"):
        hook.before_pipeline_run(asked("ofs"), PIPELINE, catalog)
    assert mlflow.active_run() is None


@pytest.mark.slow
def test_ctrl_c_ends_the_run_as_killed(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from test_tracking_hook import *\n"
        "configure_project('clarilm_kedro')\n"
        "root = Path(sys.argv[1])\n"
        "hook, (catalog, _) = hook_of(root), catalog_of(root)\n"
        "hook.before_pipeline_run(asked('ofs'), PIPELINE, catalog)\n"
        "print(mlflow.active_run().info.run_id, flush=True)\n"
        "raise KeyboardInterrupt\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert "KeyboardInterrupt" in done.stderr
    assert client(root).get_run(done.stdout.split()[-1]).info.status == "KILLED"
