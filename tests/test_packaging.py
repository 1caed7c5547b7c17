"""The wheel and the archive of the configuration that `kedro package` makes, and a run from them.

The run takes the other packages from the environment of the tests: a clean environment with everything installed is
what docs/packaging.md describes, and takes minutes and gigabytes.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from project_copy import PROJECT, copy_of_the_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `kedro package` writes, made from a copy, so that nothing of an earlier build gets in."""
    root = copy_of_the_project(tmp_path_factory.mktemp("packaged") / "clarilm")
    for name in ("README.md", "LICENSE", "setup.py", "MANIFEST.in"):
        shutil.copy(PROJECT / name, root)
    shutil.rmtree(root / "src")
    shutil.copytree(PROJECT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (root / "conf" / "local" / "credentials.yml").write_text("openai: {api_key: secret}\n")
    program = [sys.executable, "-m", "kedro", "package"]
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return root / "dist"


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone, unpacked by pip into a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    program = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*program, str(next(dist.glob("*.whl")))], check=True, timeout=300)
    return target


def test_the_wheel_holds_everything_that_is_not_code(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        held = {name.removeprefix("clarilm_kedro/") for name in wheel.namelist()}
        record = wheel.read("clarilm_kedro-0.1.0.dist-info/RECORD").decode()
    source = PROJECT / "src" / "clarilm_kedro"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= held
    sample = PROJECT / "data" / "01_raw" / "sample"
    copied = {f"sample/files/{path.relative_to(sample)}" for path in sample.rglob("*") if path.is_file()}
    assert copied | {"logging.yml"} <= held
    assert all(f"clarilm_kedro/{name}," in record for name in copied)


def test_the_archive_holds_the_environments_and_no_keys(dist: Path) -> None:
    with tarfile.open(dist / "conf-clarilm_kedro.tar.gz") as archive:
        names = archive.getnames()
    assert {"conf/base/globals.yml", "conf/paper/globals.yml", "conf/cluster/fsdp2.yaml"} <= set(names)
    assert not [name for name in names if "credentials.yml" in name and not name.endswith(".template")]


def packaged(installed: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the installed wheel in a folder that is no project; the wheel comes before the checkout on the path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("KEDRO_", "CLARILM_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


CLARILM = ("-c", "import sys; from clarilm_kedro.standalone import main; sys.exit(main())")


def test_a_packaged_run_works_outside_of_a_project(dist: Path, installed: Path, tmp_path: Path) -> None:
    conf = dist / "conf-clarilm_kedro.tar.gz"
    sample = packaged(installed, tmp_path, *CLARILM, "sample", "data/01_raw/sample")
    assert "34 files written" in sample.stdout, sample.stderr
    run = ("-m", "clarilm_kedro", f"--conf-source={conf}", "--env", "test", "--pipelines", "ingestion")
    done = packaged(installed, tmp_path, *run)
    assert done.returncode == 0, done.stderr
    assert str(installed / "clarilm_kedro" / "logging.yml") in done.stderr  # the wheel ran, not the checkout
    assert len(pd.read_parquet(tmp_path / "data" / "test" / "02_intermediate" / "sessions.parquet")) > 0
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "mlflow.db", "mlruns"}

    plan = packaged(installed, tmp_path, *CLARILM, f"--conf-source={conf}", "plan", "--env", "test", "-p", "cfd")
    assert "Together " in plan.stdout, plan.stderr
    wrong = packaged(installed, tmp_path, *CLARILM, f"--conf-source={conf}", "run", "--params", "limit.sessions=3")
    assert wrong.returncode == 1
    assert "Did you mean 'limits.sessions'?" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    absent = packaged(installed, tmp_path, "-m", "clarilm_kedro", "--conf-source=absent.tar.gz")
    assert absent.returncode == 2
    assert "'absent.tar.gz' does not exist" in absent.stderr


def test_an_input_that_is_missing_names_the_command_that_writes_it(dist: Path, installed: Path, tmp_path: Path) -> None:
    conf = dist / "conf-clarilm_kedro.tar.gz"
    run = ("-m", "clarilm_kedro", f"--conf-source={conf}", "--env", "test", "--pipelines", "ingestion")
    done = packaged(installed, tmp_path, *run)
    assert done.returncode == 1
    assert "The sample world is written by `clarilm sample data/01_raw/sample`." in done.stderr
