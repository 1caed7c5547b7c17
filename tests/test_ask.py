"""``kedro clarilm ask`` in a pseudo-terminal, as a program in a pipe, and given what it cannot use."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clarilm_kedro.commands.ask import printable
from clarilm_kedro.datasets.adapter import AdapterDataset
from clarilm_kedro.finetuning.results import TrainedAdapter
from finetuning.tiny import save_random_adapter, save_tiny_model
from project_copy import copy_of_the_project


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A project whose store holds a tiny ClariLM, and the options that name its base model."""
    root = copy_of_the_project(tmp_path_factory.mktemp("ask") / "clarilm")
    base = save_tiny_model(root / "base")
    models = root / "data" / "06_models"
    adapter = TrainedAdapter(save_random_adapter(base, root / "adapter"), {"status": "trained"})
    AdapterDataset(filepath=str(models / "clarilm")).save(adapter)
    (models / "calibrations.json").write_text(json.dumps({"clarilm": {"threshold": 0.25}}))
    return root, ["--params", f"base_model.source={base},assistant.max_new_tokens=12"]


def ask(root: Path, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "kedro", "clarilm", "ask", *arguments]
    return subprocess.run(program, cwd=root, capture_output=True, text=True, timeout=300, check=False, input=given)


def until(terminal: int, mark: str, seconds: float = 120) -> str:
    """Read from a terminal until a text has come."""
    seen, end = "", time.monotonic() + seconds
    while mark not in seen:
        assert time.monotonic() < end, f"no {mark!r} in {seen!r}"
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                seen += os.read(terminal, 4096).decode("utf-8", "replace")
            except OSError:  # the program has ended
                break
    return seen


@pytest.mark.slow
def test_a_terminal_goes_on_as_a_conversation(trained: tuple[Path, list[str]]) -> None:
    root, options = trained
    controller, terminal = pty.openpty()
    program = [sys.executable, "-m", "kedro", "clarilm", "ask", "Recommend me a laptop.", *options]
    process = subprocess.Popen(program, cwd=root, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        first = until(controller, "you> ")
        os.write(controller, b"For games.\n")
        second = until(controller, "you> ")
        os.write(controller, b"\x04")
        until(controller, "\0", seconds=60)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        os.close(controller)
    for turn in (first, second):
        assert "P(ask) 0." in turn
        assert "threshold 0.250: a" in turn
    assert first.split("P(ask)")[1] != second.split("P(ask)")[1]


@pytest.mark.slow
def test_a_program_gets_json(trained: tuple[Path, list[str]]) -> None:
    root, options = trained
    done = ask(root, "Recommend me a laptop.", "--json", *options)
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout.splitlines()[-1])
    assert reply["asked"] is (reply["p_ask"] >= 0.25)
    piped = ask(root, "--json", "--threshold", "1", *options, given="Recommend me a laptop.\n")
    assert json.loads(piped.stdout.splitlines()[-1])["asked"] is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("",), "The question is empty"),
        (("x" * 100_000,), "The question is too long"),
        (("Which?", "--model", "models:/clarilm@nobody"), "There is no model registry yet"),
        (("Which?", "--env", "paper"), "There is no trained ClariLM in this store yet"),
    ],
)
def test_what_it_cannot_use_is_a_sentence(
    trained: tuple[Path, list[str]], arguments: tuple[str, ...], said: str
) -> None:
    root, options = trained
    done = ask(root, *arguments, *(options if "--env" not in arguments else ()))
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reply_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\x07\u202ec\n\td\x9b1") == "a[31mbc\n\td1"
