"""Release: the cards of data and model, and the model in the registry."""

from clarilm_kedro.pipelines.release.pipeline import create_pipeline

__all__ = ["create_pipeline"]
