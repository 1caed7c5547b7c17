from pathlib import Path

import pytest
from fetches import DATA, HALF, SHA256, Fetch, leave, offsets, part
from file_server import Asked, FileServer, Reply, ranged

from clarilm_kedro.download import fetching
from clarilm_kedro.download.errors import DownloadError


def test_a_broken_connection_is_resumed_where_it_broke(fetched: Fetch) -> None:
    with FileServer(lambda asked: ranged(asked, DATA, cut=HALF if asked.number == 0 else None)) as server:
        assert fetched(server).read_bytes() == DATA
    # The last request asks for the byte after the end: nothing else would show that there are more.
    assert offsets(server) == [None, HALF, len(DATA)]
    assert server.asked[1].headers["if-range"] == '"v1"'


def test_a_later_run_resumes_what_an_earlier_one_left(fetched: Fetch, tmp_path: Path) -> None:
    with FileServer(lambda asked: ranged(asked, DATA, cut=1000 if asked.number == 0 else None)) as server:
        with pytest.raises(DownloadError, match=r"After one attempt: the connection broke .*1000 bytes have arrived"):
            fetched(server, retries=0)
        assert part(tmp_path).size == 1000
        assert fetched(server, retries=0).read_bytes() == DATA
    assert offsets(server)[:2] == [None, 1000]
    assert part(tmp_path).size == 0


def test_a_server_that_breaks_again_and_again_is_given_up(fetched: Fetch, tmp_path: Path) -> None:
    with FileServer([Reply(DATA, cut=1000)]) as server, pytest.raises(DownloadError, match="After 3 attempts"):
        fetched(server)
    assert len(server.asked) == 3
    assert not (tmp_path / "place").exists()


def test_slow_progress_is_progress(fetched: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PROGRESS", 10_000)
    with FileServer(lambda asked: ranged(asked, DATA, cut=40_000)) as server:
        assert fetched(server, retries=1).read_bytes() == DATA
    assert len(server.asked) > 7


def test_a_server_that_ignores_range_sends_it_all_again(fetched: Fetch) -> None:
    with FileServer(
        lambda asked: Reply(DATA, headers={"ETag": '"v1"'}, cut=HALF if asked.number == 0 else None)
    ) as server:
        assert fetched(server).read_bytes() == DATA
    assert offsets(server)[1] == HALF


def test_a_file_that_changed_between_attempts_starts_anew(fetched: Fetch) -> None:
    new = DATA[::-1]

    def script(asked: Asked) -> Reply:
        return ranged(asked, DATA, cut=HALF) if asked.number == 0 else ranged(asked, new, etag='"v2"')

    with FileServer(script) as server:
        assert fetched(server).read_bytes() == new


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"v2"', "Content-Range": f"bytes {HALF}-{len(DATA) - 1}/{len(DATA)}"},
        {"ETag": '"v1"', "Content-Range": f"bytes {HALF - 1}-{len(DATA) - 2}/{len(DATA)}"},
        {"ETag": '"v1"', "Content-Range": f"bytes {HALF}-{len(DATA) + 8}/{len(DATA) + 9}"},
        {"ETag": '"v1"'},
    ],
)
def test_a_rest_that_does_not_fit_is_not_appended(fetched: Fetch, headers: dict[str, str]) -> None:
    """A server that minds neither If-Range nor the position."""
    script = [ranged(Asked(0, 0, "", {}), DATA, cut=HALF), Reply(b"x" * HALF, 206, headers), Reply(DATA)]
    with FileServer(script) as server:
        assert fetched(server, size=len(DATA)).read_bytes() == DATA
    assert offsets(server) == [None, HALF, None]


def test_without_a_validator_only_a_checksum_allows_resuming(fetched: Fetch) -> None:
    def script(asked: Asked) -> Reply:
        return ranged(asked, DATA, etag='W/"weak"' if asked.number else None, cut=HALF if asked.repeat == 0 else None)

    with FileServer(script) as server:
        fetched(server, "/plain")
        fetched(server, "/checked", sha256=SHA256)
    assert offsets(server) == [None, None, len(DATA), None, HALF]


def test_pieces_that_do_not_fit_together_are_fetched_again_once(fetched: Fetch, tmp_path: Path) -> None:
    with FileServer(lambda asked: ranged(asked, DATA)) as server:
        leave(part(tmp_path), server, b"spoiled")
        assert fetched(server, sha256=SHA256).read_bytes() == DATA
    assert offsets(server) == [7, None]


def test_a_part_of_another_address_is_not_resumed(fetched: Fetch) -> None:
    with FileServer(lambda asked: ranged(asked, DATA, cut=HALF if asked.path == "/old" else None)) as server:
        with pytest.raises(DownloadError):
            fetched(server, "/old", retries=0)
        assert fetched(server, "/new").read_bytes() == DATA
    assert offsets(server)[:2] == [None, None]


def test_all_bytes_there_but_not_put_in_place(fetched: Fetch, tmp_path: Path) -> None:
    """Killed between the last byte and the rename."""
    with FileServer(lambda asked: ranged(asked, DATA)) as server:
        for known in ({"size": len(DATA), "sha256": SHA256}, {}):
            leave(part(tmp_path), server, DATA)
            assert fetched(server, **known).read_bytes() == DATA
    # With the size known nothing is asked; without it the server says 416.
    assert offsets(server) == [len(DATA), len(DATA)]


def test_a_416_for_fewer_bytes_than_arrived_starts_anew(fetched: Fetch, tmp_path: Path) -> None:
    with FileServer(lambda asked: ranged(asked, DATA)) as server:
        leave(part(tmp_path), server, DATA + b"more")
        assert fetched(server).read_bytes() == DATA
    assert offsets(server)[:2] == [len(DATA) + 4, None]
