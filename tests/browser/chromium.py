"""Chromium as the browser tests start it: no screen, a profile of its own, no requests of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


def skip_without_chromium() -> None:
    if not CHROMIUM:
        pytest.skip("no Chromium here: install it (Debian: apt-get install chromium) to run the browser tests")


@contextmanager
def opened_chromium(profile: Path, **settings: Any) -> "Iterator[BrowserContext]":
    skip_without_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=CHROMIUM, args=FLAGS, headless=True, **settings
        )
        yield context
        context.close()
