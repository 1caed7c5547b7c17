"""From an adapter to the MLflow run that trained it, so that a training's run says how good its model is.

The run carries the digest of the adapter's weights as a tag. So it is found from a copy of the adapter too, no id of a
run stands in what is published, and where the store is another one or the run is gone, nothing is found.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: Tag of a training's run: SHA-256 of the adapter's weights.
ADAPTER_TAG = "adapter"


def training_of(client: Any, adapter: Path, experiment_ids: Sequence[str]) -> Any:
    """Find the run that trained an adapter.

    Args:
        client: ``mlflow.MlflowClient``.
        adapter: The adapter's folder.
        experiment_ids: Where to look.

    Returns:
        The latest such run, or None: there is no adapter, or no run is known to have made it.
    """
    from clarilm_kedro.errors import ClarilmError
    from clarilm_kedro.finetuning.jobs import adapter_digest

    try:
        digest = adapter_digest(adapter)
    except ClarilmError:
        return None
    found = client.search_runs(
        list(experiment_ids),
        f"tags.{ADAPTER_TAG} = '{digest}'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return found[0] if found else None


def log_on_training(
    client: Any, run: Any, parent_id: str, numbers: Mapping[str, float], fields: Any, name: str
) -> None:
    """Write what a later step found out about a model on the run that trained it.

    Args:
        client: ``mlflow.MlflowClient``.
        run: The training's run.
        parent_id: The run in which it was found out; becomes the tag ``evaluated_in``.
        numbers: Metrics.
        fields: What is kept as a JSON file beside them; None for nothing.
        name: Of the dataset.
    """
    import time

    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(key, value, now, 0) for key, value in numbers.items()]
    client.log_batch(run.info.run_id, metrics=metrics)
    client.set_tag(run.info.run_id, "evaluated_in", parent_id)
    if fields is not None:
        client.log_dict(run.info.run_id, fields, f"{name}.json")
