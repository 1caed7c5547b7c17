"""One MLflow child run per training: our own options, the loss curve, the adapter.

The trainers' own MLflow reporting stays off: it would log some 160 parameters of its own, and two trainings in one run
clash over them. The run is made by whoever launches a training and handed to the worker by its id, so that it is one
run however many processes train. Without an active run nothing is logged, and mlflow is not even imported.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class TrackedRun(NamedTuple):
    """Where a training reports to."""

    tracking_uri: str
    run_id: str


#: How a run reaches the worker: MLflow's own names, so that a worker started by hand can be given them too.
_ENVIRONMENT = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")


def to_environment(run: TrackedRun | None) -> dict[str, str]:
    """Write a run as environment variables of a worker."""
    return {} if run is None else dict(zip(_ENVIRONMENT, run, strict=True))


def from_environment() -> TrackedRun | None:
    """Read the run that a launcher handed over."""
    uri, run_id = (os.environ.get(name) for name in _ENVIRONMENT)
    return TrackedRun(uri, run_id) if uri and run_id else None


class Tracker:
    """Reports to a run from any process.

    Args:
        run: The run; None reports nothing.
    """

    def __init__(self, run: TrackedRun | None) -> None:
        self._run = run
        self._client: Any = None
        if run is not None:
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=run.tracking_uri)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers, at a step of the curve or once."""
        if self._run is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run.run_id, metrics=[Metric(key, float(value), now, step) for key, value in values.items()]
        )

    def tags(self, values: Mapping[str, Any]) -> None:
        """Set tags."""
        if self._run is not None:
            for key, value in values.items():
                self._client.set_tag(self._run.run_id, key, str(value))

    def dataset(self, name: str, digest: str, source: Path, rows: int) -> None:
        """Say which rows were trained on; nothing of no rows."""
        if self._run is None or not rows:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        given = Dataset(
            name=name,
            digest=digest,
            source_type="local",
            source=json.dumps({"uri": str(source)}),
            profile=json.dumps({"num_rows": rows}),
        )
        inputs = [DatasetInput(given, [InputTag("mlflow.data.context", "training")])]
        self._client.log_inputs(self._run.run_id, datasets=inputs)

    def adapter(self, folder: Path) -> None:
        """Keep the adapter's files."""
        if self._run is not None:
            self._client.log_artifacts(self._run.run_id, str(folder), "adapter")

    @contextmanager
    def system_metrics(self) -> Iterator[None]:
        """Log processor, memory and GPU use for as long as the block runs."""
        if self._run is None:
            yield
            return
        import mlflow
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        mlflow.set_tracking_uri(self._run.tracking_uri)  # the monitor asks for it; in a worker nobody has set it
        monitor = SystemMetricsMonitor(self._run.run_id)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()


@contextmanager
def child_run(name: str, params: Mapping[str, Any]) -> Iterator[TrackedRun | None]:
    """Open a run below the active one for as long as a training takes; an error marks it as failed, Ctrl-C as killed.

    Where the parent has the tag ``label``, the child's name ends in it: two trainings of one kind can be told apart
    beside each other. The child's own tag ``training`` holds the name without it.

    Args:
        name: Name of the child run.
        params: Flat options to log.

    Yields:
        The run, or None where no run is active.
    """
    mlflow = sys.modules.get("mlflow")  # whoever started a run has imported it
    if mlflow is None or (parent := mlflow.active_run()) is None:
        yield None
        return
    from mlflow.entities import Param

    client = mlflow.MlflowClient()
    label = client.get_run(parent.info.run_id).data.tags.get("label", "")
    tags = {"mlflow.parentRunId": parent.info.run_id, "training": name}
    run = client.create_run(parent.info.experiment_id, run_name=f"{name} {label}".strip(), tags=tags)
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
    try:
        yield TrackedRun(mlflow.get_tracking_uri(), run.info.run_id)
    except BaseException as error:
        client.set_terminated(run.info.run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    client.set_terminated(run.info.run_id, "FINISHED")
