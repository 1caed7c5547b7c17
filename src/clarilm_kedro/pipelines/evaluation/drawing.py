"""Nodes of the evaluation pipeline that make curves, figures, further forms of the results table and the browser.

Figures are typed ``Any``: Kedro reads a node's hints to type its options, and a hint that is imported for the type
checker alone would hide all of them.
"""

from typing import Any

import pandas as pd

from clarilm_kedro.metrics import browser, curve_figures, curves, figures
from clarilm_kedro.metrics.browser import BrowserOptions
from clarilm_kedro.metrics.curves import CurveOptions
from clarilm_kedro.metrics.figures_page import build_figures_page
from clarilm_kedro.metrics.latex import results_latex
from clarilm_kedro.metrics.report import ReportOptions
from clarilm_kedro.metrics.table import paper_view_markdown

#: What the page of figures shows, in its order.
FIGURES = (
    "confusion_figure",
    "category_figure",
    "matrix_figure",
    "ask_rate_figure",
    "ranking_figure",
    "reliability_figure",
    "cost_figure",
)


def sweep_thresholds(
    benchmarks: pd.DataFrame, all_predictions: pd.DataFrame, options: CurveOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Draw up decision curves, reliability and their summary: see :func:`clarilm_kedro.metrics.curves`."""
    return curves.decision_curves(benchmarks, all_predictions, options)


def draw_decisions(row_scores: pd.DataFrame, category_results: pd.DataFrame, options: ReportOptions) -> tuple[Any, Any]:
    """Draw the confusion matrices, and accuracy by category for the reported system, the base model and always-ask."""
    shown = (options.system, "base", "always-ask")
    return figures.confusion_figure(row_scores), figures.category_figure(category_results, shown)


def draw_comparisons(comparison_matrix: pd.DataFrame) -> Any:
    """Draw who beats whom: see :func:`clarilm_kedro.metrics.figures.matrix_figure`."""
    return figures.matrix_figure(comparison_matrix)


def draw_curves(
    decision_curves: pd.DataFrame, reliability: pd.DataFrame, decision_summary: pd.DataFrame, options: CurveOptions
) -> tuple[Any, Any, Any, Any]:
    """Draw ask rate against quality, ROC and PR, reliability, and cost: see :mod:`clarilm_kedro.metrics.curve_figures`.

    Args:
        decision_curves: One row per system and threshold.
        reliability: One row per system and bin of P(ask).
        decision_summary: Areas and errors.
        options: Prices.

    Returns:
        The four figures.
    """
    return (
        curve_figures.ask_rate_figure(decision_curves),
        curve_figures.ranking_figure(decision_curves, decision_summary),
        curve_figures.reliability_figure(reliability, decision_summary),
        curve_figures.cost_figure(decision_curves, decision_summary, options),
    )


def draw_judge_figure(judge_results: pd.DataFrame) -> Any:
    """Draw the paper's Figure 4: see :func:`clarilm_kedro.metrics.figures.judge_figure`."""
    return figures.judge_figure(judge_results)


def write_figures_page(options: ReportOptions, *drawn: Any) -> str:
    """Put the figures on one page.

    Args:
        options: The title.
        *drawn: The figures, in the order of :data:`FIGURES`.
    """
    return build_figures_page(dict(zip(FIGURES, drawn, strict=True)), options.title)


def write_results_latex(table: pd.DataFrame) -> str:
    """Write the results table as LaTeX."""
    return results_latex(table)


def write_paper_view(table: pd.DataFrame, floors: pd.DataFrame) -> str:
    """Write the columns of the paper's Table 2 as Markdown."""
    return paper_view_markdown(table, floors)


def browse_examples(
    benchmarks: pd.DataFrame, all_predictions: pd.DataFrame, row_scores: pd.DataFrame, options: BrowserOptions
) -> str:
    """Write the examples browser of a run without a judge."""
    return browse_judged_examples(benchmarks, all_predictions, row_scores, browser.no_judgements(), options)


def browse_judged_examples(
    benchmarks: pd.DataFrame,
    all_predictions: pd.DataFrame,
    row_scores: pd.DataFrame,
    judgements: pd.DataFrame,
    options: BrowserOptions,
) -> str:
    """Write the examples browser: see :func:`clarilm_kedro.metrics.browser.build_browser`."""
    return browser.build_browser(
        benchmarks=benchmarks,
        predictions=all_predictions,
        row_scores=row_scores,
        judgements=judgements,
        options=options,
    )
