"""Nodes of the release pipeline: what a run leaves for others to read and use."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.cards.data_card import DataFacts, write_data_card
from clarilm_kedro.cards.model_card import ModelFacts, write_model_card
from clarilm_kedro.cards.options import CardOptions
from clarilm_kedro.finetuning.assistant import AssistantSpec
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.pipelines.evaluation.prediction import threshold_of
from clarilm_kedro.registry.package import AssistantPackage

CLARILM = "clarilm"


def describe_data(
    log_statistics: pd.DataFrame,
    data_summary: pd.DataFrame,
    preference_statistics: pd.DataFrame,
    leakage_summary: pd.DataFrame,
    download_sources: dict[str, Any],
    options: CardOptions,
) -> str:
    """Write the data card: see :func:`clarilm_kedro.cards.data_card.write_data_card`.

    Args:
        log_statistics: Sessions read, rejected and kept.
        data_summary: Counts, shares of asking and teachers of what was made.
        preference_statistics: Sources, balance, agreement.
        leakage_summary: What the leak guard found.
        download_sources: The public sources.
        options: What a run cannot know.

    Returns:
        The card.
    """
    facts = DataFacts(log_statistics, data_summary, preference_statistics, leakage_summary, download_sources)
    return write_data_card(facts, options)


def describe_model(
    clarilm_adapter: TrainedAdapter,
    clarilm_sft_adapter: TrainedAdapter,
    base_model: BaseModelSpec,
    calibrations: dict[str, Any],
    results_table: pd.DataFrame,
    comparisons: pd.DataFrame,
    download_sources: dict[str, Any],
    options: CardOptions,
) -> str:
    """Write the model card: see :func:`clarilm_kedro.cards.model_card.write_model_card`.

    Args:
        clarilm_adapter: ClariLM after DPO.
        clarilm_sft_adapter: ClariLM after SFT.
        base_model: Their base model.
        calibrations: System -> its fitted threshold.
        results_table: The results.
        comparisons: ClariLM against other systems.
        download_sources: The public sources.
        options: What a run cannot know.

    Returns:
        The card; one sentence where ClariLM was not trained.
    """
    if clarilm_adapter.path is None:
        return f"There is no model to describe. {_why_not(clarilm_adapter)}\n"
    facts = ModelFacts(
        base_model=base_model,
        sft=clarilm_sft_adapter.report,
        dpo=clarilm_adapter.report,
        calibration=calibrations.get(CLARILM, {}),
        results=results_table,
        comparisons=comparisons,
        sources=download_sources,
    )
    return write_model_card(facts, options)


def package_assistant(
    clarilm_adapter: TrainedAdapter,
    base_model: BaseModelSpec,
    calibrations: dict[str, Any],
    results_table: pd.DataFrame,
    model_card: str,
) -> AssistantPackage:
    """Put together what is registered: the final ClariLM with its threshold, card and facts to search for.

    Args:
        clarilm_adapter: ClariLM after DPO.
        base_model: Its base model.
        calibrations: System -> its fitted threshold.
        results_table: The results; those of ClariLM become tags.
        model_card: The card.

    Returns:
        The package; without a model where ClariLM was not trained.
    """
    if clarilm_adapter.path is None:
        return AssistantPackage(None, reason=_why_not(clarilm_adapter))
    spec = AssistantSpec(base_model, clarilm_adapter.path, threshold_of(CLARILM, calibrations), CLARILM)
    mine = results_table[results_table["system"] == CLARILM]
    scores = {
        f"{name}.f1_macro": f"{value:.4f}" for name, value in zip(mine["benchmark"], mine["f1_macro"], strict=True)
    }
    teachers = ", ".join(sorted({str(name) for name in mine["teacher"]}))
    return AssistantPackage(spec, model_card, {"base_model": base_model.source, "teacher": teachers, **scores})


def _why_not(adapter: TrainedAdapter) -> str:
    report: Mapping[str, Any] = adapter.report
    return str(report.get("reason") or "ClariLM was not trained.")
