"""Copies of files that the package ships, into a folder of the user's."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from clarilm_kedro.errors import ClarilmError


def write_copies(files: Mapping[str, Path], target: Path, *, force: bool = False) -> int:
    """Copy files into a folder.

    A folder that is not there appears whole or not at all. In one that is there every file is replaced by renaming, so
    that none is ever half written; other files in it stay.

    Args:
        files: Path in the folder to the file to copy.
        target: The folder.
        force: Write into a folder that holds something else.

    Returns:
        How many files were written; 0 where the folder held all of them already.

    Raises:
        ClarilmError: The folder holds something else and ``force`` is not set, or cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise ClarilmError(f"{target} is a file. Name a folder.")
    try:
        changed = {name: source for name, source in files.items() if not _same(source, target / name)}
        if not changed:
            return 0
        if not target.is_dir() or not any(target.iterdir()):
            _write_whole(files, target)
            return len(files)
        if not force:
            raise ClarilmError(
                f"{target} is not empty. Name another folder, or add --force: it writes {len(changed)} "
                f"file{'s' * (len(changed) != 1)} there, replacing those of the same name, and leaves the others."
            )
        for name, source in changed.items():
            _replace(source, target / name)
        return len(changed)
    except OSError as error:
        raise ClarilmError(f"{error.filename or target} cannot be written: {error.strerror}.") from error


def _same(source: Path, target: Path) -> bool:
    return target.is_file() and target.read_bytes() == source.read_bytes()


def _write_whole(files: Mapping[str, Path], target: Path) -> None:
    place = target.absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        new = building / "new"
        for name, source in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, new / name)
        os.replace(new, place)  # also onto an empty folder
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, building = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    try:
        shutil.copyfile(source, building)
        os.replace(building, target)
    finally:
        Path(building).unlink(missing_ok=True)
