"""Paths in catalog entries."""

from pathlib import Path

from kedro.utils import find_kedro_project

from clarilm_kedro.shipped import shipped_file
from clarilm_kedro.text.packaged import PREFIX


def in_project(path: str) -> str:
    """Take a path as relative to the Kedro project, wherever the command or notebook runs.

    Kedro does this for the keys ``filepath``, ``filename`` and ``path`` only.

    Args:
        path: A path, or the name of a packaged model, which is left as it is.

    Returns:
        An absolute path; relative to the working folder where that lies in no project.
    """
    if path.startswith(PREFIX):
        return path
    return str(Path(find_kedro_project(Path.cwd()) or Path.cwd()) / path)


def shipped_unless(name: str, given: str | None = None) -> str:
    """Find a file that a setting may replace; the resolver ``${shipped:NAME,PATH}`` of the configuration.

    Args:
        name: The file as the package ships it, such as ``chat/prices.yml``.
        given: Another file, relative to the Kedro project; None takes the package's.

    Returns:
        An absolute path.
    """
    return in_project(given) if given else str(shipped_file(name))
