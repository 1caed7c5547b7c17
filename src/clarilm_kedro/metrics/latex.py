r"""The results for a LaTeX document: the paper's Table 2 with bars, and one full table per benchmark.

The tables need the packages ``booktabs`` (rules) and ``xcolor`` (grey bars); their own first lines say so.
"""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.table import (
    COLUMNS,
    FOOTNOTE,
    PAPER_COLUMNS,
    PAPER_FOOTNOTE,
    TITLES,
    Cell,
    cells,
    notes,
    systems_of,
)

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\u2013": "--",
    "\u2212": "$-$",
}
_EACH_SPECIAL = re.compile("|".join(map(re.escape, _SPECIAL)))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def latex_text(text: str) -> str:
    """Write a text so that LaTeX prints it as it is; line breaks and control characters become spaces.

    Args:
        text: Any text, also one from a model.
    """
    return _EACH_SPECIAL.sub(lambda match: _SPECIAL[match[0]], _CONTROL.sub(" ", text))


def results_latex(results: pd.DataFrame) -> str:
    """Write the results as LaTeX tables.

    Args:
        results: The results table.

    Returns:
        Table environments to be read with ``input``: accuracy, F1+, TF and BERT of all benchmarks side by side as in
        the paper's Table 2, then every benchmark with all printed columns. Best values are bold, second ones
        underlined, bars grey.
    """
    head = "% Needs \\usepackage{booktabs} and \\usepackage{xcolor}.\n"
    if results.empty:
        return head + "% No benchmark has items, so there is nothing to score.\n"
    by_benchmark = {str(name): rows for name, rows in results.groupby("benchmark", sort=False)}
    tables = [_paper_table(by_benchmark, results)]
    for name, rows in by_benchmark.items():
        formatted = cells(rows, COLUMNS)
        systems = [str(system) for system in rows["system"]]
        body = [_row(system, [formatted[c.name][i] for c in COLUMNS]) for i, system in enumerate(systems)]
        titles = " & ".join(["System", *(latex_text(column.title) for column in COLUMNS)])
        caption = f"{latex_text(TITLES.get(name, name))}, {rows['n'].max()} items. {latex_text(FOOTNOTE)}"
        tables.append(_table("l" + "r" * len(COLUMNS), [f"{titles} \\\\"], body, caption, f"tab:results-{name}"))
    return head + "\n".join(tables)


def _paper_table(by_benchmark: dict[str, pd.DataFrame], results: pd.DataFrame) -> str:
    width = len(PAPER_COLUMNS)
    formatted = {name: cells(rows, PAPER_COLUMNS) for name, rows in by_benchmark.items()}
    place = {name: {system: i for i, system in enumerate(rows["system"])} for name, rows in by_benchmark.items()}
    groups = [rf"\multicolumn{{{width}}}{{c}}{{{latex_text(TITLES.get(name, name))}}}" for name in by_benchmark]
    rules = [rf"\cmidrule(lr){{{2 + width * i}-{1 + width * (i + 1)}}}" for i in range(len(by_benchmark))]
    titles = [latex_text(column.title) for column in PAPER_COLUMNS] * len(by_benchmark)
    body = []
    for system in systems_of(results):
        values = [
            formatted[name][column.name][place[name][system]] if system in place[name] else Cell("\u2013")
            for name in by_benchmark
            for column in PAPER_COLUMNS
        ]
        body.append(_row(system, values))
    lines = [f" & {' & '.join(groups)} \\\\", " ".join(rules), f"System & {' & '.join(titles)} \\\\"]
    caption = f"{latex_text(PAPER_FOOTNOTE)} {latex_text(notes(results))}"
    return _table("l" + "r" * (width * len(by_benchmark)), lines, body, caption, "tab:results-paper-view")


def _table(columns: str, head: Sequence[str], body: Iterable[str], caption: str, label: str) -> str:
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{{re.sub(r'[^A-Za-z0-9:-]', '-', label)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _row(system: str, values: Sequence[Cell]) -> str:
    grey = system in BARS
    fields = [_grey(latex_text(system)) if grey else latex_text(system)]
    for cell in values:
        text = latex_text(cell.text)
        text = {"best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}", "": text}[cell.standing]
        fields.append(_grey(text) if grey else text)
    return " & ".join(fields) + r" \\"


def _grey(text: str) -> str:
    return rf"\textcolor{{gray}}{{{text}}}"
