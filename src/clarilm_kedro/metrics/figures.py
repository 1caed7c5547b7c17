"""Figures over results: Figure 4 as stacked bars, confusion matrices, bars by category.

Each figure is a plain function of a table and says so itself where the table has no rows. Values go in as Python lists:
plotly writes numpy arrays as base64, which neither a person nor an older plotly.js can read.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from clarilm_kedro.metrics.curves import lowest_seed
from clarilm_kedro.metrics.necessity import confusion
from clarilm_kedro.metrics.outcomes import BENCHMARKS, SYSTEMS, ordered
from clarilm_kedro.metrics.table import TITLES

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

GREY = "#8a94a0"
# Okabe and Ito's palette, told apart also by those who do not see red and green, without yellow, too pale for lines,
# and with three more; as many as there are known systems, in their order, so that no two of those share one.
_PALETTE = (
    "#9aa3ad", "#5d6875", "#d8b365", "#80604d", "#cc79a7", "#56b4e9", "#e69f00", "#7f3c8d", "#009e73", "#d55e00",
    "#0072b2",
)  # fmt: skip
_OUTCOMES = {"win": "#0072b2", "tie": "#c9ced6", "lose": "#d55e00", "invalid": "#5d6875"}
_BAR_HEIGHT, _MATRIX_HEIGHT = 30, 210


def judge_figure(judge_results: pd.DataFrame, aggregation: str = "strict") -> "Figure":
    """Draw the paper's Figure 4: how often a judge prefers the system to each other one.

    Args:
        judge_results: Columns benchmark, system, other, judge, aggregation, n, win, tie, lose, invalid (counts of
            compared items, which add up to n), win_rate with its interval low, high, and flip_rate (fractions).
        aggregation: Which rows: ``strict`` counts a win only where both orders agree, ``lenient`` one win and one tie.

    Returns:
        One panel per benchmark, one bar per judge and other system, its parts in percent of the items. A verdict that
        could not be read is a part of its own, not a tie.
    """
    rows = judge_results[judge_results["aggregation"] == aggregation] if len(judge_results) else judge_results
    benchmarks = ordered([str(name) for name in rows["benchmark"]], BENCHMARKS) if len(rows) else []
    if not benchmarks:
        return message("No judge has compared anything yet.")
    several = rows["judge"].nunique() > 1
    figure = panels([TITLES.get(name, name) for name in benchmarks], shared_yaxes=True)
    for column, benchmark in enumerate(benchmarks, start=1):
        here = rows[rows["benchmark"] == benchmark]
        place = {name: i for i, name in enumerate(ordered([str(name) for name in here["other"]], SYSTEMS))}
        told = sorted(here.to_dict("records"), key=lambda row: (place[row["other"]], row["judge"]))
        names = [f"{row['other']} ({row['judge']})" if several else str(row["other"]) for row in told]
        notes = [_judge_note(row) for row in told]
        for outcome, colour in _OUTCOMES.items():
            shares = [100 * row[outcome] / row["n"] if row["n"] else 0.0 for row in told]
            figure.add_bar(
                x=shares,
                y=names,
                name=outcome,
                orientation="h",
                marker={"color": colour},
                legendgroup=outcome,
                showlegend=column == 1,
                text=[f"{share:.0f}" if share >= 4 else "" for share in shares],
                textposition="inside",
                insidetextanchor="middle",
                hovertext=notes,
                hovertemplate=f"{outcome} %{{x:.1f}} %<br>%{{hovertext}}<extra></extra>",
                row=1,
                col=column,
            )
    system = ", ".join(sorted({str(name) for name in rows["system"]}))
    figure.update_xaxes(range=[0, 100], title_text="% of items")
    figure.update_yaxes(autorange="reversed")
    bars = max(len(rows[rows["benchmark"] == name]) for name in benchmarks)
    return finish(
        figure, f"{system} against others, {aggregation} verdicts", height=190 + _BAR_HEIGHT * bars, barmode="stack"
    )


def confusion_figure(row_scores: pd.DataFrame) -> "Figure":
    """Draw every system's confusion matrix on every benchmark, of its lowest seed.

    Args:
        row_scores: Row scores; the metric ``correct`` is read, which leaves out replies that are dropped.

    Returns:
        A panel per benchmark and system: counts, coloured by their share of the row (items with that label).
    """
    decided = lowest_seed(row_scores[(row_scores["metric"] == "correct") & row_scores["value"].notna()])
    benchmarks = ordered([str(name) for name in decided["benchmark"]], BENCHMARKS)
    systems = ordered([str(name) for name in decided["system"]], SYSTEMS)
    if not benchmarks:
        return message("No item was decided.")
    titles = [f"{TITLES.get(benchmark, benchmark)}<br>{system}" for benchmark in benchmarks for system in systems]
    figure = panels(titles, rows=len(benchmarks), shared_yaxes=True, shared_xaxes=True)
    for row, benchmark in enumerate(benchmarks, start=1):
        for column, system in enumerate(systems, start=1):
            told = decided[(decided["benchmark"] == benchmark) & (decided["system"] == system)]
            if told.empty:
                continue
            counts = confusion(told["needs_clarification"].to_numpy(), told["asked"].to_numpy())
            cells = [[counts.tp, counts.fn], [counts.fp, counts.tn]]
            figure.add_heatmap(
                x=["asked", "answered"],
                y=["needed", "not needed"],
                z=[[100 * cell / max(sum(line), 1) for cell in line] for line in cells],
                text=cells,
                texttemplate="%{text}",
                hovertemplate="%{y}, %{x}: %{text} (%{z:.1f} % of the row)<extra></extra>",
                zmin=0,
                zmax=100,
                colorscale=[[0, "#f4f6f9"], [1, "#0072b2"]],
                showscale=False,
                row=row,
                col=column,
            )
    figure.update_yaxes(autorange="reversed")
    return finish(figure, "Decisions against labels", height=110 + _MATRIX_HEIGHT * len(benchmarks), tight=True)


def category_figure(category_results: pd.DataFrame, systems: Sequence[str] = ()) -> "Figure":
    """Draw accuracy by group with its interval, a panel per benchmark, over subclasses where it has them.

    Args:
        category_results: The table of :func:`clarilm_kedro.metrics.categories.category_results`.
        systems: Systems drawn at once; the others come by a click in the legend. All where none is given.
    """
    if category_results.empty:
        return message("No benchmark of this run has categories.")
    benchmarks = ordered([str(name) for name in category_results["benchmark"]], BENCHMARKS)
    figure = panels([TITLES.get(name, name) for name in benchmarks], rows=len(benchmarks))
    seen: set[str] = set()
    for row, benchmark in enumerate(benchmarks, start=1):
        here = category_results[category_results["benchmark"] == benchmark]
        whole = here["subclass"] == ""
        divided = set(here.loc[~whole, "category"])
        here = here[~whole | ~here["category"].isin(divided)]
        for system in ordered([str(name) for name in here["system"]], SYSTEMS):
            told = here[here["system"] == system]
            acc, low, high = ([100 * value for value in told[name]] for name in ("acc", "acc_low", "acc_high"))
            figure.add_bar(
                x=[_group_label(*each) for each in zip(told["category"], told["subclass"], told["n"], strict=True)],
                y=acc,
                error_y={
                    "type": "data",
                    "array": [up - at for up, at in zip(high, acc, strict=True)],
                    "arrayminus": [at - down for down, at in zip(low, acc, strict=True)],
                    "thickness": 1,
                    "width": 2,
                },
                name=system,
                legendgroup=system,
                showlegend=system not in seen,
                visible=True if not systems or system in systems else "legendonly",
                marker={"color": colour_of(system)},
                hovertemplate=f"{system}, %{{x}}: %{{y:.1f}} %<extra></extra>",
                row=row,
                col=1,
            )
            seen.add(system)
    figure.update_yaxes(range=[0, 105], title_text="accuracy, %")
    return finish(
        figure, "Accuracy by category, with 95 % Wilson intervals", height=120 + 330 * len(benchmarks), barmode="group"
    )


def matrix_figure(comparison_matrix: pd.DataFrame) -> "Figure":
    """Draw who beats whom: the difference in macro F1 of every pair of systems, a panel per benchmark.

    Args:
        comparison_matrix: The table of :func:`clarilm_kedro.metrics.comparing.comparison_matrix`.

    Returns:
        Row minus column in percentage points; ``*`` where the interval leaves out 0, ``**`` where also the McNemar p
        after Holm is under 0.05.
    """
    compared = comparison_matrix[comparison_matrix["n"] > 0]
    benchmarks = ordered([str(name) for name in compared["benchmark"]], BENCHMARKS)
    if not benchmarks:
        return message("No two systems were compared.")
    figure = panels([TITLES.get(name, name) for name in benchmarks], rows=len(benchmarks))
    tallest = 0
    for row, benchmark in enumerate(benchmarks, start=1):
        pairs = compared[compared["benchmark"] == benchmark].to_dict("records")
        cells = {(str(pair["system"]), str(pair["other"])): pair for pair in pairs}
        systems = ordered([name for key in cells for name in key], SYSTEMS)
        tallest = max(tallest, len(systems))
        values = [[_advantage(cells, ours, theirs) for theirs in systems] for ours in systems]
        figure.add_heatmap(
            x=systems,
            y=systems,
            z=[[value for value, _ in line] for line in values],
            text=[[text for _, text in line] for line in values],
            texttemplate="%{text}",
            hovertemplate="%{y} minus %{x}: %{text} points<extra></extra>",
            zmid=0,
            colorscale=[[0, "#d55e00"], [0.5, "#f7f7f7"], [1, "#0072b2"]],
            showscale=False,
            row=row,
            col=1,
        )
    figure.update_yaxes(autorange="reversed")
    height = 120 + len(benchmarks) * (_BAR_HEIGHT * tallest + 110)
    return finish(figure, "Macro F1, row minus column, percentage points", height=height)


def colour_of(system: str) -> str:
    """Give a system the same colour in every figure; one that is not known gets one by its name."""
    place = SYSTEMS.index(system) if system in SYSTEMS else sum(system.encode())
    return _PALETTE[place % len(_PALETTE)]


def panels(titles: Sequence[str], rows: int = 1, **layout: Any) -> "Figure":
    """Make a figure of panels.

    Args:
        titles: One per panel, row by row; as many in each row.
        rows: Rows of panels.
        **layout: Further arguments of plotly's ``make_subplots``.
    """
    from plotly.subplots import make_subplots

    columns = len(titles) // rows
    gaps = {"horizontal_spacing": min(0.06, 0.3 / columns), "vertical_spacing": min(0.16, 0.36 / rows)}
    return make_subplots(rows=rows, cols=columns, subplot_titles=[_plain(title) for title in titles], **gaps, **layout)


def finish(figure: "Figure", title: str, *, height: int, tight: bool = False, **layout: Any) -> "Figure":
    """Give a figure its heading, size and looks.

    Args:
        figure: With its traces.
        title: Heading.
        height: Pixels; the width is that of the page.
        tight: Small panel titles, for many panels.
        **layout: Further settings of plotly's layout.
    """
    figure.update_layout(
        title={"text": title, "x": 0.01, "font": {"size": 17}},
        height=height,
        template="plotly_white",
        margin={"l": 60, "r": 20, "t": 80, "b": 100},
        legend={"orientation": "h", "y": 0, "yanchor": "bottom", "yref": "container", "x": 0, "itemwidth": 30},
        **layout,
    )
    figure.update_annotations(font={"size": 11 if tight else 14})
    return figure


def message(text: str) -> "Figure":
    """Make a figure that only says why there is nothing to draw."""
    from plotly.graph_objects import Figure

    figure = Figure()
    figure.add_annotation(text=text, showarrow=False, font={"size": 15, "color": GREY})
    figure.update_layout(height=180, template="plotly_white", xaxis={"visible": False}, yaxis={"visible": False})
    return figure


def _judge_note(row: dict[Any, Any]) -> str:
    parts: Iterable[tuple[str, str]] = (("wins with ties half", "win_rate"), ("changed with the order", "flip_rate"))
    told = [f"{row['n']} items, judge {row['judge']}"]
    for label, name in parts:
        if not pd.isna(row.get(name)):
            bounds = f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" if name == "win_rate" else ""
            told.append(f"{label} {100 * row[name]:.1f} %{bounds}")
    return "<br>".join(told)


def _advantage(cells: Mapping[tuple[str, str], Mapping[Any, Any]], ours: str, theirs: str) -> tuple[float | None, str]:
    """What one system has over another and how it is written; the table holds each pair in one direction."""
    sign, pair = (1, cells[ours, theirs]) if (ours, theirs) in cells else (-1, cells.get((theirs, ours)))
    if pair is None:
        return None, ""
    beyond = pair["f1_macro_low"] > 0 or pair["f1_macro_high"] < 0
    stars = beyond + (beyond and pair["mcnemar_p_holm"] < 0.05)
    value = 100 * sign * float(pair["f1_macro_diff"])
    return value, f"{value:+.1f}{'*' * stars}"


def _group_label(category: str, subclass: str, n: int) -> str:
    return f"{' / '.join(filter(None, (category, subclass)))}<br>n = {n}"


def _plain(text: str) -> str:
    """Keep the line breaks of a title and nothing else that plotly would read as markup."""
    return "<br>".join(part.replace("<", "&lt;") for part in text.split("<br>"))
