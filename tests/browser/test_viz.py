"""kedro-viz in a real browser: the whole graph and each of the pipelines open."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def server(workspace: Path) -> Iterator[str]:
    if not CHROMIUM:
        pytest.skip("no Chromium here: install it (Debian: apt-get install chromium) to run the browser tests")
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
    with output.open("w") as log:
        # A group of its own: the command starts another process, which serves and which it does not stop.
        process = subprocess.Popen(command, cwd=workspace, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for(url, process, output)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.mark.parametrize(
    ("pipeline", "node"),
    [
        ("__default__", "facet_detection"),
        ("ingestion", "sessions"),
        ("cfd", "extract_clarifications"),
        ("ofs", "annotate_optimal_facet"),
        ("training", "calibrate_ask_threshold"),
        ("evaluation", "results_table"),
        ("audit", "audit_markdown"),
        ("recall", "facet_recall"),
    ],
)
def test_the_graph_opens(server: str, tmp_path: Path, pipeline: str, node: str) -> None:
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"),
            executable_path=CHROMIUM,
            args=FLAGS,
            headless=True,
            viewport={"width": 1600, "height": 1000},
        )
        # Nothing outside this machine is asked: kedro-viz would fetch a font.
        context.route(
            "**/*", lambda route: route.continue_() if route.request.url.startswith(server) else route.abort()
        )
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server}/?pid={pipeline}")
        page.wait_for_selector(".pipeline-node", timeout=60_000)
        names = {
            text.strip().lower().replace(" ", "_") for text in page.locator(".pipeline-node__text").all_text_contents()
        }
        context.close()
    assert node in names
    assert errors == []


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _wait_for(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, output.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("kedro viz did not answer within two minutes")
