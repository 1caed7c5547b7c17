"""kedro-viz in a real browser: the whole graph with its boxes and layers, each pipeline, and previews."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.chromium import opened_chromium, skip_without_chromium

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: What kedro-viz asks of the network; it does without.
FONT = "https://fonts.googleapis.com/"
#: kedro-viz makes a link of it after sanitising: unbroken, its address ends early and a handler follows.
HOSTILE = """<main><p id="hostile">[click](" onmouseover="document.title='run'" x=") and after</p></main>"""
FIVE = {"ingestion", "cfd", "ofs", "training", "evaluation"}


@pytest.fixture(scope="module")
def server(workspace: Path) -> Iterator[str]:
    skip_without_chromium()
    port = next(number for number in range(4150, 4950, 10) if _is_free(number))  # kedro-viz refuses ports above 49151
    command = [
        Path(sys.executable).with_name("kedro"),
        "viz",
        "run",
        "--no-browser",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    url = f"http://127.0.0.1:{port}"
    output = workspace / "viz.log"
    report = workspace / "data" / "08_reporting" / "report.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(HOSTILE)
    with output.open("w") as log:
        # A group of its own: the command starts another process, which serves and which it does not stop.
        process = subprocess.Popen(command, cwd=workspace, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for(f"{url}/api/main", process, output)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
            report.unlink()


@pytest.fixture(scope="module")
def ids(server: str) -> dict[str, str]:
    """Ids of the datasets and nodes of the default run, by their full names."""
    with urllib.request.urlopen(f"{server}/api/main", timeout=60) as answer:
        nodes = json.load(answer)["nodes"]
    return {node.get("full_name") or node["name"]: node["id"] for node in nodes}


@pytest.fixture(scope="module")
def browser(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator["BrowserContext"]:
    """A browser that reaches nothing outside this machine."""
    profile = tmp_path_factory.mktemp("profile")
    with opened_chromium(profile, viewport={"width": 1600, "height": 1000}) as context:
        context.route(
            "**/*", lambda route: route.continue_() if route.request.url.startswith(server) else route.abort()
        )
        # No tour of the first visit, and nothing remembered of the test before.
        context.add_init_script("localStorage.KedroViz = JSON.stringify({showFeatureHints: false})")
        yield context


@pytest.fixture
def page(browser: "BrowserContext") -> Iterator["Page"]:
    """A page; the test fails on any error in its console but the font that could not be had."""
    errors: list[str] = []

    def listen(said: "ConsoleMessage") -> None:
        if said.type == "error" and not said.location["url"].startswith(FONT):
            errors.append(said.text)

    page = browser.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", listen)
    yield page
    page.close()
    assert errors == []


def test_the_whole_graph_opens_with_boxes_and_layers(server: str, page: "Page") -> None:
    page.goto(server)
    page.wait_for_selector(".pipeline-node--modularPipeline", timeout=60_000)
    boxes = set(page.locator(".pipeline-node--modularPipeline").all_text_contents())
    assert boxes == FIVE | {"audit", "release"}
    assert page.locator(".pipeline-node--task").count() == 0
    layers = page.locator(".pipeline-layer-name").all_text_contents()
    shown = [layer for layer in layers if layer in {"raw", "intermediate", "primary", "model_input", "reporting"}]
    assert shown == ["raw", "intermediate", "primary", "model_input", "reporting"]
    names = set(page.locator(".pipeline-node--data").all_text_contents())
    assert {"chat_llm", "reasoning_llm", "extraction_prompt", "sessions", "sft_train", "report"} <= names


@pytest.mark.parametrize(
    ("pipeline", "box", "node"),
    [
        ("ingestion", "ingestion", "select_sessions"),
        ("cfd", "cfd", "extract_clarifications"),
        ("ofs", "ofs", "annotate_optimal_facet"),
        ("training", "training", "calibrate_ask_threshold"),
        ("evaluation", "evaluation", "build_results_table"),
        ("audit", "audit", "score_facets"),
        ("recall", "audit", "score_recall"),
        ("release", "release", "describe_model"),
        ("inference", "inference", "reply_to_questions"),
    ],
)
def test_a_pipeline_opens_to_its_nodes(server: str, page: "Page", pipeline: str, box: str, node: str) -> None:
    page.goto(f"{server}/?pid={pipeline}&expandAllPipelines=true")
    page.wait_for_selector(".pipeline-node--task", timeout=60_000)
    names = page.locator(".pipeline-node--task").all_text_contents()
    assert node in names
    assert box not in page.locator(".pipeline-node--modularPipeline").all_text_contents()


def test_a_stage_shows_its_drawing(server: str, page: "Page", ids: dict[str, str]) -> None:
    page.goto(f"{server}/?pid=cfd&sid={ids['cfd.extract_clarifications']}")
    page.wait_for_selector(".pipeline-mermaid-renderer svg", timeout=60_000)
    drawn = " ".join(page.locator(".pipeline-mermaid-renderer svg .nodeLabel").all_inner_texts())
    assert "extraction_prompt" in drawn
    assert "clarifying_question: string" in drawn


def test_a_table_and_a_prompt_show_what_is_in_them(server: str, page: "Page", ids: dict[str, str]) -> None:
    page.goto(f"{server}/?sid={ids['personas']}")
    page.wait_for_selector(".preview-table__header", timeout=60_000)
    assert page.locator(".preview-table__row").count() == 5
    page.goto(f"{server}/?sid={ids['extraction_prompt']}")
    page.wait_for_selector(".pipeline-text-renderer", timeout=60_000)
    said = page.locator(".pipeline-text-renderer").inner_text()
    assert said.startswith("The extraction prompt of Figure 3")
    assert "## system" in said


def test_a_text_in_the_report_runs_nothing(server: str, page: "Page", ids: dict[str, str]) -> None:
    page.goto(f"{server}/?pid=evaluation&sid={ids['report']}")
    page.wait_for_selector(".html-renderer", timeout=60_000)
    assert page.locator(".html-renderer").inner_text().strip().startswith("[click]")
    assert page.locator(".html-renderer a, .html-renderer [onmouseover]").count() == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _wait_for(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=30):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("kedro viz did not answer within two minutes")
