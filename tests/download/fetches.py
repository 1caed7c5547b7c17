"""What the tests of fetching fetch, and what they look at."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from file_server import FileServer

from clarilm_kedro.download.part import Part, PartState

DATA = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2

Fetch = Callable[..., Path]


def part(tmp_path: Path) -> Part:
    return Part(tmp_path / "state" / "data.bin.part")


def leave(part: Part, server: FileServer, body: bytes) -> None:
    """Leave a part as a run that was killed does."""
    part.begin(PartState(f"{server.url}/data.bin", '"v1"', None, len(DATA)))
    part.path.write_bytes(body)


def offsets(server: FileServer) -> list[int | None]:
    return [asked.offset for asked in server.asked]
