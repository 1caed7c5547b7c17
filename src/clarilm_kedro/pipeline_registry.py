"""The project's pipelines by name."""

from kedro.pipeline import Pipeline

from clarilm_kedro.pipelines import audit, cfd, download, evaluation, ingestion, judge, ofs, published, training


def register_pipelines() -> dict[str, Pipeline]:
    """Register the five pipelines in the order rows flow through them, those that measure a teacher, and three beside.

    Returns:
        Pipelines by name; ``__default__`` is all of them without ``download``, ``published`` and ``judge``.
    """
    pipelines = {
        "ingestion": _grouped("ingestion", ingestion.create_pipeline()),
        "cfd": _grouped("cfd", cfd.create_pipeline()),
        "ofs": _grouped("ofs", ofs.create_pipeline()),
        "training": _grouped("training", training.create_pipeline()),
        "evaluation": _grouped("evaluation", evaluation.create_pipeline()),
        "audit": audit.create_pipeline(),
        "recall": audit.create_recall(),
    }
    return {
        **pipelines,
        "download": _grouped("download", download.create_pipeline()),
        "published": published.create_pipeline(),
        "judge": _grouped("judge", judge.create_pipeline()),
        "__default__": sum(pipelines.values(), Pipeline([])),
    }


def _grouped(name: str, pipeline: Pipeline) -> Pipeline:
    """Put a pipeline's nodes into a namespace, so that kedro-viz draws one box; datasets and options keep their names."""
    return Pipeline(pipeline, namespace=name, prefix_datasets_with_namespace=False)
