"""Figures: what their traces hold, that they say why they are empty, their size, and the page that holds them all."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_datasets.plotly import JSONDataset

from clarilm_kedro.metrics.categories import CategoryOptions, category_results
from clarilm_kedro.metrics.comparing import ComparisonOptions, comparison_matrix
from clarilm_kedro.metrics.curve_figures import ask_rate_figure, cost_figure, ranking_figure, reliability_figure
from clarilm_kedro.metrics.curves import CurveOptions, decision_curves
from clarilm_kedro.metrics.figures import category_figure, colour_of, confusion_figure, judge_figure, matrix_figure
from clarilm_kedro.metrics.figures_page import build_figures_page
from clarilm_kedro.metrics.outcomes import SYSTEMS
from report_rows import HOSTILE, items, predictions, row_scores
from row_scores import recorded_assistants

MEGABYTE = 1_000_000
JUDGED = ["benchmark", "system", "other", "judge", "aggregation", "n", "win", "tie", "lose", "invalid"]
RATES = {"win_rate": 0.6, "low": 0.5, "high": 0.7, "flip_rate": 0.1}


def _judged(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=JUDGED).assign(**RATES)


def _curves(n: int = 12) -> dict[str, Any]:
    frame = pd.concat([items(n), items(n, benchmark="clamber")], ignore_index=True)
    p = [(i * 7919 % 1009) / 1009 for i in range(len(frame))]
    said = predictions(frame, {"base": p, "clarilm": p[::-1], "always-ask": [float("nan")] * len(frame)})
    curves, bins, summary = decision_curves(frame, said, CurveOptions())
    return {
        "ask_rate_figure": ask_rate_figure(curves),
        "ranking_figure": ranking_figure(curves, summary),
        "reliability_figure": reliability_figure(bins, summary),
        "cost_figure": cost_figure(curves, summary, CurveOptions(cost_missed=5)),
    }


def test_figure_4_has_a_part_for_each_verdict_and_sums_to_the_items() -> None:
    figure = judge_figure(
        _judged(
            ("in3", "clarilm", "base", "j", "strict", 40, 20, 10, 8, 2),
            ("in3", "clarilm", "base", "j", "lenient", 40, 22, 8, 8, 2),
            ("clamber", "clarilm", HOSTILE, "j", "strict", 0, 0, 0, 0, 0),
        )
    )
    first = [trace for trace in figure.data if trace.xaxis == "x"]
    assert [trace.name for trace in first] == ["win", "tie", "lose", "invalid"]
    assert [trace.x for trace in first] == [(50,), (25,), (20,), (5,)]
    assert "changed with the order 10.0 %" in first[0].hovertext[0]
    assert figure.layout.barmode == "stack"
    lenient = judge_figure(_judged(("in3", "clarilm", "base", "j", "lenient", 4, 4, 0, 0, 0)), "lenient")
    assert lenient.data[0].x == (100,)


def test_several_judges_have_a_bar_each() -> None:
    figure = judge_figure(
        _judged(
            ("in3", "clarilm", "base", "b", "strict", 4, 4, 0, 0, 0),
            ("in3", "clarilm", "base", "a", "strict", 4, 0, 4, 0, 0),
        )
    )
    assert figure.data[0].y == ("base (a)", "base (b)")


def test_confusion_matrices_hold_the_counts() -> None:
    frame = items(6)
    said = predictions(frame, {"clarilm": [0.9, 0.9, 0.1, 0.1, 0.9, 0.9]})
    figure = confusion_figure(row_scores(frame, said))
    # needed: items 1 2 4 5, of which 2 is missed; not needed: 0 3, of which 0 is asked about
    assert [list(row) for row in figure.data[0].text] == [[3, 1], [1, 1]]
    assert [list(row) for row in figure.data[0].z] == [[75, 25], [50, 50]]


def test_bars_by_category_show_some_systems_and_offer_the_others() -> None:
    frame = items(12)
    said = predictions(frame, {"clarilm": [0.9] * 12, "sft-ql": [0.1] * 12})
    figure = category_figure(
        category_results(row_scores(frame, said), frame, CategoryOptions(min_items=1)), ("clarilm",)
    )
    shown = {trace.name: trace.visible for trace in figure.data}
    assert shown == {"sft-ql": "legendonly", "clarilm": True}
    assert figure.data[1].x[0] == "Food<br>n = 6"


def test_who_beats_whom_is_written_in_both_directions_with_stars() -> None:
    frame = recorded_assistants()
    figure = matrix_figure(comparison_matrix(frame, ComparisonOptions(resamples=500)))
    (panel,) = figure.data
    assert list(panel.x) == list(panel.y) == ["always-ask", "base", "clarilm"]
    by_pair = {(y, x): panel.text[i][j] for i, y in enumerate(panel.y) for j, x in enumerate(panel.x)}
    assert by_pair["clarilm", "always-ask"] == "+41.9*"
    assert by_pair["always-ask", "clarilm"] == "-41.9*"
    assert by_pair["base", "base"] == ""
    assert matrix_figure(comparison_matrix(frame.iloc[:0], ComparisonOptions())).layout.annotations


def test_curves_mark_the_threshold_and_leave_out_systems_without_p_ask() -> None:
    figures = _curves()
    names = {trace.name for trace in figures["ask_rate_figure"].data}
    assert names == {"base", "clarilm"}
    diamonds = [trace for trace in figures["cost_figure"].data if trace.mode == "markers"]
    assert {trace.x[0] for trace in diamonds} == {50}
    assert "costs 5 and a needless one 1" in figures["cost_figure"].layout.title.text
    assert any("AUROC" in (trace.hovertemplate or "") for trace in figures["ranking_figure"].data)
    assert any("ECE" in (trace.hovertemplate or "") for trace in figures["reliability_figure"].data)


def test_empty_tables_say_why() -> None:
    frame = items(0)
    said = predictions(frame, {})
    curves, bins, summary = decision_curves(frame, said, CurveOptions())
    scores = row_scores(frame, said)
    empty = [
        judge_figure(_judged()),
        confusion_figure(scores),
        category_figure(category_results(scores, frame, CategoryOptions())),
        ask_rate_figure(curves),
        ranking_figure(curves, summary),
        reliability_figure(bins, summary),
        cost_figure(curves, summary, CurveOptions()),
    ]
    assert all(len(figure.data) == 0 and figure.layout.annotations[0].text for figure in empty)


@pytest.mark.parametrize("name", ["ask_rate_figure", "ranking_figure", "reliability_figure", "cost_figure"])
def test_figures_stay_small_and_survive_their_dataset(name: str, tmp_path: Path) -> None:
    figure = _curves(n=3000)[name]
    dataset = JSONDataset(filepath=(tmp_path / "figure.json").as_posix())
    dataset.save(figure)
    written = (tmp_path / "figure.json").read_text(encoding="utf-8")
    assert len(written) < 2 * MEGABYTE
    assert "bdata" not in written
    assert json.loads(dataset.load().to_json()) == json.loads(figure.to_json())


def test_a_system_keeps_its_colour() -> None:
    assert colour_of("clarilm") == colour_of("clarilm")
    assert len({colour_of(name) for name in SYSTEMS}) == len(SYSTEMS)
    assert colour_of("gpt-4o").startswith("#")


class _Scripts(HTMLParser):
    """Collect the contents of script elements and what attributes would load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.loads: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script"
        self.loads += [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts.append(data)


def test_the_page_of_figures_holds_them_all_and_loads_nothing() -> None:
    page = build_figures_page(_curves(), f"Title {HOSTILE}")
    read = _Scripts(page)
    assert read.loads == []
    assert set(json.loads(read.scripts[0])) == set(_curves())
    assert "Title &lt;/script&gt;" in page
    assert page.count("'sha256-") == 2
    assert "https://cdn" not in page.replace(read.scripts[1], "")
