"""Best and second from the paper's own Table 2, Markdown and HTML."""

import click
import numpy as np
import pandas as pd

from clarilm_kedro.metrics.aggregation import RESULT_COLUMNS
from clarilm_kedro.metrics.table import (
    for_terminal,
    paper_view_markdown,
    percent,
    results_fragment,
    results_markdown,
    standings,
)

IN3_ACCURACY = [77.88, 77.78, 72.22, 87.96, 82.78, 75.93, 83.33, 90.85, 84.26, 90.74, 89.72]
IN3_TOKEN_F1 = [23.26, 23.34, 17.95, 30.76, 27.02, 16.67, 18.64, 30.68, 29.77, 31.12, 30.42]

FLOORS = pd.DataFrame({"benchmark": ["in3"], "floor": ["generic"], "n": [95], "tf": [0.025], "bert": [0.1812]})


def _results(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    filled = {name: [0.5] * n for name in RESULT_COLUMNS}
    filled |= {"benchmark": ["in3"] * n, "teacher": ["none"] * n, "bertscore": ["hash"] * n, "n": [108] * n}
    return pd.DataFrame({**filled, **columns})


def test_best_and_second_of_table_2() -> None:
    marks = standings(IN3_ACCURACY)
    assert (IN3_ACCURACY[marks.index("best")], IN3_ACCURACY[marks.index("second")]) == (90.85, 90.74)
    marks = standings(IN3_TOKEN_F1)
    assert (IN3_TOKEN_F1[marks.index("best")], IN3_TOKEN_F1[marks.index("second")]) == (31.12, 30.76)


def test_ties_share_and_are_decided_on_unrounded_values() -> None:
    assert standings([0.5, 0.5, 0.4, np.nan]) == ["best", "best", "second", ""]
    assert standings([0.50001, 0.50002]) == ["second", "best"]
    assert standings([]) == []


def test_markdown() -> None:
    results = _results(system=["always-ask", "clarilm"], acc=[0.87963, 0.89722], tf=[np.nan, 0.3])
    text = results_markdown(results, FLOORS)
    assert "## IN3 (108 items)" in text
    assert "TF / BERT of asking every time: the same generic question every time 2.50 / 18.12." in text
    assert "| _always-ask_ |" in text
    assert "**89.72**" in text
    assert "<ins>87.96</ins>" in text
    assert "50.00 [50.0, 50.0]" in text
    assert "No system here was trained." in text
    widths = {len(line) for line in text.split("\n") if line.startswith("|")}
    assert len(widths) == 1


def test_the_paper_view_has_the_columns_of_table_2_and_says_what_its_f1_is() -> None:
    results = _results(system=["always-ask", "clarilm"], acc=[0.87963, 0.89722])
    lines = paper_view_markdown(results, FLOORS).split("\n")
    assert [each.strip() for each in lines[4].strip("|").split("|")] == ["System", "Acc", "F1+", "TF", "BERT"]
    assert "whose macro F1 is 46.80" in lines[-2]
    assert "nothing to score" in paper_view_markdown(_results(system=[]), FLOORS)


def test_a_terminal_gets_bold_and_underline_and_straight_columns() -> None:
    results = _results(system=["always-ask", "clarilm"], acc=[0.87963, 0.89722], f1_pos=[0.9, 0.8])
    shown = for_terminal(paper_view_markdown(results, FLOORS))
    assert "\x1b[1m89.72\x1b[0m" in shown
    assert "\x1b[4m87.96\x1b[0m" in shown
    rows = [click.unstyle(line) for line in shown.split("\n") if "ask" in line[:12] or "clarilm" in line]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert "**" not in shown
    assert "F1+ is the F1" in for_terminal(results_markdown(results, FLOORS))


def test_teachers_are_named() -> None:
    results = _results(system=["base", "clarilm"], teacher=["none", "sample-teacher"])
    assert "Training data made by: sample-teacher." in results_markdown(results, FLOORS)


def test_html_escapes_and_marks() -> None:
    results = _results(system=["tf-idf", "<script>alert(1)</script>"], acc=[0.7, 0.8], f1_macro=[0.6, 0.5])
    html = results_fragment(results)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert '<tr class="bar"><th scope="row">tf-idf</th><td class="second">70.00</td>' in html
    assert '<td class="best">60.00 <small>[50.0, 50.0]</small></td>' in html


def test_no_items() -> None:
    empty = _results(system=[])
    assert "nothing to score" in results_markdown(empty, FLOORS)
    assert "nothing to score" in results_fragment(empty)


def test_percent() -> None:
    assert percent(0.87963) == "87.96"
    assert percent(float("nan")) == "\u2013"
