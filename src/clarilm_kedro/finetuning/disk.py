"""A full disk, in whatever words a library says it."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clarilm_kedro.errors import ClarilmError

#: No space, over quota, file larger than the process may write.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Neither raises an OSError: safetensors names the number, torch the line of its source that writes archives.
_SAFETENSORS = re.compile(r"\(os error (\d+)\)")
_TORCH = re.compile(
    r"inline_container\.cc.*(unexpected pos|write failed)|PytorchStreamWriter failed writing", re.DOTALL
)


@contextmanager
def room_needed(name: str, folder: Path) -> Iterator[None]:
    """Turn what is raised when the disk is full into a sentence.

    Args:
        name: The training.
        folder: Where it writes.

    Raises:
        ClarilmError: There was no room for a checkpoint, the rows or the adapter.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise ClarilmError(
            f"{name}: no room is left in {folder} for rows, a checkpoint or the adapter. Free some, or set "
            "training.launch.work_dir to another disk; the next run goes on from the last whole checkpoint."
        ) from error


def check_room(folder: Path, needed: int) -> None:
    """Tell that a file will not fit before it is written.

    Args:
        folder: Where it will lie.
        needed: Its bytes.

    Raises:
        OSError: ENOSPC, as if it had been tried; its text names the gigabytes.
    """
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB would be needed", os.fspath(folder))


def is_full(error: BaseException) -> bool:
    """Tell whether an exception of the system, safetensors or torch says that there is no room."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    told = _SAFETENSORS.search(str(error))
    return (told is not None and int(told[1]) in _FULL) or bool(_TORCH.search(str(error)))
