"""The project's pipelines by name."""

from kedro.pipeline import Pipeline

from clarilm_kedro.lineage import shown
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

    Each is a namespace of its own, which kedro-viz draws as one box (``audit`` and ``recall`` share one).

    Returns:
        Pipelines by name; ``__default__`` is all of them without ``download``, ``published``, ``judge`` and
        ``inference``.
    """
    pipelines = {
        "ingestion": shown(ingestion.create_pipeline(), "ingestion"),
        "cfd": shown(cfd.create_pipeline(), "cfd"),
        "ofs": shown(ofs.create_pipeline(), "ofs"),
        "training": shown(training.create_pipeline(), "training"),
        "evaluation": shown(evaluation.create_pipeline(), "evaluation"),
        "audit": shown(audit.create_pipeline()),
        "recall": shown(audit.create_recall()),
        "release": shown(release.create_pipeline(), "release"),
    }
    return {
        **pipelines,
        "download": shown(download.create_pipeline(), "download"),
        "published": shown(published.create_pipeline()),
        "judge": shown(judge.create_pipeline(), "judge"),
        "inference": shown(inference.create_pipeline(), "inference"),
        "__default__": sum(pipelines.values(), Pipeline([])),
    }
