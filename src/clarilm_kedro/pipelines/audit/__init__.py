"""Audit: how good a teacher's work is, against the gold labels of the sample world (and IN3's)."""

from clarilm_kedro.pipelines.audit.pipeline import create_pipeline, create_recall

__all__ = ["create_pipeline", "create_recall"]
