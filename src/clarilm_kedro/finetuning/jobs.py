"""A training as a folder: what is to be trained, how far it got, what came of it.

The folder's name holds a digest of everything the result depends on. So an interrupted training finds its checkpoints
again, a finished one is not done twice, and other rows, options or another base model get a folder of their own. The
worker needs nothing but this folder, hence it can run in other processes and on other machines.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, identity
from clarilm_kedro.options import Options

Rows = Sequence[Mapping[str, list[int]]]

# Part of the digest: raise it when the same inputs are to give another adapter.
_VERSION = 2
# What changes how a training is watched, but not its result.
_WITHOUT_EFFECT = {"logging_steps"}


class Job(Options):
    """What is to be trained."""

    method: Literal["sft", "dpo"] = Field(description="Supervised fine-tuning, or preference optimisation.")
    run_name: str = Field(description="Name of the MLflow run, the progress bar and the folder.")
    base: BaseModelSpec = Field(description="The base model.")
    options: dict[str, Any] = Field(description="The method's options.")
    start: str | None = Field(None, description="Folder of the adapter that DPO starts from.")
    processes: int = Field(1, ge=1, description="Processes over all machines; each has one device.")
    sharding: str | None = Field(
        None, description="How weights are spread over the processes; checkpoints differ by it."
    )
    checkpoint_steps: int = Field(50, ge=1, description="Optimizer steps between two checkpoints.")


class JobFolder:
    """The files of one training.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = path / "rows.parquet"
        self.supervised = path / "supervised.parquet"
        self.checkpoints = path / "checkpoints"
        self.adapter = path / "adapter"
        self.error = path / "error.txt"
        self._spec = path / "job.json"
        self._result = path / "result.json"

    def prepare(self, job: Job, rows: Rows, supervised: Rows = ()) -> None:
        """Write what the worker reads; does nothing to what an earlier run left.

        Args:
            job: What is to be trained.
            rows: Token ids of the rows.
            supervised: Token ids of supervised rows that DPO mixes in.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.error.unlink(missing_ok=True)
        for file, table in ((self.rows, rows), (self.supervised, supervised)):
            if table and not file.exists():
                _write_rows(file, table)
        _write(self._spec, job.model_dump_json(indent=2))

    def job(self) -> Job:
        """Read what is to be trained."""
        return Job.model_validate_json(self._spec.read_text(encoding="utf-8"))

    def result(self) -> dict[str, Any] | None:
        """Read the report of a training that has ended, or give ``None``."""
        try:
            return dict(json.loads(self._result.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def finish(self, report: Mapping[str, Any]) -> None:
        """Write the report, which makes the training a finished one, and remove its checkpoints."""
        _write(self._result, json.dumps(report, indent=2, ensure_ascii=False))
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def last_checkpoint(self) -> Path | None:
        """Find the latest checkpoint that was written to its end; torn ones are removed.

        transformers writes ``trainer_state.json`` last.
        """
        found = sorted(
            (path for path in self.checkpoints.glob("checkpoint-*") if path.name.split("-")[-1].isdigit()),
            key=lambda path: int(path.name.split("-")[-1]),
        )
        for path in reversed(found):
            try:
                json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                shutil.rmtree(path, ignore_errors=True)
            else:
                return path
        return None


def job_digest(job: Job, rows: Rows, supervised: Rows = ()) -> str:
    """Name everything that the result of a training depends on.

    Args:
        job: What is to be trained.
        rows: Token ids of the rows, in order.
        supervised: Token ids of supervised rows.

    Returns:
        16 hexadecimal characters.

    Raises:
        ClarilmError: The adapter to start from cannot be read.
    """
    content = {
        "version": _VERSION,
        "method": job.method,
        "base": identity(job.base),
        "options": {key: value for key, value in job.options.items() if key not in _WITHOUT_EFFECT},
        "processes": job.processes,
        "start": adapter_digest(Path(job.start)) if job.start else None,
    }
    if job.sharding:
        content["sharding"] = job.sharding
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for table in (rows, supervised):
        digest.update(b"\x1e")
        _add_rows(digest, table)
    return digest.hexdigest()[:16]


def rows_digest(rows: Rows) -> str:
    """Name the rows of a training, whatever is done with them.

    Args:
        rows: Token ids of the rows, in order.

    Returns:
        16 hexadecimal characters.
    """
    digest = hashlib.sha256()
    _add_rows(digest, rows)
    return digest.hexdigest()[:16]


def adapter_digest(folder: Path) -> str:
    """Hash an adapter's weights.

    Args:
        folder: Where it lies.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        ClarilmError: It holds no weights.
    """
    try:
        with (folder / "adapter_model.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ClarilmError(f"The adapter in {folder} cannot be read ({error.strerror}); train it again.") from error


def _add_rows(digest: Any, rows: Rows) -> None:
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\x1f")


def _write_rows(file: Path, rows: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array([row[name] for row in rows], pa.list_(pa.int32())) for name in rows[0]}
    partial = file.with_suffix(".partial")
    pq.write_table(pa.table(columns), partial)
    os.replace(partial, file)


def _write(file: Path, text: str) -> None:
    handle, partial = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as target:
        target.write(text + "\n")
    os.replace(partial, file)
