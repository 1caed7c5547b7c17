import errno
import gzip
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fetches import DATA, HALF, SHA256, Fetch, leave, offsets, part
from file_server import Asked, FileServer, Reply, ranged

from clarilm_kedro.download import fetching
from clarilm_kedro.download.errors import DownloadError, StoppedError
from clarilm_kedro.download.fetching import Wanted, fetch
from clarilm_kedro.download.options import DownloadOptions
from clarilm_kedro.download.web import make_client


def test_a_file_is_fetched_whole_and_leaves_nothing_else(fetched: Fetch, tmp_path: Path) -> None:
    with FileServer(lambda asked: ranged(asked, DATA)) as server:
        target = fetched(server, sha256=SHA256, size=len(DATA))
    assert target.read_bytes() == DATA
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == ["data.bin"]
    assert offsets(server) == [None]
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_content_length_that_is_too_long_is_found_out(fetched: Fetch, tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return ranged(asked, DATA, length=len(DATA) + 10) if asked.offset is None else ranged(asked, DATA)

    with FileServer(script) as server, pytest.raises(DownloadError, match=r"announced 307.2 kB and holds 307.2 kB"):
        fetched(server)
    assert not (tmp_path / "place").exists()
    with (
        FileServer([Reply(DATA, length=len(DATA) + 10)]) as server,
        pytest.raises(DownloadError, match="connection broke"),
    ):
        fetched(server)
    with FileServer(script) as server:  # a checksum tells that it is the length that was wrong
        assert fetched(server, sha256=SHA256).read_bytes() == DATA


def test_a_content_length_that_is_too_short_is_found_out(fetched: Fetch, tmp_path: Path) -> None:
    def script(asked: Asked) -> Reply:
        return ranged(asked, DATA, length=HALF) if asked.offset is None else ranged(asked, DATA)

    with FileServer(script) as server:
        with pytest.raises(DownloadError, match=f"announced {HALF} bytes and holds more"):
            fetched(server)
        with pytest.raises(DownloadError, match=f"{len(DATA)} bytes were expected and .* announces {HALF}"):
            fetched(server, size=len(DATA))
        with pytest.raises(DownloadError, match=f"SHA-256 {SHA256} was expected, "):
            fetched(server, sha256=SHA256)
    assert not (tmp_path / "place").exists()
    assert part(tmp_path).size == 0


def test_a_body_longer_than_expected_stops_at_once(fetched: Fetch) -> None:
    with (
        FileServer([Reply(DATA, length=None)]) as server,
        pytest.raises(DownloadError, match="sends more than the 1000"),
    ):
        fetched(server, size=1000)


def test_a_body_without_a_length_that_ends_early_is_noticed_by_its_size(fetched: Fetch) -> None:
    with FileServer([Reply(DATA, length=None, cut=HALF), Reply(DATA, length=None)]) as server:
        assert fetched(server, size=len(DATA)).read_bytes() == DATA


def test_a_body_without_a_length_is_taken_with_a_warning(fetched: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    with FileServer([Reply(DATA, length=None)]) as server:
        assert fetched(server).read_bytes() == DATA
    assert "did not say how long it is" in caplog.text


def test_a_wrong_checksum_keeps_the_old_file(fetched: Fetch, tmp_path: Path) -> None:
    target = tmp_path / "place" / "data.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with FileServer([Reply(DATA)]) as server, pytest.raises(DownloadError) as caught:
        fetched(server, sha256="0" * 64)
    assert f"SHA-256 {'0' * 64} was expected, {SHA256} was found" in str(caught.value)
    assert target.read_bytes() == b"old"
    with FileServer([Reply(DATA)]) as server, pytest.raises(DownloadError, match="git blob"):
        fetched(server, git_sha1="0" * 40)


def test_an_empty_file_is_refused_unless_it_is_one(fetched: Fetch) -> None:
    with FileServer([Reply(b"")]) as server:
        with pytest.raises(DownloadError, match="an empty file"):
            fetched(server)
        assert fetched(server, size=0).read_bytes() == b""


def test_a_busy_server_is_asked_again_when_it_says(fetched: Fetch, stop: threading.Event) -> None:
    waits: list[float] = []
    stop.wait = lambda timeout=None: waits.append(timeout) or False  # type: ignore[method-assign,func-returns-value,assignment]
    script = [Reply(status=429, headers={"Retry-After": "7"}), Reply(status=503), Reply(DATA)]
    with FileServer(script) as server:
        assert fetched(server).read_bytes() == DATA
    assert waits[0] == 7.0
    assert 0 < waits[1] < 0.01


def test_a_server_that_asks_for_too_much_patience_is_left_alone(fetched: Fetch) -> None:
    with (
        FileServer([Reply(status=429, headers={"Retry-After": "3600"})]) as server,
        pytest.raises(DownloadError, match="asks to wait 3600 seconds"),
    ):
        fetched(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "told", "asked"),
    [(404, "was moved or removed", 1), (401, "wants a login", 1), (418, "status 418", 1), (500, "After 3 attempts", 3)],
)
def test_a_refusal_says_what_to_do(fetched: Fetch, status: int, told: str, asked: int) -> None:
    with FileServer([Reply(status=status)]) as server, pytest.raises(DownloadError, match=told):
        fetched(server)
    assert len(server.asked) == asked


def test_a_gated_file_names_page_and_token_but_never_shows_it(fetched: Fetch) -> None:
    with FileServer([Reply(status=403)]) as server, pytest.raises(DownloadError) as caught:
        fetched(server, token="hf_secret", page="https://hub/datasets/a/b")
    for told in ("https://hub/datasets/a/b", "HF_TOKEN", "conf/local/credentials.yml"):
        assert told in str(caught.value)
    assert "hf_secret" not in str(caught.value)
    assert "hf_secret" not in repr(Wanted("n", "u", Path(), Path(), token="hf_secret"))
    assert server.asked[0].headers["authorization"] == "Bearer hf_secret"


def test_redirects_are_followed_and_the_token_stays_at_home(fetched: Fetch) -> None:
    with FileServer(lambda asked: ranged(asked, DATA, cut=HALF if asked.number == 0 else None)) as other:

        def script(asked: Asked) -> Reply:
            if asked.path == "/data.bin":
                return Reply(status=302, headers={"Location": "/near"})
            return Reply(status=307, headers={"Location": f"{other.url}/far?signature=x"})

        with FileServer(script) as server:
            assert fetched(server, token="hf_secret", sha256=SHA256).read_bytes() == DATA
    assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer hf_secret"] * 4
    assert [asked.headers.get("authorization") for asked in other.asked] == [None, None]
    assert offsets(other) == [None, HALF]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("/data.bin", "redirects more than 10 times"),
        ("file:///etc/passwd", "cannot be asked"),
        ("ftp://127.0.0.1/x", "cannot be asked"),
    ],
)
def test_redirects_that_lead_nowhere_end(fetched: Fetch, location: str, told: str) -> None:
    with (
        FileServer([Reply(status=302, headers={"Location": location})]) as server,
        pytest.raises(DownloadError, match=told),
    ):
        fetched(server)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 650000000\n",
            "pointer of a file of 650.0 MB",
        ),
        (b"\xef\xbb\xbf\n<!-- x --><!DOCTYPE html><title>Log in</title>", "is a web page"),
        (b"<html><body>Google Drive can't scan this file</body></html>", "is a web page"),
    ],
)
def test_what_stands_in_for_data_is_refused(fetched: Fetch, tmp_path: Path, body: bytes, told: str) -> None:
    with FileServer([Reply(body, headers={"Content-Type": "text/plain"})]) as server:
        for known in ({}, {"size": 650_000_000}, {"sha256": SHA256}):
            with pytest.raises(DownloadError, match=told):
                fetched(server, **known)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_stand_in_that_comes_in_pieces_is_refused(fetched: Fetch) -> None:
    page = b"<!doctype html><p>Log in</p>"
    with (
        FileServer(lambda asked: ranged(asked, page, cut=4 if asked.number == 0 else None)) as server,
        pytest.raises(DownloadError, match="is a web page"),
    ):
        fetched(server)
    assert offsets(server) == [None, 4, len(page)]


def test_a_compressed_body_is_decoded_and_never_resumed(fetched: Fetch) -> None:
    packed = gzip.compress(DATA)
    headers = {"Content-Encoding": "gzip", "ETag": '"v1"'}
    script = [Reply(packed, headers=headers, cut=len(packed) // 2), Reply(packed, headers=headers)]
    with FileServer(script) as server:
        assert fetched(server, sha256=SHA256).read_bytes() == DATA
    assert offsets(server) == [None, None]
    with (
        FileServer([Reply(b"no gzip at all", headers=headers)]) as server,
        pytest.raises(DownloadError, match="compression"),
    ):
        fetched(server)


def test_a_disk_without_room_is_refused_before_anything_is_fetched(
    fetched: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("Usage", (), {"free": 200_000})
    monkeypatch.setattr("clarilm_kedro.download.checks.shutil.disk_usage", lambda _: usage)
    with FileServer(lambda asked: ranged(asked, DATA)) as server:
        with pytest.raises(DownloadError, match=r"307.2 kB are needed and 200.0 kB are free .* free 107.2 kB there"):
            fetched(server)
        assert part(tmp_path).size == 0
        leave(part(tmp_path), server, DATA[:150_000])
        assert fetched(server).read_bytes() == DATA  # there is room for the rest
    assert offsets(server)[:2] == [None, 150_000]


def test_a_disk_that_fills_up_keeps_what_arrived(
    fetched: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(response: Any, *, encoded: bool) -> Iterator[bytes]:
        yield DATA[:1000]
        raise OSError(errno.ENOSPC, "No space left on device")

    with FileServer(lambda asked: ranged(asked, DATA)) as server:
        with monkeypatch.context() as patch:
            patch.setattr(fetching, "_body", full)
            with pytest.raises(DownloadError, match=r"is full: free at least 306.2 kB there"):
                fetched(server)
        assert part(tmp_path).size == 1000
        assert fetched(server).read_bytes() == DATA
    assert offsets(server)[:2] == [None, 1000]


def test_a_folder_that_cannot_be_written_is_named(fetched: Fetch, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with FileServer([Reply(DATA)]) as server, pytest.raises(DownloadError, match="cannot be written"):
        fetched(server)


def test_a_stopped_download_keeps_what_arrived(fetched: Fetch, stop: threading.Event, tmp_path: Path) -> None:
    go = threading.Event()
    with FileServer(
        lambda asked: ranged(asked, DATA, cut=HALF, wait=go) if asked.number == 0 else ranged(asked, DATA)
    ) as server:

        def interrupt() -> None:
            while part(tmp_path).state is None:
                stop.wait(0.01)
            stop.set()
            go.set()

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(StoppedError):
            fetched(server)
        assert 0 <= part(tmp_path).size < len(DATA)
        assert part(tmp_path).state is not None
        stop.clear()
        assert fetched(server).read_bytes() == DATA


def test_a_server_that_falls_silent_is_a_broken_connection(tmp_path: Path, stop: threading.Event) -> None:
    go = threading.Event()
    options = DownloadOptions(retries=0)
    wanted = Wanted("s/x", "", tmp_path / "x", tmp_path / "x.part")
    with (
        FileServer([Reply(DATA, cut=HALF, wait=go)]) as server,
        make_client(0.2) as client,
        pytest.raises(DownloadError, match="sent nothing for too long"),
    ):
        fetch(Wanted(wanted.name, server.url, wanted.target, wanted.part), client, options, stop)
    go.set()


def test_no_server_at_all_is_a_sentence(tmp_path: Path, stop: threading.Event) -> None:
    with FileServer([]) as server:
        url = server.url
    wanted = Wanted("s/x", url, tmp_path / "x", tmp_path / "x.part")
    with (
        make_client(1.0) as client,
        pytest.raises(DownloadError, match=r"no connection could be made .*Run again later"),
    ):
        fetch(wanted, client, DownloadOptions(retries=0), stop)
