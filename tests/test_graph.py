"""The graph as a whole: names, layers, descriptions, options, and what a missing input says."""

import inspect
import re
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline

from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.pipeline_registry import register_pipelines

PIPELINES = ("ingestion", "cfd", "ofs", "training", "evaluation", "audit", "recall", "release")
BESIDE = ("download", "published", "judge", "inference")


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    return register_pipelines()


@pytest.fixture(scope="module")
def loader(project: Path) -> ChainedConfigLoader:
    return ChainedConfigLoader(project / "conf", base_env="base", default_run_env="local")


def datasets(pipeline: Pipeline) -> set[str]:
    return {name for name in pipeline.datasets() if not name.startswith("params:")}


def test_the_pipelines_make_the_default_run_and_others_stand_beside(pipelines: dict[str, Pipeline]) -> None:
    assert set(pipelines) == {*PIPELINES, *BESIDE, "__default__"}
    assert len(pipelines["__default__"].nodes) == sum(len(pipelines[name].nodes) for name in PIPELINES)


def test_every_dataset_has_an_entry_a_layer_and_a_description(
    pipelines: dict[str, Pipeline], loader: ChainedConfigLoader
) -> None:
    catalog = loader["catalog"]
    for name in sorted(set().union(*(datasets(pipelines[each]) for each in ("__default__", *BESIDE)))):
        metadata = catalog[name]["metadata"]
        assert metadata["kedro-viz"]["layer"], name
        assert re.search(r"[.]$", metadata["description"]), name


def test_the_catalog_holds_nothing_that_no_pipeline_uses(
    pipelines: dict[str, Pipeline], loader: ChainedConfigLoader
) -> None:
    used = set().union(*(datasets(pipelines[each]) for each in ("__default__", *BESIDE)))
    assert {name for name in loader["catalog"] if "{" not in name} == used


def test_only_files_prompts_and_chat_models_are_free_inputs(
    pipelines: dict[str, Pipeline], loader: ChainedConfigLoader
) -> None:
    free = {name for name in pipelines["__default__"].inputs() if not name.startswith("params:")}
    layers = {loader["catalog"][name]["metadata"]["kedro-viz"]["layer"] for name in free}
    assert layers == {"raw", "chat"}


def test_the_audit_needs_nothing_that_another_pipeline_makes(
    pipelines: dict[str, Pipeline], loader: ChainedConfigLoader
) -> None:
    """A teacher is audited before anything is spent, so not even FM-LOG may be asked for."""
    free = {name for name in pipelines["audit"].inputs() if not name.startswith("params:")}
    assert {loader["catalog"][name]["metadata"]["kedro-viz"]["layer"] for name in free} == {"raw", "chat"}


def test_the_audit_runs_the_nodes_of_the_pipelines(pipelines: dict[str, Pipeline]) -> None:
    """What reads logs, asks and accepts in the audit is the function that a run calls, with the same options."""
    nodes = {node.short_name: node for name in ("ingestion", "cfd", "ofs") for node in pipelines[name].nodes}
    copies = {node.short_name: node for node in pipelines["audit"].nodes if node.short_name in nodes}
    assert copies.keys() >= {"read_conversations", "extract_clarifications", "fuse_facets", "annotate_optimal_facet"}
    for name, copy in copies.items():
        assert inspect.unwrap(copy.func) is nodes[name].func, name
        options = {each for each in nodes[name].inputs if each.startswith("params:")}
        assert options <= set(copy.inputs), name


def test_no_two_datasets_are_kept_in_one_file(loader: ChainedConfigLoader) -> None:
    """A copy of a pipeline in a namespace must not write over the run's own tables."""
    read_only = ("RecordsDataset", "ChatLogDataset")
    kept = [
        entry["filepath"]
        for entry in loader["catalog"].values()
        if entry.get("filepath") and not entry["type"].endswith(read_only)
    ]
    assert len(kept) == len(set(kept))


def test_every_node_has_a_name_of_its_own_and_a_docstring(pipelines: dict[str, Pipeline]) -> None:
    for node in pipelines["__default__"].nodes:
        assert re.fullmatch(r"([a-z0-9_]+\.){1,2}[a-z0-9_]+", node.name), node.name
        assert node.func.__doc__, node.name


def test_kedro_finds_nothing_to_warn_of_in_the_graph(recwarn: pytest.WarningsRecorder) -> None:
    """A namespace that other nodes interrupt would be one warning at every command."""
    assert register_pipelines()["__default__"].nodes
    assert [str(each.message) for each in recwarn if each.category is UserWarning] == []


def test_parameters_list_every_option_of_every_block(
    pipelines: dict[str, Pipeline], loader: ChainedConfigLoader
) -> None:
    """What stands in parameters.yml is what --params may change, so nothing may be missing there."""
    blocks = _option_blocks(pipelines["__default__"] + pipelines["judge"])
    assert blocks
    for path, model in blocks.items():
        given: Any = loader["parameters"]
        for part in path.split("."):
            given = given[part]
        assert set(given) == set(model.model_fields), path


def test_a_namespace_can_be_run_alone(pipelines: dict[str, Pipeline]) -> None:
    """``kedro run --namespaces=ofs`` runs what ``--pipeline=ofs`` runs; the nested ones are parts of it."""
    everything = pipelines["__default__"]
    for name in ("ingestion", "cfd", "ofs", "training", "evaluation"):
        assert set(everything.only_nodes_with_namespaces([name]).nodes) == set(pipelines[name].nodes)
    assert {node.namespace for node in pipelines["ofs"].nodes} == {"ofs", "ofs.facet_detection"}


@pytest.mark.parametrize(
    ("name", "dataset", "maker"),
    [
        ("ofs", "sessions", "ingestion"),
        ("training", "sft_train", "ofs"),
        ("recall", "facets", "ofs"),
        ("judge", "predictions", "evaluation"),
    ],
)
def test_a_pipeline_run_too_early_names_what_is_missing(
    workspace: Path, tmp_path: Path, name: str, dataset: str, maker: str
) -> None:
    bootstrap_project(workspace)
    with (
        KedroSession.create(workspace, env="test", runtime_params={"store": str(tmp_path)}) as session,
        pytest.raises(ClarilmError, match=f"'{dataset}' is made by the pipeline {maker}"),
    ):
        session.run(pipeline_names=[name])


def test_a_missing_input_file_names_its_global(workspace: Path, tmp_path: Path) -> None:
    bootstrap_project(workspace)
    params = {"store": str(tmp_path), "inputs": {"sharegpt": str(tmp_path / "none.json")}}
    with (
        KedroSession.create(workspace, env="test", runtime_params=params) as session,
        pytest.raises(ClarilmError, match=r"inputs\.sharegpt"),
    ):
        session.run(pipeline_names=["ingestion"])


def test_tracking_stays_in_the_project_wherever_the_command_runs(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kedro changes no folder, and a relative SQLite address is relative to the folder one is in."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    bootstrap_project(workspace)
    with KedroSession.create(workspace, env="test", runtime_params={"store": str(tmp_path / "store")}) as session:
        # What `kedro mlflow ui` starts MLflow with; nothing is set up for it.
        assert session.load_context().mlflow.server.mlflow_tracking_uri == f"sqlite:///{workspace / 'mlflow.db'}"
        session.run(pipeline_names=["ingestion"])
    assert mlflow.get_tracking_uri() == f"sqlite:///{workspace / 'mlflow.db'}"
    experiment = mlflow.get_experiment_by_name("clarilm-data")
    assert Path(experiment.artifact_location.removeprefix("file://")) == workspace / "mlruns"
    assert list(elsewhere.iterdir()) == []


def test_logging_configuration_is_valid(project: Path) -> None:
    assert yaml.safe_load((project / "conf" / "logging.yml").read_text())["version"] == 1


def _option_blocks(pipeline: Pipeline) -> dict[str, Any]:
    blocks = {}
    for node in pipeline.nodes:
        names = list(node._inputs) if isinstance(node._inputs, list) else [node._inputs]
        hints = list(inspect.signature(node.func).parameters.values())
        for name, hint in zip(names, hints, strict=False):
            if isinstance(name, str) and name.startswith("params:"):
                blocks[name.removeprefix("params:")] = hint.annotation
    return blocks
