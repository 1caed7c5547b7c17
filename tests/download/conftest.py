import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fetches import Fetch
from file_server import FileServer

from clarilm_kedro.download.fetching import Wanted, fetch
from clarilm_kedro.download.options import DownloadOptions
from clarilm_kedro.download.web import make_client


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def fetched(tmp_path: Path, stop: threading.Event) -> Iterator[Fetch]:
    """Fetch from a server into one place; a second call goes on where the first broke off."""
    options = DownloadOptions(retries=2, first_wait=0.001, timeout=5.0)
    with make_client(5.0) as client:

        def run(server: FileServer, path: str = "/data.bin", retries: int = 2, **known: Any) -> Path:
            target = tmp_path / "place" / "data.bin"
            wanted = Wanted("s/data.bin", f"{server.url}{path}", target, tmp_path / "state" / "data.bin.part", **known)
            fetch(wanted, client, options.model_copy(update={"retries": retries}), stop)
            return target

        yield run
