"""Nodes of the training pipeline (paper, section 3.3.4 and 3.3.5)."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.calibration import DEFAULT_THRESHOLD, Calibration, fit_threshold
from clarilm_kedro.finetuning.decoding import ask_probabilities
from clarilm_kedro.finetuning.dpo import PreferencePair, train_dpo
from clarilm_kedro.finetuning.launch import LaunchOptions
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.sft import SftRow, train_sft
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from clarilm_kedro.pipelines.training.rows import join_training_rows, select_in3_rows, select_log_rows
from clarilm_kedro.pipelines.training.schemas import (
    CalibrationOptions,
    ClarilmDpoOptions,
    ClarilmSftOptions,
    Variant,
    VariantOptions,
    system_of,
)
from clarilm_kedro.tables import records
from clarilm_kedro.text.hashing import stable_order

__all__ = [
    "align_clarilm_dpo",
    "calibrate_ask_threshold",
    "join_training_rows",
    "sample_to_ask_rate",
    "select_in3_rows",
    "select_log_rows",
    "sft_node",
    "train_variant_sft",
]

_OF_THE_NODE = {"min_examples", "on_too_few", "ask_rate"}


def sft_node(variant: Variant) -> Callable[..., TrainedAdapter]:
    """Give the function of the node that trains a variant on rows (q, r+).

    Args:
        variant: Which one; names the MLflow run, and trains nothing where the options do not list it.

    Returns:
        :func:`train_variant_sft` for that variant.
    """

    def train(
        rows: pd.DataFrame,
        leakage_summary: pd.DataFrame,
        base_model: BaseModelSpec,
        options: ClarilmSftOptions,
        launch: LaunchOptions,
        variants: VariantOptions,
    ) -> TrainedAdapter:
        """Train the variant, or record that the options do not list it."""
        if variant not in variants.train:
            return TrainedAdapter.not_wanted()
        return train_variant_sft(variant, rows, leakage_summary, base_model, options, launch)

    train.__name__ = f"train_{variant}"
    return train


def train_variant_sft(
    variant: Variant,
    rows: pd.DataFrame,
    leakage_summary: pd.DataFrame,
    base_model: BaseModelSpec,
    options: ClarilmSftOptions,
    launch: LaunchOptions,
) -> TrainedAdapter:
    """Fine-tune on the chosen replies, with the "Need Clarification" part in the template (Eq. 5).

    Args:
        variant: Names the run.
        rows: Columns row_id, question, asks, text, origin.
        leakage_summary: What the leak guard found; it stands in the report, and training waits for it.
        base_model: The base model.
        options: How it is trained; below ``min_examples`` nothing is.
        launch: Where it is trained, and where an interrupted training is kept.

    Returns:
        The adapter with its report, or the recorded skip.

    Raises:
        ClarilmError: There are too few rows and ``on_too_few`` is ``fail``.
    """
    used = sample_to_ask_rate(rows, options.ask_rate, options.seed)
    trained = train_sft(
        _sft_rows(used),
        base_model,
        SftOptions(**options.model_dump(exclude=_OF_THE_NODE)),
        launch=launch,
        run_name=variant,
        min_examples=options.min_examples,
        on_too_few=options.on_too_few,
    )
    return trained.with_report(leakage=records(leakage_summary), rows_by_origin=dict(Counter(used["origin"])))


def sample_to_ask_rate(sft_train: pd.DataFrame, ask_rate: float | None, seed: int) -> pd.DataFrame:
    """Drop rows of the label there are too many of, until the rows that ask have the wanted share.

    Args:
        sft_train: Columns row_id, asks.
        ask_rate: The share; None keeps every row.
        seed: Draws the rows that stay.

    Returns:
        The rows kept, in their order; all of them where one label is missing.
    """
    n_ask = int(sft_train["asks"].sum())
    n_answer = len(sft_train) - n_ask
    if ask_rate is None or not n_ask or not n_answer:
        return sft_train
    wanted = {
        True: min(n_ask, round(n_answer * ask_rate / (1 - ask_rate))),
        False: min(n_answer, round(n_ask * (1 - ask_rate) / ask_rate)),
    }
    kept: set[str] = set()
    for asks, n in wanted.items():
        ids = sft_train.loc[sft_train["asks"] == asks, "row_id"]
        kept |= set(stable_order(ids, seed, str)[:n])
    return sft_train[sft_train["row_id"].isin(kept)]


def align_clarilm_dpo(
    dpo_train: pd.DataFrame,
    sft_train: pd.DataFrame,
    clarilm_sft_adapter: TrainedAdapter,
    base_model: BaseModelSpec,
    options: ClarilmDpoOptions,
    launch: LaunchOptions,
    variants: VariantOptions,
) -> TrainedAdapter:
    """Align the SFT model with the preferences (Eq. 6).

    Args:
        dpo_train: Columns question, chosen, rejected, chosen_asks, rejected_asks.
        sft_train: Columns question, asks, text; mixed in where ``supervised_source`` is ``sft_rows``.
        clarilm_sft_adapter: Where DPO starts, and what it is held to.
        base_model: The base model.
        options: How it is trained; below ``min_examples`` nothing is.
        launch: Where it is trained, and where an interrupted training is kept.
        variants: Whether it is wanted at all.

    Returns:
        The adapter with its report, or the recorded skip.

    Raises:
        ClarilmError: There are too few pairs and ``on_too_few`` is ``fail``.
    """
    if "clarilm" not in variants.train:
        return TrainedAdapter.not_wanted()
    if clarilm_sft_adapter.path is None:
        reason = clarilm_sft_adapter.report["reason"]
        return TrainedAdapter.skipped(f"DPO starts from the SFT model, whose training was skipped: {reason}")
    pairs = [
        PreferencePair(
            prompt=clarification_prompt(row["question"]),
            chosen=completion(row["chosen_asks"], row["chosen"]),
            rejected=completion(row["rejected_asks"], row["rejected"]),
        )
        for row in records(dpo_train)
    ]
    return train_dpo(
        pairs,
        base_model,
        clarilm_sft_adapter.path,
        DpoOptions(**options.model_dump(exclude=_OF_THE_NODE)),
        supervised=_sft_rows(sft_train),
        launch=launch,
        run_name="clarilm_dpo",
        min_examples=options.min_examples,
        on_too_few=options.on_too_few,
    )


def calibrate_ask_threshold(
    validation: pd.DataFrame,
    sft_in3_adapter: TrainedAdapter,
    sft_ql_adapter: TrainedAdapter,
    sft_full_adapter: TrainedAdapter,
    clarilm_sft_adapter: TrainedAdapter,
    clarilm_adapter: TrainedAdapter,
    base_model: BaseModelSpec,
    options: CalibrationOptions,
) -> dict[str, dict[str, Any]]:
    """Fit each system's threshold on P(ask), on the same rows that none was trained on.

    Args:
        validation: Columns question, asks.
        sft_in3_adapter: The model trained on IN3.
        sft_ql_adapter: The model trained on Q^L.
        sft_full_adapter: The model trained on Q^L, Q^G and IN3.
        clarilm_sft_adapter: ClariLM after SFT.
        clarilm_adapter: ClariLM after DPO.
        base_model: The base model, calibrated too, since it would else be judged at a threshold made for none.
        options: What is maximised.

    Returns:
        System (base, and every variant that is wanted) -> the fields of :class:`Calibration`; skipped, with a reason,
        where there is no adapter or the rows do not suffice.

    Raises:
        ClarilmError: A system was skipped and ``on_too_few`` is ``fail``.
    """
    trained: dict[Variant, TrainedAdapter] = {
        "sft_in3": sft_in3_adapter,
        "sft_ql": sft_ql_adapter,
        "sft_full": sft_full_adapter,
        "clarilm_sft": clarilm_sft_adapter,
        "clarilm": clarilm_adapter,
    }
    systems: dict[str, TrainedAdapter | None] = {
        "base": None,
        **{system_of(variant): adapter for variant, adapter in trained.items() if adapter.wanted},
    }
    found = {system: _calibrate(adapter, validation, base_model, options) for system, adapter in systems.items()}
    skipped = [f"{system}: {each['reason']}" for system, each in found.items() if each["status"] == "skipped"]
    if skipped and options.on_too_few == "fail":
        raise ClarilmError(
            f"The asking threshold could not be fitted. {' '.join(skipped)} Hold out more questions "
            "(limits.validation_questions), or set on_too_few to skip."
        )
    return found


def _sft_rows(sft_train: pd.DataFrame) -> list[SftRow]:
    return [(clarification_prompt(row["question"]), completion(row["asks"], row["text"])) for row in records(sft_train)]


def _calibrate(
    adapter: TrainedAdapter | None, validation: pd.DataFrame, base_model: BaseModelSpec, options: CalibrationOptions
) -> dict[str, Any]:
    if adapter is not None and adapter.path is None:
        reason = f"The adapter was not trained: {adapter.report['reason']}"
        skipped = Calibration(DEFAULT_THRESHOLD, None, len(validation), "skipped", reason, options.objective)
        return skipped.as_json()
    p_ask = ask_probabilities(
        base_model, adapter.path if adapter else None, list(validation["question"]), options.batch_size
    )
    needs = [bool(asks) for asks in validation["asks"]]
    return fit_threshold(
        p_ask,
        needs,
        options.objective,
        min_examples=options.min_examples,
        cost_missed=options.cost_missed,
        cost_needless=options.cost_needless,
    ).as_json()
