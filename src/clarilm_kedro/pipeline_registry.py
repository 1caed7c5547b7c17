"""The project's pipelines by name."""

from kedro.pipeline import Pipeline

from clarilm_kedro.pipelines import (
    audit,
    cfd,
    download,
    evaluation,
    inference,
    ingestion,
    judge,
    ofs,
    published,
    release,
    training,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Register the five pipelines in the order rows flow, those that measure a teacher, the release, and four beside.

    Returns:
        Pipelines by name; ``__default__`` is all of them without ``download``, ``published``, ``judge`` and
        ``inference``.
    """
    pipelines = {
        "ingestion": ingestion.create_pipeline(),
        "cfd": cfd.create_pipeline(),
        "ofs": ofs.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "audit": audit.create_pipeline(),
        "recall": audit.create_recall(),
        "release": release.create_pipeline(),
    }
    return {
        **pipelines,
        "download": download.create_pipeline(),
        "published": published.create_pipeline(),
        "judge": judge.create_pipeline(),
        "inference": inference.create_pipeline(),
        "__default__": sum(pipelines.values(), Pipeline([])),
    }
