"""Nodes of the evaluation pipeline (paper, sections 4.2 to 4.6)."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapter_server import AdapterServer
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.logs.records import Records
from clarilm_kedro.metrics.baselines import TF_IDF, BaselineOptions
from clarilm_kedro.metrics.benchmarks.our_test import our_test_items
from clarilm_kedro.metrics.benchmarks.registry import published_benchmarks
from clarilm_kedro.metrics.benchmarks.shape import read_rows, take_stratified
from clarilm_kedro.metrics.outcomes import SYSTEMS, TRAINED
from clarilm_kedro.metrics.report import ReportOptions, Skipped, build_report, build_results_page
from clarilm_kedro.metrics.table import TITLES, results_markdown
from clarilm_kedro.pipelines.evaluation.prediction import (
    predict_bars,
    predict_with_model,
    predictions,
    threshold_of,
)
from clarilm_kedro.pipelines.evaluation.schemas import BenchmarkOptions, DecodingOptions
from clarilm_kedro.pipelines.training.rows import IN3_TESTED
from clarilm_kedro.tables import records

BASE = "base"


def collect_benchmarks(
    our_test: pd.DataFrame, options: BenchmarkOptions, *published: Records
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bring the test sets into one shape.

    Args:
        our_test: Held-out annotated questions.
        options: Limit per public benchmark.
        *published: Rows of the public benchmarks, in the order of
            :func:`clarilm_kedro.metrics.benchmarks.registry.published_benchmarks`.

    Returns:
        All items, and the published rows that could not be read (columns of both in
        :mod:`clarilm_kedro.metrics.benchmarks.shape`).
    """
    items, rejected = [our_test_items(our_test)], []
    for benchmark, rows in zip(published_benchmarks(), published, strict=True):
        read, refused = read_rows(benchmark.name, rows, benchmark.parse)
        items.append(take_stratified(read, options.limit, options.seed))
        rejected.append(refused)
    return pd.concat(items, ignore_index=True), pd.concat(rejected, ignore_index=True)


def predict_baselines(
    benchmarks: pd.DataFrame, sft_train: pd.DataFrame, validation: pd.DataFrame, options: BaselineOptions
) -> pd.DataFrame:
    """Predict with the bars: see :func:`clarilm_kedro.pipelines.evaluation.prediction.predict_bars`."""
    return predict_bars(benchmarks, sft_train, validation, options)


def predict_base(
    base_model: BaseModelSpec,
    calibrations: dict[str, Any],
    benchmarks: pd.DataFrame,
    options: DecodingOptions,
    adapter_server: AdapterServer | None = None,
) -> pd.DataFrame:
    """Predict with the base model as it is.

    Args:
        base_model: The base model.
        calibrations: System -> its fitted threshold.
        benchmarks: The items.
        options: Lengths and batch size.
        adapter_server: Starts llama.cpp to generate the replies; None generates in this process.

    Returns:
        One prediction per item.
    """
    threshold = threshold_of(BASE, calibrations)
    return predict_with_model(
        system=BASE,
        base_model=base_model,
        adapter=None,
        threshold=threshold,
        benchmarks=benchmarks,
        options=options,
        adapter_server=adapter_server,
    )


def predict_node(system: str) -> Callable[..., pd.DataFrame]:
    """Give the function of the node that predicts with a trained variant.

    Args:
        system: Name of the system.

    Returns:
        A function of the base model, the adapter, the thresholds by system, the items, the decoding options and what
        starts llama.cpp to generate replies (None generates in this process); it gives one prediction per item, and
        none where there is no adapter.
    """

    def predict(
        base_model: BaseModelSpec,
        adapter: TrainedAdapter,
        calibrations: dict[str, Any],
        benchmarks: pd.DataFrame,
        options: DecodingOptions,
        adapter_server: AdapterServer | None = None,
    ) -> pd.DataFrame:
        """Predict with the variant's adapter; no rows where there is none."""
        return _predict_trained(
            base_model, adapter, benchmarks, options, adapter_server, system=system, calibrations=calibrations
        )

    predict.__name__ = f"predict_{system.replace('-', '_')}"
    return predict


def merge_predictions(*by_system: pd.DataFrame) -> pd.DataFrame:
    """Put the predictions of all systems into one table.

    Args:
        *by_system: Predictions, one table per system or group of systems.

    Returns:
        All of them, ordered by benchmark, system, seed and item.

    Raises:
        ClarilmError: Two tables hold a system of the same name.
    """
    names = [name for frame in by_system for name in sorted(set(frame["system"]))]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ClarilmError(
            f"Two systems are called '{twice[0]}'. Give one another name in systems, local_systems or the file of "
            f"inputs.predictions; the project's own are {', '.join(SYSTEMS)}."
        )
    return predictions(row for frame in by_system for row in records(frame))


def explain_skipped(
    benchmarks: pd.DataFrame,
    sft_train: pd.DataFrame,
    fm_log_adapter: TrainedAdapter,
    sft_in3_adapter: TrainedAdapter,
    sft_ql_adapter: TrainedAdapter,
    sft_full_adapter: TrainedAdapter,
    clarilm_sft_adapter: TrainedAdapter,
    clarilm_adapter: TrainedAdapter,
    calibrations: dict[str, Any],
) -> list[dict[str, str]]:
    """Collect what was not done in this run, with the reasons.

    Args:
        benchmarks: The items.
        sft_train: Training rows.
        fm_log_adapter: FM-LOG.
        sft_in3_adapter: The model trained on IN3.
        sft_ql_adapter: The model trained on Q^L.
        sft_full_adapter: The model trained on Q^L, Q^G and IN3.
        clarilm_sft_adapter: ClariLM after SFT.
        clarilm_adapter: ClariLM after DPO.
        calibrations: System -> its fitted threshold.

    Returns:
        A list of {"what", "reason"}.
    """
    present = set(benchmarks["benchmark"])
    skipped = [{"what": title, "reason": "It has no items."} for name, title in TITLES.items() if name not in present]
    trained = (sft_in3_adapter, sft_ql_adapter, sft_full_adapter, clarilm_sft_adapter, clarilm_adapter)
    for what, adapter in {"FM-LOG": fm_log_adapter, **dict(zip(TRAINED, trained, strict=True))}.items():
        if adapter.path is None and adapter.wanted:
            skipped.append({"what": what, "reason": str(adapter.report.get("reason") or "Its training was skipped.")})
        if tested := adapter.report.get("rows_by_origin", {}).get(IN3_TESTED):
            reason = f"{tested} of its training rows are test questions: IN3's training split was taken as published."
            skipped.append({"what": f"cleaning of {what}'s rows", "reason": reason})
    if sft_train["asks"].nunique() < 2:
        reason = f"Its {len(sft_train)} training rows do not hold both labels."
        skipped.append({"what": TF_IDF, "reason": reason})
    for system, calibration in calibrations.items():
        if calibration.get("status") == "skipped":
            reason = f"{calibration.get('reason') or 'None was fitted.'} {threshold_of(system, calibrations)} is used."
            skipped.append({"what": f"threshold of {system}", "reason": reason})
    return skipped


def write_results_markdown(table: pd.DataFrame, floors: pd.DataFrame) -> str:
    """Write the results table as Markdown, with the floors of question quality under it."""
    return results_markdown(table, floors)


def write_results_html(table: pd.DataFrame, options: ReportOptions) -> str:
    """Write the results table as a page."""
    return build_results_page(table, options.title)


def write_report(
    table: pd.DataFrame,
    comparisons: pd.DataFrame,
    floors: pd.DataFrame,
    benchmarks: pd.DataFrame,
    all_predictions: pd.DataFrame,
    log_statistics: pd.DataFrame,
    skipped: list[dict[str, str]],
    options: ReportOptions,
) -> str:
    """Write the report: see :func:`clarilm_kedro.metrics.report.build_report`."""
    reasons = [Skipped(each["what"], each["reason"]) for each in skipped]
    return build_report(
        results=table,
        comparisons=comparisons,
        floors=floors,
        benchmarks=benchmarks,
        predictions=all_predictions,
        log_statistics=log_statistics,
        skipped=reasons,
        options=options,
    )


def _predict_trained(
    base_model: BaseModelSpec,
    adapter: TrainedAdapter,
    benchmarks: pd.DataFrame,
    options: DecodingOptions,
    adapter_server: AdapterServer | None,
    *,
    system: str,
    calibrations: dict[str, Any],
) -> pd.DataFrame:
    if adapter.path is None:
        return predictions([])
    threshold = threshold_of(system, calibrations)
    return predict_with_model(
        system=system,
        base_model=base_model,
        adapter=adapter.path,
        threshold=threshold,
        benchmarks=benchmarks,
        options=options,
        adapter_server=adapter_server,
    )
