import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer, echo
from fault_server import FaultServer, Script

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions


@pytest.fixture
def serve() -> Iterator[Callable[[Script], FaultServer]]:
    """Start a fault server with a script; stopped at the end of the test."""
    with ExitStack() as stack:
        yield lambda script=(): stack.enter_context(FaultServer(script))


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Callable[..., ChatEndpoint]]:
    """Make a chat endpoint that gives up fast; closed at the end of the test."""
    with ExitStack() as stack:

        def make(url: str, *, api_key: str | None = None, **options: Any) -> ChatEndpoint:
            defaults = {"model": "m-1", "base_url": url, "store": tmp_path / "responses.sqlite", "max_attempts": 3}
            defaults |= {"timeout": 5.0}
            model = ChatEndpoint(ChatEndpointOptions(**(defaults | options)), api_key, first_pause=0.002)
            stack.callback(model.close)
            return model

        yield make


@pytest.fixture
def dead_url() -> str:
    """An address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


@pytest.fixture
def provider() -> Iterator[Callable[..., BatchServer]]:
    """Start a Batch API; stopped at the end of the test."""
    with ExitStack() as stack:
        yield lambda reply=echo: stack.enter_context(BatchServer(reply))


@pytest.fixture
def batches(endpoint: Callable[..., ChatEndpoint]) -> Callable[..., ChatEndpoint]:
    """Make a chat endpoint that buys in batches."""

    def make(server: BatchServer | str, **options) -> ChatEndpoint:
        url = server if isinstance(server, str) else server.url
        return endpoint(url, **({"mode": "batch", "batch_poll_seconds": 0.01} | options))

    return make
