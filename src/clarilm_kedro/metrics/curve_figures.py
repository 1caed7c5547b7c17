"""Figures over decision curves: ask rate, ROC and PR, reliability, cost (:mod:`clarilm_kedro.metrics.curves`)."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from clarilm_kedro.metrics.curves import CurveOptions
from clarilm_kedro.metrics.figures import GREY, colour_of, finish, message, panels
from clarilm_kedro.metrics.outcomes import BENCHMARKS, SYSTEMS, ordered
from clarilm_kedro.metrics.table import TITLES

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_NOTHING = "No system has a P(ask) that varies over items of both labels."
_MARKER = {"size": 11, "symbol": "diamond", "line": {"width": 1.5, "color": "white"}}


def ask_rate_figure(curves: pd.DataFrame) -> "Figure":
    """Draw accuracy and macro F1 against the share of items that are asked about; a diamond marks the threshold used.

    Args:
        curves: The table of curves.
    """
    figure, benchmarks = _grid(curves, ("accuracy, %", "macro F1, %"))
    for column, _, system, told in _lines(curves, benchmarks):
        for row, name in enumerate(("acc", "f1_macro"), start=1):
            _line(figure, told, "ask_rate", name, system, row, column)
    figure.update_xaxes(range=[-2, 102])
    figure.update_xaxes(title_text="asked, % of items", row=2)
    return finish(figure, "What asking more or less often would give", height=720) if benchmarks else message(_NOTHING)


def ranking_figure(curves: pd.DataFrame, summary: pd.DataFrame) -> "Figure":
    """Draw ROC and PR curves with their areas, which need no threshold; a diamond marks the one used.

    Args:
        curves: The table of curves.
        summary: Their areas.
    """
    figure, benchmarks = _grid(curves, ("ROC: true positives, %", "PR: precision, %"))
    areas = {(row["benchmark"], row["system"]): row for row in summary.to_dict("records")}
    for column, benchmark, system, told in _lines(curves, benchmarks):
        area = areas[benchmark, system]
        _line(figure, told, "fpr", "tpr", system, 1, column, f"AUROC {100 * area['auroc']:.2f}")
        _line(figure, told, "tpr", "precision", system, 2, column, f"average precision {100 * area['pr_auc']:.2f}")
    for column, benchmark in enumerate(benchmarks, start=1):
        _reference(figure, [0, 100], [0, 100], 1, column)
        needed = 100 * float(summary.loc[summary["benchmark"] == benchmark, "share_needed"].max())
        _reference(figure, [0, 100], [needed, needed], 2, column)
    figure.update_xaxes(title_text="false positives, %", row=1)
    figure.update_xaxes(title_text="recall, %", row=2)
    figure.update_yaxes(range=[0, 102])
    if not benchmarks:
        return message(_NOTHING)
    return finish(figure, "How well P(ask) ranks the items; dots: a coin", height=780)


def reliability_figure(bins: pd.DataFrame, summary: pd.DataFrame) -> "Figure":
    """Draw how often a clarification was needed against P(ask), and how the items spread over P(ask).

    Args:
        bins: The table of reliability bins.
        summary: ECE and Brier score.
    """
    figure, benchmarks = _grid(bins, ("needed, %", "items"))
    scores = {(row["benchmark"], row["system"]): row for row in summary.to_dict("records")}
    for column, benchmark, system, told in _lines(bins, benchmarks):
        score = scores[benchmark, system]
        note = f"ECE {score['ece']:.3f}, Brier {score['brier']:.3f}"
        _line(figure, told, "mean_p_ask", "share_needed", system, 1, column, note, mode="lines+markers")
        figure.add_bar(
            x=[50 * (low + high) for low, high in zip(told["low"], told["high"], strict=True)],
            y=[int(n) for n in told["n"]],
            name=system,
            legendgroup=system,
            showlegend=False,
            marker={"color": colour_of(system)},
            hovertemplate=f"{system}: %{{y}} items around P(ask) %{{x:.0f}} %<extra></extra>",
            row=2,
            col=column,
        )
    for column, _ in enumerate(benchmarks, start=1):
        _reference(figure, [0, 100], [0, 100], 1, column)
    figure.update_xaxes(range=[-2, 102])
    figure.update_xaxes(title_text="P(ask), %", row=2)
    figure.update_yaxes(range=[-2, 102], row=1)
    if not benchmarks:
        return message(_NOTHING)
    return finish(figure, "Whether P(ask) can be taken at its word; dots: if it could", height=720)


def cost_figure(curves: pd.DataFrame, summary: pd.DataFrame, options: CurveOptions) -> "Figure":
    """Draw the mean cost per item over the threshold, beside that of always or never asking.

    Args:
        curves: The table of curves.
        summary: The cost without looking at the question.
        options: Prices.
    """
    figure, benchmarks = _grid(curves, ("cost per item",))
    for column, _, system, told in _lines(curves, benchmarks):
        _line(figure, told, "threshold", "cost", system, 1, column, scale=1)
    for column, benchmark in enumerate(benchmarks, start=1):
        trivial = float(summary.loc[summary["benchmark"] == benchmark, "trivial_cost"].max())
        _reference(figure, [0, 100], [trivial, trivial], 1, column)
    figure.update_xaxes(title_text="threshold on P(ask), %")
    figure.update_yaxes(rangemode="tozero")
    if not benchmarks:
        return message(_NOTHING)
    title = (
        f"Cost where a missed question costs {options.cost_missed:g} and a needless one {options.cost_needless:g}; "
        "dots: always or never asking, whichever is cheaper"
    )
    return finish(figure, title, height=470)


def _grid(rows: pd.DataFrame, y_titles: tuple[str, ...]) -> tuple["Figure", list[str]]:
    """Make a column of panels per benchmark."""
    benchmarks = ordered([str(name) for name in rows["benchmark"]], BENCHMARKS)
    titles = [TITLES.get(name, name) if row == 0 else "" for row in range(len(y_titles)) for name in benchmarks]
    figure = panels(titles or [""] * len(y_titles), rows=len(y_titles))
    for row, title in enumerate(y_titles, start=1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    return figure, benchmarks


def _lines(rows: pd.DataFrame, benchmarks: list[str]) -> list[tuple[int, str, str, pd.DataFrame]]:
    """Give the rows of every curve with the column that it is drawn in."""
    return [
        (column, benchmark, system, here[here["system"] == system])
        for column, benchmark in enumerate(benchmarks, start=1)
        for here in [rows[rows["benchmark"] == benchmark]]
        for system in ordered([str(name) for name in here["system"]], SYSTEMS)
    ]


def _line(
    figure: "Figure",
    rows: pd.DataFrame,
    x: str,
    y: str,
    system: str,
    row: int,
    column: int,
    note: str = "",
    *,
    mode: str = "lines",
    scale: int = 100,
) -> None:
    """Draw a curve, and a diamond at the threshold that was used."""
    shared: dict[str, Any] = {"name": system, "legendgroup": system, "row": row, "col": column}
    hover = f"{system}: %{{x:.1f}}, %{{y:.{1 if scale == 100 else 3}f}}{'<br>' + note if note else ''}<extra></extra>"
    figure.add_scatter(
        x=[round(100 * value, 3) for value in rows[x]],
        y=[round(scale * value, 5) for value in rows[y]],
        mode=mode,
        line={"color": colour_of(system), "width": 2},
        hovertemplate=hover,
        showlegend=_is_new(figure, system),
        **shared,
    )
    for used in rows[rows["used"]].to_dict("records") if "used" in rows else []:
        figure.add_scatter(
            x=[100 * used[x]],
            y=[scale * used[y]],
            mode="markers",
            marker={**_MARKER, "color": colour_of(system)},
            hovertemplate=f"{system} at its threshold {used['threshold']:.3f}: %{{x:.1f}}, %{{y:.3f}}<extra></extra>",
            showlegend=False,
            **shared,
        )


def _reference(figure: "Figure", x: list[float], y: list[float], row: int, column: int) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY, "dash": "dot", "width": 1},
        hoverinfo="skip",
        showlegend=False,
        row=row,
        col=column,
    )


def _is_new(figure: "Figure", system: str) -> bool:
    return all(trace.name != system for trace in figure.data)
