"""The results table for people: Markdown for the terminal and the repository, HTML for pages.

The best value of a column is bold and the second underlined, within one benchmark, decided on unrounded values; ties
share. The bars compete too: a reader has to see where always asking beats a trained model.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

import pandas as pd
from markupsafe import Markup, escape

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.benchmarks.registry import benchmark_titles
from clarilm_kedro.metrics.outcomes import SYSTEMS, ordered

Standing = Literal["best", "second", ""]
_BOLD, _UNDERLINED = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"<ins>(.+?)</ins>")

TITLES = benchmark_titles()
FLOOR_NAMES = {
    "generic": "the same generic question every time",
    "echo": "the user's question sent back",
    "shuffled": "the reference of another item",
}
FOOTNOTE = (
    "Percent. F1+ is the F1 of the class that needs a clarification: the paper's Table 2 prints it as macro F1. "
    "Macro F1 is the mean over both classes, with its bootstrap interval. TF and BERT count 0 where a needed question "
    "was not asked. Systems in italics or grey are bars: no language model stands behind them."
)
PAPER_FOOTNOTE = (
    "Percent, the columns of the paper's Table 2. What Table 2 calls macro F1 is F1+, the F1 of the class that needs a "
    "clarification: its GPT-3.5 row on IN3 (87.96, 93.60) is exactly that of always asking, whose macro F1 is 46.80. "
    "TF and BERT count 0 where a needed question was not asked; how Table 2 counts them is not stated, so only the "
    "first two columns can be set beside it. Systems in italics or grey are bars: no language model stands behind them."
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
#: The paper view: the four columns of Table 2.
PAPER_COLUMNS = tuple(column for column in COLUMNS if column.name in ("acc", "f1_pos", "tf", "bert"))


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


def cells(rows: pd.DataFrame, columns: Sequence[Column] = COLUMNS) -> dict[str, list[Cell]]:
    """Format one benchmark's rows.

    Args:
        rows: Rows of the results table of one benchmark.
        columns: What is printed.

    Returns:
        For each of the columns one cell per row; the macro F1 carries its interval.
    """
    out = {}
    for column in columns:
        values = [float(value) for value in rows[column.name]]
        marks: list[Standing] = standings(values) if column.ranked else [""] * len(values)
        out[column.name] = [Cell(percent(value), mark) for value, mark in zip(values, marks, strict=True)]
    if "f1_macro" in out:
        bounds = zip(out["f1_macro"], rows["f1_macro_low"], rows["f1_macro_high"], strict=True)
        out["f1_macro"] = [
            Cell(f"{cell.text} [{100 * low:.1f}, {100 * high:.1f}]", cell.standing) for cell, low, high in bounds
        ]
    return out


def systems_of(results: pd.DataFrame) -> list[str]:
    """Name the systems in the tables' order, each once."""
    return ordered([str(name) for name in results["system"]], SYSTEMS)


def results_markdown(results: pd.DataFrame, floors: pd.DataFrame) -> str:
    """Write the results as Markdown tables, one per benchmark, aligned so that a terminal shows them well.

    Args:
        results: The results table.
        floors: TF and BERT of questions that understand nothing (:func:`clarilm_kedro.metrics.scoring.score_floors`).
    """
    return _markdown(results, floors, "Results", COLUMNS, FOOTNOTE)


def paper_view_markdown(results: pd.DataFrame, floors: pd.DataFrame) -> str:
    """Write accuracy, F1+, TF and BERT alone, as the paper's Table 2 does, with a footnote on what its F1 is.

    Args:
        results: The results table.
        floors: As for :func:`results_markdown`.
    """
    return _markdown(results, floors, "Results, paper view", PAPER_COLUMNS, PAPER_FOOTNOTE)


def for_terminal(markdown: str) -> str:
    """Turn the marks of a results table into a terminal's own bold and underline, and align its columns anew.

    Args:
        markdown: What :func:`results_markdown` or :func:`paper_view_markdown` wrote.
    """
    from click import style, unstyle

    lines: list[str] = []
    for block in markdown.split("\n\n"):
        if not block.startswith("|"):
            lines += [block, ""]
            continue
        shown = []
        for line in block.split("\n"):
            fields = [field.strip() for field in line.strip("|").split(" | ")]
            fields = [_BOLD.sub(lambda match: style(match[1], bold=True), field) for field in fields]
            shown.append([_UNDERLINED.sub(lambda match: style(match[1], underline=True), field) for field in fields])
        del shown[1]  # the rule of dashes
        widths = [max(len(unstyle(row[i])) for row in shown) for i in range(len(shown[0]))]
        for row in shown:
            pads = [" " * (width - len(unstyle(field))) for field, width in zip(row, widths, strict=True)]
            lines.append(
                "  ".join([row[0] + pads[0], *(pad + field for pad, field in zip(pads[1:], row[1:], strict=True))])
            )
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _markdown(results: pd.DataFrame, floors: pd.DataFrame, title: str, columns: Sequence[Column], footnote: str) -> str:
    if results.empty:
        return f"# {title}\n\nNo benchmark has items, so there is nothing to score.\n"
    parts = [f"# {title}"]
    for benchmark, rows in results.groupby("benchmark", sort=False):
        formatted = cells(rows, columns)
        head = ["System", *(column.title for column in columns)]
        body = [
            [
                f"_{system}_" if system in BARS else str(system),
                *(_marked(formatted[column.name][i]) for column in columns),
            ]
            for i, system in enumerate(rows["system"])
        ]
        parts.append(
            f"## {TITLES.get(str(benchmark), benchmark)} ({rows['n'].max()} items)\n\n{_aligned([head, *body])}"
        )
        parts += _floor_note(floors[floors["benchmark"] == benchmark])
    parts.append(f"{footnote} {notes(results)}")
    return "\n\n".join(parts) + "\n"


def _floor_note(floors: pd.DataFrame) -> list[str]:
    told = [
        f"{FLOOR_NAMES.get(floor, floor)} {percent(tf)} / {percent(bert)}"
        for floor, tf, bert in zip(floors["floor"], floors["tf"], floors["bert"], strict=True)
    ]
    return [f"TF / BERT of asking every time: {'; '.join(told)}."] if told else []


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
    # GitHub drops <u> and keeps <ins>, which browsers underline.
    return {"best": f"**{cell.text}**", "second": f"<ins>{cell.text}</ins>", "": cell.text}[cell.standing]


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
