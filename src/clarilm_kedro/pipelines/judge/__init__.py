"""Pairwise judging: win, tie or lose against every other system, by chat models, people or a rule (paper, Figure 4)."""

from clarilm_kedro.pipelines.judge.pipeline import create_pipeline

__all__ = ["create_pipeline"]
