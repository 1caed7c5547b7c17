"""The results table for people: Markdown for the terminal and the repository, HTML for pages.

The best value of a column is bold and the second underlined (HTML), within one benchmark, decided on unrounded values;
ties share. The bars compete too: a reader has to see where always asking beats a trained model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

import pandas as pd
from markupsafe import Markup, escape

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.benchmarks.registry import benchmark_titles

Standing = Literal["best", "second", ""]

TITLES = benchmark_titles()
FOOTNOTE = (
    "Percent. F1+ is the F1 of the class that needs a clarification: the paper's Table 2 prints it as macro F1. "
    "Macro F1 is the mean over both classes, with its bootstrap interval. TF and BERT count 0 where a needed question "
    "was not asked. Systems in italics or grey are bars: no language model stands behind them."
)


@dataclass(frozen=True)
class Column:
    """One column of the printed table.

    Attributes:
        name: Column of the results table.
        title: Its heading.
        ranked: Whether higher is better, so that best and second are marked.
    """

    name: str
    title: str
    ranked: bool = True


COLUMNS = (
    Column("acc", "Acc"),
    Column("f1_pos", "F1+"),
    Column("f1_macro", "Macro F1"),
    Column("bal_acc", "Bal. acc"),
    Column("mcc", "MCC"),
    Column("ask_rate", "Asks", ranked=False),
    Column("tf", "TF"),
    Column("bert", "BERT"),
)


@dataclass(frozen=True)
class Cell:
    """One printed value.

    Attributes:
        text: The value in percent, or an en dash where there is none.
        standing: Its place in its column.
    """

    text: str
    standing: Standing = ""


def standings(values: Sequence[float]) -> list[Standing]:
    """Find best and second of a column on unrounded values.

    Args:
        values: One per row; NaN takes no place.

    Returns:
        ``best`` for every value equal to the highest, ``second`` for every one equal to the next, "" for the others.
    """
    places = sorted({value for value in values if not isnan(value)}, reverse=True)
    marks: dict[float, Standing] = dict(zip(places, ("best", "second"), strict=False))
    return [marks.get(value, "") for value in values]


def percent(value: float) -> str:
    """Print a fraction in percent with two decimals, as the paper does."""
    return "–" if isnan(value) else f"{100 * value:.2f}"  # noqa: RUF001


def cells(rows: pd.DataFrame) -> dict[str, list[Cell]]:
    """Format one benchmark's rows.

    Args:
        rows: Rows of the results table of one benchmark.

    Returns:
        For each of :data:`COLUMNS` one cell per row; the macro F1 carries its interval.
    """
    out = {}
    for column in COLUMNS:
        values = [float(value) for value in rows[column.name]]
        marks: list[Standing] = standings(values) if column.ranked else [""] * len(values)
        out[column.name] = [Cell(percent(value), mark) for value, mark in zip(values, marks, strict=True)]
    bounds = zip(out["f1_macro"], rows["f1_macro_low"], rows["f1_macro_high"], strict=True)
    out["f1_macro"] = [
        Cell(f"{cell.text} [{100 * low:.1f}, {100 * high:.1f}]", cell.standing) for cell, low, high in bounds
    ]
    return out


def results_markdown(results: pd.DataFrame) -> str:
    """Write the results as Markdown tables, one per benchmark, aligned so that a terminal shows them well.

    Args:
        results: The results table.
    """
    if results.empty:
        return "# Results\n\nNo benchmark has items, so there is nothing to score.\n"
    parts = ["# Results"]
    for benchmark, rows in results.groupby("benchmark", sort=False):
        formatted = cells(rows)
        head = ["System", *(column.title for column in COLUMNS)]
        body = [
            [
                f"_{system}_" if system in BARS else str(system),
                *(_marked(formatted[column.name][i]) for column in COLUMNS),
            ]
            for i, system in enumerate(rows["system"])
        ]
        parts.append(
            f"## {TITLES.get(str(benchmark), benchmark)} ({rows['n'].max()} items)\n\n{_aligned([head, *body])}"
        )
    parts.append(f"{FOOTNOTE} {notes(results)}")
    return "\n\n".join(parts) + "\n"


def results_fragment(results: pd.DataFrame) -> Markup:
    """Write the results as HTML tables without a page around them.

    Args:
        results: The results table.

    Returns:
        Markup in which every value is escaped; it uses the classes ``bar``, ``best`` and ``second``.
    """
    parts = []
    for benchmark, rows in results.groupby("benchmark", sort=False):
        formatted = cells(rows)
        head = Markup("").join(Markup('<th scope="col">{}</th>').format(column.title) for column in COLUMNS)
        body = Markup("").join(
            Markup('<tr{}><th scope="row">{}</th>{}</tr>\n').format(
                Markup(' class="bar"') if system in BARS else "",
                system,
                Markup("").join(_html_cell(formatted[column.name][i]) for column in COLUMNS),
            )
            for i, system in enumerate(rows["system"])
        )
        caption = f"{TITLES.get(str(benchmark), benchmark)}, {rows['n'].max()} items"
        parts.append(
            Markup(
                '<div class="scroll"><table class="results"><caption>{}</caption>\n'
                '<thead><tr><th scope="col">System</th>{}</tr></thead>\n<tbody>{}</tbody></table></div>'
            ).format(caption, head, body)
        )
    return Markup("\n").join(parts) if parts else Markup("<p>No benchmark has items, so there is nothing to score.</p>")


def notes(results: pd.DataFrame) -> str:
    """Say under the table who taught the systems and what BERT means here."""
    teachers = sorted(set(results["teacher"]) - {"none"})
    taught = f"Training data made by: {', '.join(teachers)}." if teachers else "No system here was trained."
    hashes = ", ".join(sorted(set(results["bertscore"])))
    return f"{taught} BERT is BERTScore F1 with {hashes}: not comparable with values from another model or layer."


def _marked(cell: Cell) -> str:
    return f"**{cell.text}**" if cell.standing == "best" else cell.text


def _html_cell(cell: Cell) -> Markup:
    css = Markup(' class="{}"').format(cell.standing) if cell.standing else ""
    value, space, interval = cell.text.partition(" ")
    small = Markup(" <small>{}</small>").format(interval) if space else ""
    return Markup("<td{}>{}{}</td>").format(css, escape(value), small)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join(
        "| "
        + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        + " |"
        for line in lines
    )
