"""Executes a notebook in a kernel of its own."""

import tempfile
from pathlib import Path
from typing import Any

import pytest


def outputs_of_notebook(path: Path, folder: Path) -> list[dict[str, Any]]:
    """Run every cell with ``folder`` as the working folder and give what the cells showed, by MIME type."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed here (the extra `notebooks`)")
    pytest.importorskip("ipykernel")
    import nbformat
    from jupyter_client import AsyncKernelManager

    notebook = nbformat.read(path, as_version=4)
    # Sockets of the file system: no port is opened. Their path is whole, since the kernel works in another folder than
    # this process, and short: Linux takes 107 characters.
    with tempfile.TemporaryDirectory() as sockets:
        manager = AsyncKernelManager(transport="ipc", ip=f"{sockets}/kernel")
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, km=manager, timeout=300, resources=resources).execute(cleanup_kc=True)
    return [dict(each["data"]) for cell in notebook.cells for each in cell.get("outputs", ()) if "data" in each]
