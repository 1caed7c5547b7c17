"""Launching a training: in this process, or in several that torchrun or accelerate starts."""

import hashlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.disk import room_needed
from clarilm_kedro.finetuning.jobs import Job, JobFolder, Rows, adapter_digest, job_digest, rows_digest
from clarilm_kedro.finetuning.options import TrainingOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.tracking import Tracker, child_run, to_environment
from clarilm_kedro.finetuning.worker import train
from clarilm_kedro.options import Options

logger = logging.getLogger(__name__)

_WORKER = "clarilm_kedro.finetuning.worker"


class LaunchOptions(Options):
    """Where trainings run, and where they keep what a later run goes on from."""

    launcher: Literal["in_process", "torchrun", "accelerate"] = Field(
        "in_process", description="torchrun: one process per device, DDP; accelerate: as its configuration file says."
    )
    processes: int | None = Field(None, ge=1, description="Processes per machine; null: one per GPU, one without any.")
    machines: int = Field(1, ge=1, description="Machines that train together.")
    rendezvous: str | None = Field(None, description="host:port of the first machine, where there are several.")
    accelerate_config: str | None = Field(None, description="accelerate's YAML, such as conf/cluster/fsdp2.yaml.")
    work_dir: str | None = Field(None, description="Keeps checkpoints and finished adapters; null: a temporary folder.")
    checkpoint_steps: int = Field(50, ge=1, description="Optimizer steps between two checkpoints.")

    @model_validator(mode="after")
    def _fits(self) -> "LaunchOptions":
        if self.machines > 1 and (self.launcher == "in_process" or not self.rendezvous):
            raise ValueError("several machines need launcher torchrun or accelerate, and a rendezvous host:port")
        if (self.launcher == "accelerate") != bool(self.accelerate_config):
            raise ValueError("accelerate_config belongs to launcher accelerate, which needs one")
        return self

    @property
    def shards(self) -> int:
        """Devices that share the base weights; DDP gives each all of them."""
        return self.world() if self.accelerate_config else 1

    def sharding(self) -> str | None:
        """Name how weights are spread, by accelerate's configuration; None where every process has all.

        Raises:
            ClarilmError: The configuration cannot be read.
        """
        if not self.accelerate_config:
            return None
        try:
            content = Path(self.accelerate_config).read_bytes()
        except OSError as error:
            raise ClarilmError(
                f"training.launch.accelerate_config '{self.accelerate_config}' cannot be read ({error.strerror}). "
                "conf/cluster/fsdp2.yaml and conf/cluster/zero3.yaml are such files."
            ) from error
        return hashlib.sha256(content).hexdigest()[:16]

    def world(self) -> int:
        """Give the number of processes over all machines."""
        if self.launcher == "in_process":
            return 1
        return self.per_machine() * self.machines

    def per_machine(self) -> int:
        """Give the number of processes on one machine."""
        if self.processes is not None:
            return self.processes
        import torch

        return max(torch.cuda.device_count(), 1)


#: Trains in this process and keeps nothing but the adapter.
IN_PROCESS = LaunchOptions.model_validate({})


def run_job(
    job: Job, options: TrainingOptions, rows: Rows, launch: LaunchOptions, *, supervised: Rows = ()
) -> TrainedAdapter:
    """Train, or take what was trained before from equal inputs.

    Args:
        job: What is to be trained.
        options: Its options, for the child run.
        rows: Token ids of the rows.
        launch: Where and how.
        supervised: Token ids of supervised rows that DPO mixes in.

    Returns:
        The adapter with its report.

    Raises:
        ClarilmError: What the worker raised; the worker ended without a word; no room is left in ``work_dir``.
    """
    options.accumulation(job.processes)
    digest = job_digest(job, rows, supervised)
    temporary = tempfile.TemporaryDirectory(prefix="clarilm-") if launch.work_dir is None else None
    root = Path(temporary.name if temporary else str(launch.work_dir))
    folder = JobFolder(root / f"{job.run_name}-{digest}")
    if found := folder.result():
        logger.info("%s was trained before from equal rows and options: %s is taken.", job.run_name, folder.path)
        return TrainedAdapter(folder.adapter, found, temporary)
    with room_needed(job.run_name, folder.path):
        folder.prepare(job, rows, supervised)
    if started := folder.last_checkpoint():
        logger.info("%s goes on from %s.", job.run_name, started)
    told = {"method": job.method, "base_model": job.base.source, "rows": len(rows), **options.model_dump()}
    with child_run(job.run_name, told) as tracked:
        tracker = Tracker(tracked)
        tracker.dataset(job.run_name, rows_digest(rows), folder.rows, len(rows))
        tracker.dataset(f"{job.run_name} supervised", rows_digest(supervised), folder.supervised, len(supervised))
        tracker.tags({"digest": digest, "processes": job.processes})
        if job.start:
            tracker.tags({"start_adapter": adapter_digest(Path(job.start))})
        if launch.launcher == "in_process":
            train(folder, tracked)
        else:
            _run(command(folder, launch), folder, to_environment(tracked))
        report = folder.result()
        if report is None:
            raise ClarilmError(f"The training in {folder.path} ended without a result. Run it again; it goes on there.")
        tracker.adapter(folder.adapter)
        tracker.tags({"adapter": adapter_digest(folder.adapter)})  # what is found out later is logged by it
    return TrainedAdapter(folder.adapter, report, temporary)


def command(folder: JobFolder, launch: LaunchOptions) -> list[str]:
    """Write the command that trains a folder on this machine.

    Args:
        folder: The prepared training.
        launch: Where and how.

    Returns:
        The command. Where several machines train together the others run it too, on the same files.
    """
    per_machine = launch.per_machine()
    if launch.launcher == "torchrun":
        meeting = (
            ["--standalone"]
            if launch.machines == 1
            else [f"--nnodes={launch.machines}", "--rdzv-backend=c10d", f"--rdzv-endpoint={launch.rendezvous}"]
        )
        start = ["-m", "torch.distributed.run", *meeting, f"--nproc-per-node={per_machine}"]
    else:
        host, _, port = (launch.rendezvous or "").partition(":")
        # c10d, as for torchrun: with accelerate's default every machine would have to be told its rank, and a backend
        # in the file is not read (accelerate 1.15: the command line's default wins).
        meeting = ["--rdzv_backend=c10d", f"--main_process_ip={host}", f"--main_process_port={port}"]
        meeting = [] if launch.machines == 1 else meeting
        start = [
            "-m",
            "accelerate.commands.launch",
            f"--config_file={launch.accelerate_config}",
            f"--num_processes={launch.world()}",
            f"--num_machines={launch.machines}",
            *meeting,
        ]
    return [sys.executable, *start, "-m", _WORKER, str(folder.path.absolute())]


def _run(arguments: Sequence[str], folder: JobFolder, environment: dict[str, str]) -> None:
    logger.info("Training in processes of their own: %s", " ".join(arguments))
    process = subprocess.Popen(arguments, env={**os.environ, **environment})
    try:
        status = process.wait()
    except BaseException:  # Ctrl-C: the workers got the signal too; nobody is left behind
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if status:
        told = folder.error.read_text(encoding="utf-8").strip() if folder.error.exists() else ""
        raise ClarilmError(told or _silent(folder, status))


def _silent(folder: JobFolder, status: int) -> str:
    return (
        f"The training processes ended with status {status}; what they said stands above. The next run goes on from "
        f"the last checkpoint in {folder.checkpoints}."
    )
