"""A static kedro-viz site of the project, to publish: previews of the sample world only, and no path of this machine.

kedro-viz writes the absolute path of every file into its panels. So the site is built in a copy of what a run reads, in
a temporary folder, and that folder's path is taken out of what was written.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from clarilm_kedro.errors import ClarilmError

_SAMPLE = Path("data/01_raw/sample")
_SESSIONS = Path("02_intermediate/sessions.parquet")


def build_site(project: Path, data: Path, target: Path) -> None:
    """Build the site.

    Args:
        project: The project's root.
        data: What a run on the sample world left; may be empty, and then the previews are.
        target: The folder to write; one that is there is replaced.

    Raises:
        ClarilmError: The data come from other logs than the sample world's, kedro-viz fails, or a path of this machine
            would be published.
    """
    if strangers := _not_of_the_sample(data / _SESSIONS, project / _SAMPLE):
        raise ClarilmError(
            f"{strangers} of the sessions in {data / _SESSIONS} are not the sample world's, and the site would show "
            "them. Name a folder that a run on the sample world left (make viz-build VIZ_DATA=FOLDER)."
        )
    with tempfile.TemporaryDirectory(prefix="clarilm_viz_") as folder:
        workspace = Path(folder).resolve() / "clarilm-kedro"
        _copy(project, data, workspace)
        _run(workspace)
        _strip_paths(workspace / "build" / "api", {workspace, project.resolve(), data.resolve()})
        if target.exists():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(workspace / "build", target)


def _not_of_the_sample(sessions: Path, sample: Path) -> int:
    if not sessions.exists():
        return 0
    texts = (sample / "sharegpt.json").read_text(encoding="utf-8")
    hashes = pq.read_table(sample / "wildchat", columns=["conversation_hash"])["conversation_hash"].to_pylist()
    known = {f'"{each}"' for each in hashes}
    ids = [each.partition("-")[2] for each in pq.read_table(sessions, columns=["chat_id"])["chat_id"].to_pylist()]
    return sum(f'"{each}"' not in known and each not in texts for each in ids)


def _copy(project: Path, data: Path, workspace: Path) -> None:
    """Copy what kedro-viz reads; keys and personal overrides stay where they are."""
    shutil.copytree(project / "conf", workspace / "conf", ignore=shutil.ignore_patterns("local"))
    (workspace / "conf" / "local").mkdir()
    shutil.copytree(project / "src", workspace / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(project / "pyproject.toml", workspace)
    shutil.copytree(project / _SAMPLE, workspace / _SAMPLE)
    for layer in sorted(data.glob("0[2-8]_*")):
        (workspace / "data" / layer.name).symlink_to(layer.resolve())
    if (project / ".viz").is_dir():
        shutil.copytree(project / ".viz", workspace / ".viz")


def _run(workspace: Path) -> None:
    command = [str(Path(sys.executable).with_name("kedro")), "viz", "build", "--include-previews"]
    environment = {**os.environ, "PYTHONPATH": str(workspace / "src"), "KEDRO_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True, check=False)
    # kedro-viz ends with 0 also where it could not build.
    if done.returncode or not (workspace / "build" / "api" / "main").is_file():
        raise ClarilmError(f"kedro-viz could not build the site:\n{(done.stdout + done.stderr)[-3000:]}")


def _strip_paths(api: Path, roots: set[Path]) -> None:
    home = str(Path.home())
    for file in sorted(path for path in api.rglob("*") if path.is_file()):
        text = file.read_text(encoding="utf-8")
        for root in sorted(map(str, roots), key=len, reverse=True):
            text = text.replace(f"{root}/", "").replace(root, ".")
        if len(home) > 1 and f"{home}/" in text:
            raise ClarilmError(f"The site would show a path below {home}, in {file.relative_to(api)}.")
        json.loads(text)
        file.write_text(text, encoding="utf-8")
