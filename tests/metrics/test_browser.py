"""The examples browser without a browser: what its data hold, and that no text in them can end their element."""

import base64
import hashlib
import json
import re
from typing import Any

import pandas as pd
import pytest

from clarilm_kedro.metrics.browser import (
    JUDGEMENT_COLUMNS,
    BrowserOptions,
    browser_data,
    build_browser,
    no_judgements,
)
from clarilm_kedro.metrics.inline_page import json_in_html
from report_rows import HOSTILE, items, predictions, row_scores

PARTS = re.compile(
    r'<script type="application/json" id="data">(?P<data>.*?)</script>\s*<script>(?P<script>.*?)</script>', re.DOTALL
)


def _tables(n: int = 6, **changes: Any) -> dict[str, Any]:
    frame = items(n, **changes)
    p = [i / max(n - 1, 1) for i in range(n)]
    said = predictions(frame, {"always-ask": [float("nan")] * n, "base": p, "clarilm": p[::-1]})
    scores = row_scores(frame, said)
    return {"benchmarks": frame, "predictions": said, "row_scores": scores, "judgements": no_judgements()}


def _judgement(item: str, order: int, verdict: str) -> dict[str, Any]:
    values = ("in3", item, "clarilm", "base", "rule judge", order, verdict, "Shorter.")
    return dict(zip(JUDGEMENT_COLUMNS, values, strict=True))


def test_an_item_holds_all_that_is_known_of_it() -> None:
    data = browser_data(**_tables(), options=BrowserOptions())
    assert data["systems"] == ["base", "clarilm", "always-ask"]
    assert data["models"] == 2
    assert data["benchmarks"] == [{"name": "in3", "title": "IN3", "held": 6, "all": 6}]
    item = data["items"][1]
    assert item | {"replies": []} == {
        "benchmark": "in3",
        "id": "in3-1",
        "question": "Question 1",
        "context": "",
        "needs": True,
        "references": ["Which one?", "When?"],
        "importances": [3, 1],
        "facets": ["Kind"],
        "thought": "Thought 1.",
        "category": "Food",
        "subclass": "",
        "verdicts": [],
        "replies": [],
    }
    assert item["replies"][1] == {
        "asked": True,
        "outcome": "tp",
        "parsed": True,
        "pAsk": 0.8,
        "threshold": 0.5,
        "text": "Reply of clarilm to in3-1",
        "scores": {"token_f1": 0.25},
    }
    assert (item["replies"][2]["pAsk"], item["replies"][2]["outcome"]) == (None, "fn")


def test_outcomes_are_those_after_the_policy_for_unparsed_replies() -> None:
    tables = _tables()
    scores = tables["row_scores"]
    correct = (scores["system"] == "base") & (scores["metric"] == "correct")
    scores.loc[correct & (scores["item_id"] == "in3-0"), "value"] = float("nan")
    outcomes = [item["replies"][0]["outcome"] for item in browser_data(**tables, options=BrowserOptions())["items"]]
    assert outcomes == ["dropped", "fn", "fn", "fp", "tp", "tp"]


def test_verdicts_of_both_orders_are_joined() -> None:
    tables = _tables()
    rows = [_judgement("in3-1", 2, "B"), _judgement("in3-1", 1, "A"), _judgement("in3-2", 1, "A")]
    tables["judgements"] = pd.DataFrame([*rows, _judgement("in3-2", 2, "A")])
    verdicts = [item["verdicts"] for item in browser_data(**tables, options=BrowserOptions())["items"]]
    assert [each[0]["verdict"] for each in verdicts if each] == ["win", "tie"]
    assert [each["order"] for each in verdicts[1][0]["orders"]] == [1, 2]


def test_items_are_capped_within_each_benchmark_and_it_is_said() -> None:
    data = browser_data(**_tables(30), options=BrowserOptions(max_items=10))
    assert data["benchmarks"][0]["held"] == len(data["items"]) == 10
    assert data["benchmarks"][0]["all"] == 30
    assert 0 < sum(item["needs"] for item in data["items"]) < 10


def test_the_lowest_seed_is_shown() -> None:
    tables = _tables()
    for name in ("predictions", "row_scores"):
        first = tables[name]
        tables[name] = pd.concat([first.assign(seed=8), first.assign(seed=3)], ignore_index=True)
    tables["predictions"].loc[tables["predictions"]["seed"] == 8, "text"] = "of another seed"
    assert "of another seed" not in build_browser(**tables, options=BrowserOptions())


def test_hostile_texts_stay_texts() -> None:
    tables = _tables(question=HOSTILE, thought=HOSTILE, category=HOSTILE, references=[HOSTILE], importances=[])
    tables["predictions"]["text"] = HOSTILE + "x" * 100_000
    page = build_browser(**tables, options=BrowserOptions(title=HOSTILE))
    parts = PARTS.search(page)
    assert parts
    data = json.loads(parts["data"])
    assert data["items"][0]["question"] == HOSTILE
    assert data["items"][0]["replies"][0]["text"] == HOSTILE + "x" * 100_000
    assert not set("<>&\u2028\u2029") & set(parts["data"])
    assert page.count("<script") == 2
    assert "<img" not in page


def test_the_policy_names_exactly_the_script_that_is_there() -> None:
    page = build_browser(**_tables(), options=BrowserOptions())
    parts = PARTS.search(page)
    assert parts
    digest = base64.b64encode(hashlib.sha256(parts["script"].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert "unsafe" not in page.split("</head>")[0].split("<style>")[0]


@pytest.mark.parametrize("empty", ["benchmarks", "predictions"])
def test_nothing_to_show(empty: str) -> None:
    tables = _tables()
    tables |= {empty: tables[empty].iloc[:0], "row_scores": tables["row_scores"].iloc[:0]}
    data = browser_data(**tables, options=BrowserOptions())
    assert len(data["items"]) == (0 if empty == "benchmarks" else 6)
    assert PARTS.search(build_browser(**tables, options=BrowserOptions()))


def test_a_system_that_is_not_there_is_replaced() -> None:
    assert browser_data(**_tables(), options=BrowserOptions(system="gpt-4o"))["system"] == "clarilm"


def test_json_refuses_what_it_cannot_hold_and_mends_lone_surrogates() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_in_html([float("nan")])
    assert json_in_html(["\ud800"]) == '["?"]'
