"""LaTeX: escapes, balanced structure, marks."""

import re

import numpy as np
import pandas as pd
import pytest

from clarilm_kedro.metrics.aggregation import RESULT_COLUMNS
from clarilm_kedro.metrics.latex import latex_text, results_latex


def _results(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    filled = {name: [0.5] * n for name in RESULT_COLUMNS}
    filled |= {"benchmark": ["in3"] * n, "teacher": ["none"] * n, "bertscore": ["a_b"] * n, "n": [108] * n}
    return pd.DataFrame({**filled, **columns})


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50 % & more_or #1 $2", r"50 \% \& more\_or \#1 \$2"),
        ("{x}", r"\{x\}"),
        ("a\\b", r"a\textbackslash{}b"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("<|>", r"\textless{}\textbar{}\textgreater{}"),
        ("one\n\ntwo\x00", "one two "),
        ("\u2013", "--"),
        ("\\end{tabular}", r"\textbackslash{}end\{tabular\}"),
    ],
)
def test_every_special_character_is_escaped(text: str, written: str) -> None:
    assert latex_text(text) == written


def test_tables_are_balanced_and_every_row_has_the_columns_that_are_declared() -> None:
    results = _results(
        benchmark=["our_test", "our_test", "in3"],
        system=["always-ask", "evil & {x}\\\\", "clarilm"],
        acc=[0.8, 0.9, np.nan],
        tf=[np.nan, 0.2, 0.1],
    )
    written = results_latex(results)
    assert re.findall(r"\\begin\{(\w+\*?)\}", written).count("tabular") == 3
    assert sorted(re.findall(r"\\begin\{(.+?)\}", written)) == sorted(re.findall(r"\\end\{(.+?)\}", written))
    assert len(re.findall(r"(?<!\\)\{", written)) == len(re.findall(r"(?<!\\)\}", written))
    for columns, inside in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", written, re.DOTALL):
        assert [inside.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
        body = inside.split(r"\midrule")[1].split(r"\bottomrule")[0]
        rows = [line for line in body.strip().split("\n") if line]
        assert all(line.endswith(r"\\") for line in rows)
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows} == {len(columns)}
    assert written.count(r"\label{") == 3


def test_best_second_and_bars() -> None:
    written = results_latex(_results(system=["always-ask", "base", "clarilm"], acc=[0.8796, 0.7, 0.8972]))
    assert r"\textcolor{gray}{always-ask} & \textcolor{gray}{\underline{87.96}}" in written
    assert r"clarilm & \textbf{89.72}" in written
    assert r"base & 70.00" in written


def test_a_system_that_a_benchmark_lacks_has_dashes_in_the_paper_view() -> None:
    results = _results(benchmark=["our_test", "in3", "in3"], system=["base", "base", "gpt-4o"])
    paper = results_latex(results).split(r"\end{table*}")[0]
    assert r"\multicolumn{4}{c}{Our-test} & \multicolumn{4}{c}{IN3}" in paper
    assert r"\cmidrule(lr){2-5} \cmidrule(lr){6-9}" in paper
    assert "gpt-4o & -- & -- & -- & -- & " in paper


def test_no_items() -> None:
    assert "nothing to score" in results_latex(_results(system=[]))
