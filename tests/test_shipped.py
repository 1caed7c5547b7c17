"""`clarilm sample` and `clarilm prompts`: what the package ships, written where the user wants it."""

import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clarilm_kedro.commands import commands
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.shipped import COPIED, shipped_file
from clarilm_kedro.writing import write_copies


def clarilm(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["clarilm", *arguments])


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_sample_world_is_written_byte_for_byte(tmp_path: Path, project: Path) -> None:
    target = tmp_path / "deep" / "sample"
    done = clarilm("sample", str(target))
    assert (done.exit_code, "34 files written" in done.output) == (0, True), done.output
    assert contents(target) == contents(project / "data" / "01_raw" / "sample")
    assert [path.name for path in target.parent.iterdir()] == ["sample"]  # nothing half built is left
    assert "holds the sample world already" in clarilm("sample", str(target)).output


def test_a_folder_with_other_files_is_left_alone_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "personas.jsonl").write_text("mine")
    (tmp_path / "other.txt").write_text("mine")
    done = clarilm("sample", str(tmp_path))
    assert done.exit_code == 1
    assert "is not empty" in done.output
    assert contents(tmp_path) == {"personas.jsonl": b"mine", "other.txt": b"mine"}
    assert clarilm("sample", str(tmp_path), "--force").exit_code == 0
    assert (tmp_path / "personas.jsonl").read_bytes() != b"mine"
    assert (tmp_path / "other.txt").read_text() == "mine"
    assert not list(tmp_path.rglob(".*"))


def test_a_file_in_the_way_and_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file" in clarilm("sample", str(tmp_path / "file")).output
    done = clarilm("sample", str(tmp_path / "file" / "below"))
    assert (done.exit_code, "cannot be written" in done.output) == (1, True), done.output


def test_a_copy_that_breaks_off_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with pytest.raises(ClarilmError, match="cannot be written"):
        write_copies({"a": tmp_path / "a", "b": tmp_path / "absent"}, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_prompts_are_written_to_be_changed(tmp_path: Path) -> None:
    done = clarilm("prompts", "--to", str(tmp_path / "mine"))
    assert f"--params prompts={tmp_path / 'mine'}" in done.output
    assert contents(tmp_path / "mine") == contents(shipped_file("prompts"))


def test_prompts_are_listed_with_those_that_replace_them(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    mine = workspace / "own_prompts"
    mine.mkdir()
    (mine / "answer.jinja").write_text("## user\n")
    told = clarilm("prompts", "--params", "prompts=own_prompts").output
    assert str(mine / "answer.jinja") in told
    assert str(shipped_file("prompts") / "facets.jinja") in told
    assert "c019d3313023" in told


def test_outside_of_a_project_a_configuration_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = clarilm("results")
    assert (done.exit_code, "clarilm --conf-source PATH" in done.output) == (1, True), done.output


def test_the_build_and_the_package_agree_on_what_is_copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    assert runpy.run_path(str(project / "setup.py"))["COPIED"] == COPIED


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(ClarilmError, match=r"nothing\.yml"):
        shipped_file("nothing.yml")
