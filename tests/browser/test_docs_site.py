"""The documentation as a reader opens it: built strictly, read from its files, searched, nothing fetched elsewhere."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.chromium import opened_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="MkDocs Material is not installed here (the extra `docs`)")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=os.environ)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture
def page(site: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Page]":
    with opened_chromium(tmp_path_factory.mktemp("profile")) as context:
        yield context.pages[0]


def test_the_site_is_read_and_searched_from_its_files(site: Path, page: "Page") -> None:
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto((site / "index.html").as_uri())
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").type("self_consistency", delay=10)
    first = page.locator(".md-search-result__link").first
    first.wait_for(timeout=60_000)
    first.click()
    page.locator("h1").wait_for()
    assert "/index.html" not in page.url.removeprefix(site.as_uri())
    for name in ("reference/python/chat.html", "reference/datasets.html", "how-to/scheduler.html"):
        page.goto((site / name).as_uri())
        assert page.locator("h1").is_visible()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    assert errors == []


def test_the_reference_is_made_from_catalog_and_docstrings(site: Path) -> None:
    datasets = (site / "reference" / "datasets.html").read_text(encoding="utf-8")
    assert "Q^L, the seed questions from the logs" in datasets
    chat = (site / "reference" / "python" / "chat.html").read_text(encoding="utf-8")
    assert 'id="clarilm_kedro.chat.client' in chat
    assert not (site / "hooks").exists()
