"""The project as a run reads it, in a folder of its own."""

import shutil
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def copy_of_the_project(root: Path) -> Path:
    """Copy what a run reads to a folder in which nothing has run yet."""
    for name in ("conf", "data/01_raw/sample"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("local"))
    (root / "conf" / "local").mkdir()
    shutil.copy(PROJECT / "pyproject.toml", root)
    (root / "src").mkdir()  # Kedro wants the folder; the package itself is installed
    return root
