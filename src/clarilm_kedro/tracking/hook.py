"""MLflow is fed: kedro-mlflow's hook, mended and extended."""

import atexit
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from pydantic import BaseModel

from clarilm_kedro.tracking import lineage, naming, server, tables, trainings

SQLITE = "sqlite:///"
_DEFAULT = "__default__"


class TrackingHook(MlflowHook):
    """kedro-mlflow's hook, mended for typed options and several runs in one process, fed by the catalog.

    A catalog entry says under ``metadata.mlflow`` what is to be logged when the dataset is saved:

    - ``table: true``: an MLflow table (evenly spaced rows of a long one), ``file: true``: the saved file;
    - ``metrics: [key columns]``: every numeric column of every row, under the joined keys;
    - ``dataset: true``: digest, rows and columns, as an MLflow dataset with the context ``output``;
    - ``trained: true``: the numbers of each system also go to the run that trained it;
    - ``system: NAME``: the entry is the adapter of that system.

    The reasons for each override stand in docs/decisions.md.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None
        self._already_active_mlflow = False
        self._context: KedroContext | None = None
        self._catalog: DataCatalog | None = None
        self._adapters: dict[str, Path] = {}
        self._config: dict[str, Any] = {}
        self._experiment: str | None = None
        self._command = ""
        atexit.register(self._end_what_is_open)  # after MLflow's own, hence called before it

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read MLflow's configuration, its SQLite file in the project whatever folder the command runs in.

        MLflow itself is set up when a run starts: that makes the SQLite file, or calls a tracking server, and a command
        that only looks must do neither.
        """
        config = deepcopy(context.config_loader["mlflow"])
        server_options = config.setdefault("server", {})
        uri = str(server_options.get("mlflow_tracking_uri") or "")
        self._is_mlflow_enabled = bool(uri)
        if uri.startswith(SQLITE):
            # An absolute path stays what it is: joining keeps the right-hand side then.
            uri = f"{SQLITE}{Path(context.project_path) / uri.removeprefix(SQLITE)}"
        server_options["mlflow_tracking_uri"] = uri or None
        experiment = config.setdefault("tracking", {}).setdefault("experiment", {})
        self._experiment = experiment.get("name")
        experiment["name"] = self._experiment or naming.MAIN
        experiment["create_experiment_kwargs"] = server.experiment_options(experiment, uri)
        context.config_loader["mlflow"] = self._config = config
        # For `kedro mlflow ui`, which reads the address and starts MLflow by itself.
        context.__setattr__("mlflow", KedroMlflowConfig.model_validate(config))
        self._context = context

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Instantiate nothing; Kedro's catalog stays lazy."""

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Set MLflow up, open the run, say what it is and what it reads.

        Raises:
            ClarilmError: MLflow's store cannot be used; nothing has run then.
        """
        self._end_what_is_open()
        if self._context is None or not self._is_mlflow_enabled:
            return
        self._catalog = catalog
        asked = _asked(run_params)
        what = _pipelines_of(pipeline) if _DEFAULT in asked else asked
        config = self._context.config_loader["mlflow"] = deepcopy(self._config)
        config["tracking"]["experiment"]["name"] = self._experiment or naming.experiment_of(what)
        run = config["tracking"].setdefault("run", {})
        label = run.get("name")
        started = datetime.now()
        run["name"] = label or naming.run_name_of(
            what,
            whole=_DEFAULT in asked,
            part=naming.is_part(run_params),
            env=run_params.get("env"),
            now=started,
        )
        store = config["server"]["mlflow_tracking_uri"]
        with server.reaching(store):
            super().after_context_created(self._context)
            super().before_pipeline_run(run_params=run_params, pipeline=pipeline, catalog=catalog)
            if mlflow.active_run() is None:  # the pipeline is among those that mlflow.yml does not track
                return
            try:
                self._describe(run_params, asked, label or started.strftime("%m-%d %H:%M"))
                self._log_inputs(pipeline, catalog)
            except Exception:
                self._end_what_is_open("FAILED")
                raise

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any], is_async: bool) -> None:
        """Log a node's options as flat parameters."""
        if not self._is_tracking:
            return
        plain = {
            name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
            for name, value in inputs.items()
        }
        active, run_id = mlflow.active_run(), self.run_id
        # The plugin opens the run again for every node, for runners with threads; in one thread they would pile up.
        self.run_id = None if active and active.info.run_id == run_id else run_id
        super().before_node_run(node=node, catalog=catalog, inputs=plain, is_async=is_async)
        self.run_id = run_id

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log a saved dataset as its catalog entry asks."""
        if self._catalog is None or not self._is_mlflow_enabled or mlflow.active_run() is None:
            return
        dataset = self._catalog.get(dataset_name)
        wanted = _metadata(dataset)
        if wanted.get("table"):
            mlflow.log_table(tables.printable(data), artifact_file=f"tables/{dataset_name}.json")
        if wanted.get("file"):
            mlflow.log_artifact(str(vars(dataset)["_filepath"]), artifact_path="files")
        if keys := wanted.get("metrics"):
            mlflow.log_metrics(tables.table_metrics(data, keys))
        if wanted.get("dataset"):
            self._log_datasets({dataset_name: Path(str(vars(dataset)["_filepath"]))}, "output")
        if wanted.get("trained"):
            self._log_on_trainings(dataset_name, data, wanted.get("metrics") or [])

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the MLflow run, also where nodes opened it again."""
        if not self._is_tracking:
            return
        super().after_pipeline_run(run_params=run_params, pipeline=pipeline, catalog=catalog)
        self._end_what_is_open("FINISHED")

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Mark the run as failed and say in its description why."""
        if not self._is_tracking:
            return
        if mlflow.active_run() and not self._already_active_mlflow:
            told = server.without_password(str(error))[:1000]
            mlflow.set_tag("mlflow.note.content", f"`{self._command}`\n\nStopped: {told}")
        super().on_pipeline_error(error=error, run_params=run_params, pipeline=pipeline, catalog=catalog)
        self._catalog = self.run_id = None

    @property
    def _is_tracking(self) -> bool:
        return self._catalog is not None

    def _end_what_is_open(self, status: str = "KILLED") -> None:
        """End a run of ours: Ctrl-C and SystemExit call no hook of Kedro's, and MLflow would call it finished."""
        while self._catalog is not None and not self._already_active_mlflow and mlflow.active_run():
            mlflow.end_run(status)
        self._catalog = self.run_id = None

    def _describe(self, run_params: Mapping[str, Any], asked: list[str], label: str) -> None:
        """Tag the run with the command that repeats it, and the experiment with what it is for."""
        run = mlflow.active_run()
        client = mlflow.MlflowClient()
        experiment = client.get_experiment(run.info.experiment_id)
        for key, value in naming.tags_of(experiment.name).items():
            if key not in experiment.tags:
                client.set_experiment_tag(experiment.experiment_id, key, value)
        self._command = naming.command_of(run_params, asked)
        tags = {"kedro_command": self._command, "label": label}
        if not self._already_active_mlflow:
            tags["mlflow.note.content"] = f"`{self._command}`"
        mlflow.set_tags(tags)

    def _log_inputs(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log what the run reads: files with digests, models by name."""
        self._adapters = {}
        for name in sorted(pipeline.datasets()):
            dataset = catalog.get(name)
            if system := _metadata(dataset).get("system"):
                self._adapters[system] = Path(str(vars(dataset)["_filepath"]))
        found: dict[Path, str] = {}
        for name in sorted(pipeline.inputs(), key=lambda name: (name.count("."), name)):
            dataset = catalog.get(name)
            path = getattr(dataset, "_filepath", None)
            if name.startswith("params:") or name == "parameters" or dataset is None:
                continue
            if path is not None and not str(path).endswith(".sqlite"):
                found.setdefault(Path(str(path)), name)  # a log that two namespaces read is one input
            elif model := {key: dataset._describe().get(key) for key in ("model", "source")}:
                mlflow.log_params({f"{name}.{key}": value for key, value in model.items() if value})
        self._log_datasets({name: path for path, name in found.items()}, "input")

    def _log_datasets(self, paths: Mapping[str, Path], context: str) -> None:
        from mlflow.entities import DatasetInput, InputTag

        root = Path(self._context.project_path) if self._context else Path.cwd()
        given = []
        for name, path in paths.items():
            if found := lineage.fingerprint(path):
                shown = path.relative_to(root) if path.is_relative_to(root) else path
                dataset = lineage.as_mlflow(name, found, str(shown))
                given.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
        if given and (run := mlflow.active_run()):
            mlflow.MlflowClient().log_inputs(run.info.run_id, datasets=given)

    def _log_on_trainings(self, name: str, data: Any, keys: list[str]) -> None:
        """Let the run that trained a system say what came of it."""
        run, client = mlflow.active_run(), mlflow.MlflowClient()
        if run is None:
            return
        known = (client.get_experiment_by_name(each) for each in naming.experiments())
        ids = {run.info.experiment_id, *(each.experiment_id for each in known if each)}
        for system, numbers in tables.system_metrics(data, keys, name).items():
            adapter = self._adapters.get(system)
            training = trainings.training_of(client, adapter, sorted(ids)) if adapter else None
            if training is not None:
                mlflow.set_tag(f"trained_in.{system}", training.info.run_id)
                fields = data[system] if isinstance(data, Mapping) else None
                trainings.log_on_training(client, training, run.info.run_id, numbers, fields, name)


def _asked(run_params: Mapping[str, Any]) -> list[str]:
    """Name the pipelines a run was asked for, in the order rows flow: Kedro gives them in that of a set."""
    names = run_params.get("pipeline_name") or run_params.get("pipeline_names") or [_DEFAULT]
    names = [names] if isinstance(names, str) else names
    return sorted(names, key=list(pipelines).index)


def _pipelines_of(pipeline: Pipeline) -> list[str]:
    """Name the registered pipelines that have a node in a part of the default one."""
    nodes, whole = set(pipeline.nodes), set(pipelines[_DEFAULT].nodes)
    parts = {name: set(each.nodes) for name, each in pipelines.items() if name != _DEFAULT}
    return [name for name, own in parts.items() if own <= whole and own & nodes]


def _metadata(dataset: Any) -> dict[str, Any]:
    return (getattr(dataset, "metadata", None) or {}).get("mlflow") or {}
