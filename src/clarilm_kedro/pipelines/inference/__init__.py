"""Inference: questions in; decisions, P(ask) and clarifying questions or answers out."""

from clarilm_kedro.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
