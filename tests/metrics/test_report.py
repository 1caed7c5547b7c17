"""The report page: what it says in words, that nothing in it can act, and which examples it shows."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from clarilm_kedro.metrics.aggregation import RESULT_COLUMNS
from clarilm_kedro.metrics.benchmarks.shape import items_frame
from clarilm_kedro.metrics.comparing import COIN, COMPARISON_COLUMNS
from clarilm_kedro.metrics.report import ReportOptions, Skipped, build_report, build_results_page, choose_examples
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS
from clarilm_kedro.tables import table

HOSTILE = "<img src=x onerror=alert(1)>{{ 7 * 7 }}</main></html>\u202e"
FLOOR_COLUMNS = {"benchmark": "str", "floor": "str", "n": "int64", "tf": "float64", "bert": "float64"}


class _Tags(HTMLParser):
    """Collect tags and check that they nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _items(n: int, benchmark: str = "in3") -> pd.DataFrame:
    return items_frame(
        [
            {
                "benchmark": benchmark,
                "item_id": f"{benchmark}-{i}",
                "question": f"Question {i} {HOSTILE if i == 0 else ''}",
                "needs_clarification": i % 3 > 0,
                "references": ["Which one?", f"When? {HOSTILE}"] if i % 3 else [],
                "category": "",
                "subclass": "",
            }
            for i in range(n)
        ]
    )


def _predictions(items: pd.DataFrame, system: str) -> pd.DataFrame:
    return table(
        [
            {
                "benchmark": row["benchmark"],
                "system": system,
                "seed": 0,
                "item_id": row["item_id"],
                "text": HOSTILE if i else "",
                "asked": i % 2 == 0,
                "p_ask": 0.73,
                "question": "",
                "parsed": True,
                "threshold": 0.6,
            }
            for i, row in enumerate(items.to_dict("records"))
        ],
        PREDICTION_COLUMNS,
    )


def _results(teacher: str = "t", systems: tuple[str, ...] = ("always-ask", "clarilm")) -> pd.DataFrame:
    n = len(systems)
    filled = {name: [0.5] * n for name in RESULT_COLUMNS}
    filled |= {"benchmark": ["in3"] * n, "system": list(systems), "bertscore": ["hash"] * n, "n": [108] * n}
    return pd.DataFrame({**filled, "teacher": ["none"] * (n - 1) + [teacher]})


def _compared() -> pd.DataFrame:
    base = {"benchmark": "in3", "system": "clarilm", "n": 108}
    base |= {"f1_macro_diff": 0.1, "f1_macro_low": 0.02, "f1_macro_high": 0.2}
    tested = {"acc_diff": 0.1, "acc_low": 0.0, "acc_high": 0.2, "only_system_right": 14, "only_other_right": 3}
    rows = [
        {**base, **tested, "other": "base", "mcnemar_p": 0.0127, "mcnemar_p_holm": 0.0127},
        {**base, **tested, "other": HOSTILE, "f1_macro_low": -0.1, "mcnemar_p": 0.0001, "mcnemar_p_holm": 0.0002},
        {**base, "other": COIN},
        {"benchmark": "clamber", "system": "clarilm", "n": 0, "other": "base"},
        {**base, "other": "tf-idf", "f1_macro_diff": -0.2, "f1_macro_low": -0.3, "f1_macro_high": -0.1},
    ]
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS)).astype(COMPARISON_COLUMNS)


def _report(**changes: object) -> str:
    items = _items(12)
    floors = table([{"benchmark": "in3", "floor": "echo", "n": 7, "tf": 0.2, "bert": 0.5}], FLOOR_COLUMNS)
    content: dict[str, object] = {
        "results": _results(),
        "comparisons": _compared(),
        "floors": floors,
        "benchmarks": items,
        "predictions": _predictions(items, "clarilm"),
        "log_statistics": pd.DataFrame(
            {
                "stage": ["read", "rejected", "kept"],
                "reason": [None, "too_long", None],
                "source": ["sharegpt"] * 3,
                "sessions": [1605, 0, 12],
                "mean_user_turns": [3.0712, np.nan, np.nan],
            }
        ),
        "skipped": [Skipped("FM-LOG", f"Too few rows. {HOSTILE}")],
        "options": ReportOptions(),
    }
    return build_report(**{**content, **changes})  # type: ignore[arg-type]


def test_page_is_whole_self_contained_and_inert() -> None:
    page = _report()
    tags = _Tags(page)
    assert tags.open == []
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "img", "link", "iframe", "object"}
    assert not {name for _, attrs in tags.seen for name in attrs if name.startswith("on") or name == "src"}
    assert {attrs["href"] for _, attrs in tags.seen if "href" in attrs} == {"figures.html", "examples.html"}
    assert "default-src 'none'" in page
    assert "&lt;img src=x" in page
    assert "{{ 7 * 7 }}" in page  # shown, not computed
    assert page.rstrip().endswith("</html>")


def test_what_the_page_says() -> None:
    page = _report()
    assert "Teacher: <strong>t</strong>" in page
    assert "against a coin at its ask rate" in page
    assert "+10.0 [+2.0, +20.0]" in page
    assert "14 : 3" in page
    assert "0.013" in page
    assert "&lt; 0.001" in page
    assert [word in page for word in ("better", "worse", "not told apart")] == [True, True, True]
    assert "the user&#39;s question sent back" in page
    assert '<th scope="col">mean user turns</th>' in page
    assert "<td>1,605</td><td>3.07</td>" in page
    assert "<td>12</td><td></td>" in page
    assert "too_long" not in page  # rejected nothing
    assert "nan" not in page.lower()
    assert "Too few rows." in page
    assert "P(ask) 73.00 %, threshold 60.00 %" in page
    assert "(empty)" in page


def test_a_scripted_teacher_is_called_by_its_name() -> None:
    page = _report(results=_results("sample-teacher"))
    assert "These figures say nothing about real questions" in page
    assert "scripted from the sample world" in page
    assert "say nothing about real questions" not in _report()


@pytest.mark.parametrize("missing", ["comparisons", "floors", "benchmarks", "predictions", "log_statistics", "results"])
def test_a_page_comes_also_with_parts_missing(missing: str) -> None:
    frames = {
        "comparisons": _compared(),
        "floors": table([], FLOOR_COLUMNS),
        "benchmarks": _items(0),
        "predictions": table([], PREDICTION_COLUMNS),
        "log_statistics": pd.DataFrame(),
        "results": _results(),
    }
    page = _report(**{missing: frames[missing].iloc[:0]})
    assert _Tags(page).open == []


def test_nothing_trained() -> None:
    page = _report(results=_results("none", ("always-ask", "base")), skipped=[])
    assert "there is no teacher to name" in page
    assert "Not done in this run" not in page


def test_examples_hold_both_labels_and_do_not_depend_on_row_order() -> None:
    items = _items(60)
    chosen = choose_examples(items, 30, 7)
    needs = dict(zip(items["item_id"], items["needs_clarification"], strict=True))
    assert len(chosen) == len(set(chosen)) == 30
    assert sum(needs[item] for item in chosen) == 15
    assert chosen == choose_examples(items.iloc[::-1], 30, 7)
    assert chosen != choose_examples(items, 30, 8)


@pytest.mark.parametrize(("n", "count", "expected"), [(6, 30, 6), (60, 0, 0), (60, 50, 50), (1, 2, 1)])
def test_examples_where_a_label_runs_out(n: int, count: int, expected: int) -> None:
    assert len(set(choose_examples(_items(n), count, 7))) == expected


def test_examples_fall_back_to_the_best_system_there_is() -> None:
    items = _items(3)
    page = _report(benchmarks=items, predictions=_predictions(items, "base"))
    assert "replies of base" in page
    assert "Examples" not in _report(benchmarks=items, predictions=_predictions(items, "always-ask"))


def test_results_page() -> None:
    page = build_results_page(_results(), "Results <now>")
    assert _Tags(page).open == []
    assert "<title>Results &lt;now&gt;</title>" in page
    assert "Training data made by: t." in page
