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
    clarifications: pd.DataFrame,
    seed_questions: pd.DataFrame,
    synthetic_questions: pd.DataFrame,
    facets: pd.DataFrame,
    answers: pd.DataFrame,
    annotations: pd.DataFrame,
    preferences: pd.DataFrame,
    sft_train: pd.DataFrame,
    validation: pd.DataFrame,
    our_test: pd.DataFrame,
    preference_statistics: pd.DataFrame,
    leakage_summary: pd.DataFrame,
    download_sources: dict[str, Any],
    options: CardOptions,
) -> str:
    """Write the data card: see :func:`clarilm_kedro.cards.data_card.write_data_card`.

    Args:
        log_statistics: Sessions read, rejected and kept.
        clarifications: Instances extracted from the logs.
        seed_questions: Q^L.
        synthetic_questions: Q^G.
        facets: Candidates after fusion.
        answers: Direct answers.
        annotations: Choices of the reasoning model.
        preferences: All preference rows.
        sft_train: Rows for supervised fine-tuning.
        validation: Rows that fit the threshold.
        our_test: Held-out annotated questions.
        preference_statistics: Sources, balance, agreement.
        leakage_summary: What the leak guard found.
        download_sources: The public sources.
        options: What a run cannot know.

    Returns:
        The card.
    """
    facts = DataFacts(
        tables={
            "sft (train)": sft_train,
            "sft (validation)": validation,
            "preferences": preferences,
            "our_test": our_test,
        },
        log_statistics=log_statistics,
        counts={
            "clarifications extracted from the logs": len(clarifications),
            "questions of the logs kept, Q^L": len(seed_questions),
            "questions written, Q^G": len(synthetic_questions),
            "facets after fusion": len(facets),
            "questions annotated": len(annotations),
        },
        preference_statistics=preference_statistics,
        leakage_summary=leakage_summary,
        teachers={
            "extraction": _teachers(clarifications),
            "question filter": _teachers(seed_questions),
            "question writing": _teachers(synthetic_questions),
            "facets": _teachers(facets),
            "answers": _teachers(answers),
            "annotation": _teachers(annotations),
        },
        sources=download_sources,
    )
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


def _teachers(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple(sorted({str(name) for name in table["teacher"].dropna() if str(name)}))


def _why_not(adapter: TrainedAdapter) -> str:
    report: Mapping[str, Any] = adapter.report
    return str(report.get("reason") or "ClariLM was not trained.")
