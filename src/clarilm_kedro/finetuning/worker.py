"""The worker: trains what stands in a folder, in one process or as one of many. It knows no Kedro.

``python -m clarilm_kedro.finetuning.worker FOLDER``, started by torchrun or accelerate where there are many.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapters import base_fingerprint
from clarilm_kedro.finetuning.building import build_dpo_trainer, build_sft_trainer
from clarilm_kedro.finetuning.disk import room_needed
from clarilm_kedro.finetuning.jobs import Job, JobFolder
from clarilm_kedro.finetuning.memory import release_memory
from clarilm_kedro.finetuning.running import report, save_adapter
from clarilm_kedro.finetuning.sharding import count, gathered_adapter
from clarilm_kedro.finetuning.tracking import TrackedRun, Tracker, from_environment

logger = logging.getLogger(__name__)


def train(folder: JobFolder, tracked: TrackedRun | None) -> None:
    """Train, from the last checkpoint if there is one, and leave the adapter and the report in the folder.

    Args:
        folder: The prepared training.
        tracked: Where the first process reports to.

    Raises:
        ClarilmError: Another number of processes than the training was planned for, a loss that is not finite, a first
            DPO loss that is not ln 2, no room for a checkpoint.
    """
    job = folder.job()
    try:
        with room_needed(job.run_name, folder.path):
            _train(folder, job, Tracker(tracked if _rank() == 0 else None))
    finally:
        release_memory()


def _train(folder: JobFolder, job: Job, tracker: Tracker) -> None:
    options, trainer = build_sft_trainer(job, folder) if job.method == "sft" else build_dpo_trainer(job, folder)
    world = trainer.accelerator.num_processes
    if world != job.processes:
        # accelerate starts one process on a CPU whatever it is told, and the batch would silently be another one.
        raise ClarilmError(
            f"{job.run_name} was planned for {job.processes} process(es), and {world} came up. Check training.launch "
            "(on a CPU use launcher torchrun) and what the launcher says above."
        )
    fingerprint = base_fingerprint(trainer.model)  # before the weights are spread over processes
    numbers = _run(trainer, job, folder, tracker)
    model = trainer.accelerator.unwrap_model(trainer.model)
    weights = gathered_adapter(model)  # takes every process, where the weights are spread over them
    if _rank() == 0:
        save_adapter(model, weights, job.base, folder.adapter, fingerprint)
        folder.finish(report(job, options, {**numbers, **_preferences(trainer, numbers["curve"])}))
    trainer.accelerator.wait_for_everyone()


def _run(trainer: Any, job: Job, folder: JobFolder, tracker: Tracker) -> dict[str, Any]:
    from transformers import PrinterCallback

    from clarilm_kedro.finetuning._watch import Watch

    watch = Watch(job.run_name, tracker.metrics)
    watch.start(trainer)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    checkpoint = folder.last_checkpoint()
    if checkpoint:
        tracker.tags({"resumed_from": checkpoint.name})
    wall, cpu = time.monotonic(), time.process_time()
    try:
        with tracker.system_metrics():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        watch.close()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    curve = watch.curve
    totals = {
        "steps": trainer.state.global_step,
        "resumed_from": checkpoint.name if checkpoint else None,
        "tokens": curve[-1]["tokens"] if curve else 0,
        "seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "tokens_per_second": curve[-1]["tokens_per_second"] if curve else 0.0,
        "tflops_per_second": curve[-1]["tflops_per_second"] if curve else 0.0,
        "mfu": curve[-1].get("mfu") if curve else None,
        "loss_first": curve[0]["loss"] if curve else None,
        "loss_last": curve[-1]["loss"] if curve else None,
        "trainable_parameters": sum(count(p) for p in trainer.model.parameters() if p.requires_grad),
        "peak_memory_gb": peak_memory_gb(),
    }
    names = ("steps", "tokens", "seconds", "cpu_seconds", "peak_memory_gb")
    tracker.metrics({f"total_{name}": float(str(totals[name])) for name in names})
    return {**totals, "curve": curve}


def _preferences(trainer: Any, curve: list[dict[str, float]]) -> dict[str, Any]:
    """What the report says of DPO alone; nothing for SFT."""
    if not curve or "margin" not in curve[0]:
        return {}
    ends = {"first": curve[0], "last": curve[-1]}
    return {
        "first_preference_loss": trainer.first_preference_loss,
        **{f"{name}_{end}": point[name] for name in ("margin", "accuracy") for end, point in ends.items()},
    }


def peak_memory_gb() -> float:
    """Peak memory of the GPU where there is one, else of the process."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e9, 3)
    import resource

    # In kilobytes on Linux: https://man7.org/linux/man-pages/man2/getrusage.2.html
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6), 3)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def main(arguments: list[str]) -> int:
    """Train the folder that the command line names.

    Args:
        arguments: The folder.

    Returns:
        The exit status.
    """
    (path,) = arguments
    folder = JobFolder(Path(path))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    try:
        train(folder, from_environment())
    except ClarilmError as error:
        if _rank() == 0 or not folder.error.exists():
            folder.error.write_text(str(error), encoding="utf-8")
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
