"""The examples browser and the page of figures in a real browser, opened from their files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from browser.chromium import opened_chromium
from clarilm_kedro.metrics.browser import BrowserOptions, build_browser
from clarilm_kedro.metrics.figures import confusion_figure
from clarilm_kedro.metrics.figures_page import build_figures_page
from report_rows import HOSTILE, items, predictions, row_scores

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = HOSTILE + "long " * 20_000
PHONE = {"width": 360, "height": 740}


def _tables() -> dict[str, Any]:
    """120 IN3 and 3,202 CLAMBER items, five systems; the first IN3 item is hostile in all its texts."""
    frame = pd.concat([items(120), items(3202, benchmark="clamber", subclass="when")], ignore_index=True)
    texts = ["question", "thought", "context"]
    frame.loc[0, texts] = [HOSTILE, LONG, HOSTILE]
    frame.loc[7, "question"] = "Plan a trip to the Größte Insel"
    frame.at[1, "references"] = [HOSTILE]
    n = len(frame)
    p = [(i * 7 % 10) / 10 for i in range(n)]
    said = predictions(
        frame, {"base": [0.9] * n, "sft-ql": [0.1] * n, "clarilm-sft": p[::-1], "clarilm": p, "always-ask": [1.0] * n}
    )
    said.loc[said["item_id"] == "in3-0", "text"] = LONG
    verdicts = [("in3-1", "A", "B"), ("in3-2", "B", "B"), ("in3-4", "invalid", "B")]
    judged = [
        {
            "benchmark": "in3", "item_id": item, "system": "clarilm", "other": "base", "judge": "rule judge",
            "order": order, "verdict": verdict, "reason": HOSTILE,
        }
        for item, *both in verdicts
        for order, verdict in enumerate(both, start=1)
    ]  # fmt: skip
    return {
        "benchmarks": frame,
        "predictions": said,
        "row_scores": row_scores(frame, said),
        "judgements": pd.DataFrame(judged),
    }


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    tables = _tables()
    page = build_browser(**tables, options=BrowserOptions())
    (folder / "examples.html").write_text(page, encoding="utf-8")
    figures = {"confusion_figure": confusion_figure(tables["row_scores"])}
    (folder / "figures.html").write_text(build_figures_page(figures, "Figures"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[BrowserContext]":
    profile = tmp_path_factory.mktemp("profile")
    with opened_chromium(profile, viewport={"width": 1280, "height": 800}) as opened:
        yield opened


@pytest.fixture
def page(context: "BrowserContext", pages: Path) -> "Iterator[Page]":
    """The browser, opened from its file; what it complains of or asks for fails the test."""
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: None if request.url.startswith("file:") else troubles.append(request.url))
    opened.on("dialog", lambda dialog: troubles.append(f"dialog {dialog.message}"))
    opened.goto((pages / "examples.html").as_uri())
    opened.wait_for_selector("#list button")
    yield opened
    assert troubles == []
    opened.close()


def _count(page: "Page") -> int:
    return int(page.inner_text("#count").split(" of ")[0].replace(",", ""))


def test_filters_and_search_find_items(page: "Page") -> None:
    assert _count(page) == 3322
    page.select_option("#benchmark", "in3")
    assert _count(page) == 120
    page.select_option("#outcome", "tp")
    by_outcome = {"tp": _count(page)}
    for outcome in ("fp", "fn", "tn"):
        page.select_option("#outcome", outcome)
        by_outcome[outcome] = _count(page)
        assert page.locator("#list .tag").all_inner_texts()[0] == outcome.upper()
    assert sum(by_outcome.values()) == 120
    page.select_option("#outcome", "")
    page.select_option("#category", "Food")
    assert _count(page) == 60
    page.fill("#search", "größte trip")
    assert _count(page) == 1
    assert page.inner_text("#item h2") == "Plan a trip to the Größte Insel"
    page.fill("#search", "no such words")
    assert _count(page) == 0
    assert page.is_visible("#none")
    page.click("text=Clear filters")
    assert _count(page) == 3322


def test_disagreement_and_verdicts(page: "Page") -> None:
    page.select_option("#benchmark", "in3")
    page.select_option("#disagrees", "always-ask")
    disagreeing = _count(page)
    page.select_option("#system", "sft-ql")
    assert (disagreeing, _count(page)) == (60, 120)
    page.select_option("#disagrees", "")
    for verdict, expected in {"win": 1, "tie": 1, "invalid": 1, "flip": 2, "judged": 3, "lose": 0}.items():
        page.select_option("#verdict", verdict)
        assert _count(page) == expected, verdict
    page.select_option("#verdict", "win")
    assert "clarilm against base, rule judge: win" in page.inner_text("#item")


def test_subclasses_follow_the_benchmark(page: "Page") -> None:
    page.select_option("#benchmark", "clamber")
    assert page.locator("#subclass option").all_inner_texts() == ["all", "when"]
    page.select_option("#benchmark", "in3")
    assert page.locator("#subclass option").all_inner_texts() == ["all"]


def test_hostile_texts_are_shown_as_texts(page: "Page") -> None:
    page.fill("#search", "alert(1) in3-0")
    assert _count(page) == 1
    assert page.locator("#item h2").evaluate("element => element.textContent") == HOSTILE
    page.locator("#item summary").click()
    unfold = page.locator("#item .fold")
    assert "Show all 100," in unfold.first.inner_text()
    while unfold.count():
        unfold.first.click()
    shown = page.locator(".reply .text").first.evaluate("element => element.textContent")
    assert shown == LONG
    assert page.locator("#item img, #item script, #list img").count() == 0
    assert page.evaluate("document.scripts.length") == 2
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_keys(page: "Page") -> None:
    def current() -> str:
        return page.inner_text("#item .meta >> nth=0").split(" · ")[1]

    assert current() == "in3-0"
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    assert current() == "in3-2"
    page.keyboard.press("k")
    assert current() == "in3-1"
    assert page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"
    page.keyboard.press("]")
    assert current() == "in3-50"
    page.keyboard.press("ArrowUp")
    assert current() == "in3-49"
    page.keyboard.press("/")
    page.keyboard.type("größte j")
    assert page.input_value("#search") == "größte j"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") != "search"
    page.keyboard.press("?")
    assert page.is_visible("dialog")
    page.keyboard.press("Escape")
    assert not page.is_visible("dialog")


def test_the_address_holds_the_state(page: "Page") -> None:
    page.select_option("#benchmark", "in3")
    page.select_option("#category", "Food")
    page.select_option("#outcome", "wrong")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    seen = (_count(page), page.inner_text("#item .meta >> nth=0"))
    page.reload()
    page.wait_for_selector("#list button")
    assert (_count(page), page.inner_text("#item .meta >> nth=0")) == seen
    assert page.input_value("#category") == "Food"


def test_every_control_has_a_name(page: "Page") -> None:
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, select, button")]
            .filter(each => !(each.labels?.length || each.textContent.trim())).map(each => each.outerHTML)"""
    )
    assert unnamed == []
    assert page.get_by_role("searchbox", name="Search in questions").count() == 1
    assert page.get_by_role("navigation", name="Items").count() == 1


def test_a_phone_shows_the_list_then_the_item(page: "Page") -> None:
    page.set_viewport_size(PHONE)
    page.evaluate("history.replaceState(null, '', location.pathname)")  # an address with an item would open it
    page.reload()
    page.wait_for_selector("#list button")
    assert not page.is_visible("#item")
    page.click("#list button >> nth=1")
    assert page.is_visible("#item")
    assert not page.is_visible("#list")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.click("#back")
    assert page.is_visible("#list")


def test_the_page_of_figures_draws(context: "BrowserContext", pages: Path) -> None:
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: None if request.url.startswith("file:") else troubles.append(request.url))
    opened.goto((pages / "figures.html").as_uri())
    opened.wait_for_selector("#confusion_figure .plot-container")
    opened.close()
    assert troubles == []
