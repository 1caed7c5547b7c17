"""Commands of the project that only look leave the project as it was."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from clarilm_kedro.chat.ledger import StoredResponse
from clarilm_kedro.chat.store import close_store, open_store


def kedro(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "kedro", *arguments]
    return subprocess.run(program, cwd=root, capture_output=True, text=True, timeout=300, check=False)


def tree(root: Path) -> dict[str, str | None]:
    """Every file of a folder with the hash of its content, every folder with None."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("plan", "--env", "test"), 0, "Together "),
        (("plan", "--env", "paper", "--pipeline", "ofs"), 0, "Together "),
        (("results",), 1, "There are no results yet"),
        (("store",), 1, "There is no response store"),
        (("store", "export"), 1, "There is no response store"),
    ],
)
def test_a_command_that_only_looks_writes_nothing(
    clone: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    before = tree(clone)
    done = kedro(clone, "clarilm", *arguments)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
    assert tree(clone) == before


@pytest.mark.slow
def test_a_store_is_looked_into_without_a_trace(clone: Path) -> None:
    path = clone / "data" / "test" / "responses.sqlite"
    store = open_store(path)
    store.put(StoredResponse("k", "m", None, "facets", "5ha-0f-a-prompt", b"{}", 1, 2)).result()
    close_store(store)
    before = tree(clone)
    for arguments in (("plan", "--env", "test"), ("store", "--env", "test"), ("store", "--env", "test", "export")):
        done = kedro(clone, "clarilm", *arguments)
        assert done.returncode == 0, done.stderr
        if arguments[0] == "store":
            assert "5ha-0f-a-pro" in done.stdout  # shortened
        assert tree(clone) == before, arguments
