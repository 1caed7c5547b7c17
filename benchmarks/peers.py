"""Virtual environments of the programs that ours are compared with."""

import shutil
import subprocess
import sys
from pathlib import Path


def install_peer(folder: Path, lock: Path, *options: str) -> Path:
    """Make a program's virtual environment, or find it made from the same lock file.

    Args:
        folder: Where it stands, kept.
        lock: Its pinned versions.
        options: Of ``pip install``.

    Returns:
        Its interpreter.

    Raises:
        subprocess.CalledProcessError: It cannot be installed; pip has said why on the error output.
    """
    python, installed = folder / "bin" / "python", folder / "installed.lock"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        print(f"installing {folder.name} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *options, "-r", str(lock)], check=True)
        shutil.copyfile(lock, installed)
    return python
