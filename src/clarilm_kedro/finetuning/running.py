"""What SFT and DPO share: too few rows, the trainer's settings, the report, saving the adapter."""

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapters import note_base
from clarilm_kedro.finetuning.base_model import BaseModelSpec, device, resolve_dtype
from clarilm_kedro.finetuning.jobs import Job, JobFolder
from clarilm_kedro.finetuning.options import OnTooFew, TrainingOptions
from clarilm_kedro.finetuning.results import TRAINED, TrainedAdapter

logger = logging.getLogger(__name__)

# A new length costs a CPU the compilation of its kernels; padding to a multiple keeps the number of lengths small.
_PAD_TO = 16
# Checkpoints kept: the last one may be torn when the process is killed.
_CHECKPOINTS = 2


def too_few(what: str, n: int, n_over_length: int, min_examples: int, on_too_few: OnTooFew) -> TrainedAdapter:
    """Skip a training for want of rows, or stop.

    Args:
        what: What the rows are called, in the plural.
        n: Usable rows.
        n_over_length: Rows left out for their length.
        min_examples: How many are asked for.
        on_too_few: ``skip`` or ``fail``.

    Returns:
        The recorded skip.

    Raises:
        ClarilmError: ``on_too_few`` is ``fail``.
    """
    longer = f" ({n_over_length} more are longer than max_length)" if n_over_length else ""
    reason = f"There are {n} {what}{longer}, and at least {min_examples} are needed."
    if on_too_few == "fail":
        raise ClarilmError(f"{reason} Give more data, raise max_length, lower min_examples, or set on_too_few to skip.")
    logger.warning("%s Nothing is trained.", reason)
    return TrainedAdapter.skipped(reason)


def attention(options: TrainingOptions, spec: BaseModelSpec) -> str:
    """Choose the attention implementation for training.

    On a CPU, the backward pass of torch's own attention in bfloat16 took 10 ms a layer where the plain formula
    took 1 (SmolLM2-135M, 8 rows of 90 tokens, Xeon with AMX).

    Raises:
        ClarilmError: flash_attention_2 is asked for and cannot be had.
    """
    if options.attention == "flash_attention_2":
        from transformers.utils import is_flash_attn_2_available

        if not is_flash_attn_2_available():
            raise ClarilmError("attention is flash_attention_2: install flash-attn, on a GPU, or set it to auto.")
    if options.attention != "auto":
        return options.attention
    return "eager" if device() == "cpu" and resolve_dtype(spec) == "bfloat16" else "sdpa"


def trainer_settings(options: TrainingOptions, job: Job, folder: JobFolder) -> dict[str, Any]:
    """Settings for TRL's config classes that do not depend on the kind of training.

    Where the weights are bfloat16 they are frozen in it, the adapter stays float32 and the computing is done under
    autocast: float32's optimizer at bfloat16's speed.
    """
    return {
        "output_dir": str(folder.checkpoints),
        "seed": options.seed,
        "data_seed": options.seed,
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": options.warmup_share,  # a float below 1 is a share of all steps
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.max_grad_norm,
        "num_train_epochs": options.epochs,
        "per_device_train_batch_size": options.micro_batch_size,
        "gradient_accumulation_steps": options.accumulation(job.processes),
        "dataloader_drop_last": False,
        "dataloader_pin_memory": device() == "cuda",
        "pad_to_multiple_of": _PAD_TO,
        "bf16": resolve_dtype(job.base) == "bfloat16",
        "activation_checkpointing": options.gradient_checkpointing,  # its name from transformers 5 on
        "torch_compile": options.torch_compile,
        "use_cpu": device() == "cpu",
        "max_length": None,  # longer rows were left out and counted
        "logging_steps": options.logging_steps,
        "logging_nan_inf_filter": False,  # it would hide a broken loss behind the average
        "save_strategy": "steps",
        "save_steps": job.checkpoint_steps,
        "save_total_limit": _CHECKPOINTS,
        "report_to": [],
        "disable_tqdm": True,
    }


def one_device(settings: Any) -> Any:
    """Keep one process on one GPU: Trainer would spread over all it sees by DataParallel and so multiply the batch.

    Several GPUs are used by several processes (torchrun, accelerate). ``_n_gpu`` is the only handle Trainer offers.
    """
    if settings.n_gpu > 1:
        logger.warning("One of %d GPUs is used; set training.launch.launcher to use more.", settings.n_gpu)
        settings._n_gpu = 1
    return settings


def report(job: Job, options: TrainingOptions, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Put a training's report together; everything in it can be written as JSON."""
    return {
        "status": TRAINED,
        "method": job.method,
        "base_model": job.base.source,
        "dtype": resolve_dtype(job.base),
        "device": device(),
        "processes": job.processes,
        "accumulation": options.accumulation(job.processes),
        **numbers,
        "options": options.model_dump(mode="json"),
    }


def save_adapter(
    model: Any, weights: Mapping[str, Any], spec: BaseModelSpec, folder: Path, fingerprint: str | None
) -> None:
    """Save the trained adapter, whole or not at all, with a note of its base model: no frozen copy, no model card.

    Args:
        model: The PEFT model.
        weights: The adapter's weights by the model's names of them, all of them in this process.
        spec: The base model.
        folder: Where the adapter goes.
        fingerprint: Names the base model's weights; None where no process has seen them all.
    """
    partial = folder.with_name(f".{folder.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.peft_config["default"].base_model_name_or_path = spec.source  # and not a path of this machine
    try:
        # The embeddings are not trained; "auto" would go and look the base model up to see whether they were resized.
        model.save_pretrained(
            str(partial), state_dict=dict(weights), selected_adapters=["default"], save_embedding_layers=False
        )
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    (partial / "README.md").unlink(missing_ok=True)
    note_base(partial, spec.source, fingerprint)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
