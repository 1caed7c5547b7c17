"""``kedro clarilm export``: a trained adapter of the store becomes a folder; what is missing is named with its run."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clarilm_kedro.commands import commands
from clarilm_kedro.commands.export import TRAINED
from clarilm_kedro.datasets.adapter import AdapterDataset
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.pipelines.training import VARIANTS
from finetuning.tiny import save_random_adapter, save_tiny_model

FORMATS = ("merged", "gguf", "lora-gguf")


@pytest.fixture
def project_with_a_base(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_tiny_model(clone / "tiny")
    monkeypatch.chdir(clone)
    return clone


def run(*arguments: str) -> Result:
    program = ["clarilm", "export", "--params", "base_model.source=tiny", *arguments]
    return CliRunner().invoke(commands, program, catch_exceptions=False)


def test_the_variants_are_those_that_are_trained() -> None:
    assert set(TRAINED) == {*VARIANTS, "fm_log"}


@pytest.mark.slow
def test_an_adapter_of_the_store_is_exported(project_with_a_base: Path, tmp_path: Path) -> None:
    models = project_with_a_base / "data" / "06_models"
    folder = save_random_adapter(project_with_a_base / "tiny", tmp_path / "adapter")
    trained = TrainedAdapter(folder, {"status": "trained"})
    for name in ("clarilm_sft", "fm_log"):
        AdapterDataset(filepath=str(models / name)).save(trained)
    calibrations = {"clarilm-sft": {"threshold": 0.1234, "status": "fitted"}}
    (models / "calibrations.json").write_text(json.dumps(calibrations))
    for kind in FORMATS:
        done = run("--variant", "clarilm_sft", "--format", kind, "--out", f"out/{kind}")
        assert done.exit_code == 0, done.output
        assert f"out/{kind}: clarilm_sft as {kind} in " in done.output
        written = json.loads((project_with_a_base / "out" / kind / "export.json").read_text())
        assert written["decision"]["threshold"] == 0.1234
        note = (project_with_a_base / "out" / kind / "SERVING.md").read_text()
        assert "threshold, which is 0.1234" in note
        vllm = "vllm serve . --served" if kind == "merged" else f"--lora-modules clarilm_sft={models / 'clarilm_sft'}"
        assert vllm in note
    again = run("--variant", "clarilm_sft", "--format", "gguf", "--out", "out/gguf")
    assert (again.exit_code, "--force" in again.output) == (1, True)
    assert run("--variant", "clarilm_sft", "--format", "gguf", "--out", "out/gguf", "--force").exit_code == 0
    other = run("--variant", "fm_log", "--format", "lora-gguf", "--out", "out/fm_log")
    assert other.exit_code == 0, other.output
    modelfile = (project_with_a_base / "out" / "fm_log" / "Modelfile").read_text()
    assert 'SYSTEM """Name one detail the request leaves open, then ask for it."""' in modelfile
    assert "ADAPTER ./fm_log-lora-f32.gguf" in modelfile
    assert "P(ask)" not in (project_with_a_base / "out" / "fm_log" / "SERVING.md").read_text()


def test_an_adapter_that_is_not_there_is_named_with_the_run_that_makes_it(project_with_a_base: Path) -> None:
    arguments = ("--format", "merged", "--out", "out")
    done = run(*arguments)
    assert done.exit_code == 1
    assert "There is no adapter of clarilm yet: `kedro run --pipeline=training` trains it." in done.output
    assert "`kedro run --pipeline=cfd`" in run("--variant", "fm_log", *arguments).output
    models = project_with_a_base / "data" / "06_models"
    AdapterDataset(filepath=str(models / "clarilm")).save(TrainedAdapter.skipped("3 rows are too few."))
    done = run(*arguments)
    assert (done.exit_code, "clarilm was not trained: 3 rows are too few. `kedro run" in done.output) == (1, True)
    assert not (project_with_a_base / "out").exists()
