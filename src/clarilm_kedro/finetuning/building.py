"""From a prepared training to a trainer: model, adapter, rows, settings."""

from pathlib import Path
from typing import Any

from clarilm_kedro.finetuning.adapters import load_adapter
from clarilm_kedro.finetuning.base_model import load_model, load_tokenizer, resolve_dtype
from clarilm_kedro.finetuning.flops import TrainingFlops, device_peak
from clarilm_kedro.finetuning.jobs import Job, JobFolder
from clarilm_kedro.finetuning.memory_plan import model_shape
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions
from clarilm_kedro.finetuning.running import attention, one_device, trainer_settings
from clarilm_kedro.finetuning.sharding import count, is_zero3, match_reference


def build_sft_trainer(job: Job, folder: JobFolder, model: Any = None) -> tuple[SftOptions, Any]:
    """Build the trainer of a prepared training.

    Args:
        job: What is to be trained.
        folder: Where its rows lie (prompt_ids, completion_ids).
        model: The base model's weights where they are at hand; None loads them.

    Returns:
        The options and a trainer.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed
    from trl import SFTConfig

    from clarilm_kedro.finetuning._lora import fold_scales
    from clarilm_kedro.finetuning._scoring import IGNORED
    from clarilm_kedro.finetuning._trainers import ClarilmSFTTrainer
    from datasets import Dataset

    options = SftOptions(**job.options)
    set_seed(options.seed)  # the adapter starts from random numbers
    lora = LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    # Before the model is loaded: they bring the processes together, and only then does ZeRO-3 split what is read.
    settings = one_device(SFTConfig(**trainer_settings(options, job, folder)))
    base = load_model(job.base, attention=attention(options, job.base)) if model is None else model
    policy = get_peft_model(base, lora, autocast_adapter_dtype=not is_zero3())
    rows = Dataset.from_parquet(str(folder.rows), keep_in_memory=True).map(
        lambda row: {
            "input_ids": row["prompt_ids"] + row["completion_ids"],
            "labels": [IGNORED] * len(row["prompt_ids"]) + row["completion_ids"],
        },
        remove_columns=["prompt_ids", "completion_ids"],
    )
    fold_scales(policy)
    tokenizer = load_tokenizer(job.base)
    trainer = ClarilmSFTTrainer(model=policy, args=settings, train_dataset=rows, processing_class=tokenizer)
    trainer.options = options
    _measure(trainer, job)
    trainer.lengths = [len(ids) for ids in rows["input_ids"]]
    trainer.grouped = options.group_by_length
    return options, trainer


def build_dpo_trainer(job: Job, folder: JobFolder, model: Any = None) -> tuple[DpoOptions, Any]:
    """Build the trainer of a prepared training.

    Args:
        job: What is to be trained.
        folder: Where its pairs lie (prompt_ids, chosen_ids, rejected_ids), and supervised rows if there are any.
        model: The base model's weights where they are at hand; None loads them.

    Returns:
        The options and a trainer whose policy is the SFT model.

    Raises:
        ClarilmError: The adapter to start from was trained on another base model.
    """
    from transformers import set_seed
    from trl import DPOConfig

    from clarilm_kedro.finetuning._lora import fold_scales
    from clarilm_kedro.finetuning._trainers import ClarilmDPOTrainer, SupervisedRows
    from datasets import Dataset

    options = DpoOptions(**job.options)
    set_seed(options.seed)
    settings = one_device(DPOConfig(**trainer_settings(options, job, folder)))  # before the model, as above
    base = load_model(job.base, attention=attention(options, job.base)) if model is None else model
    # Loaded without is_trainable the policy would be frozen.
    policy = load_adapter(base, Path(str(job.start)), job.base.source, trainable=True, autocast=not is_zero3())
    pairs = Dataset.from_parquet(str(folder.rows), keep_in_memory=True)
    trainer = ClarilmDPOTrainer(
        model=policy,
        args=settings,
        train_dataset=pairs,
        processing_class=load_tokenizer(job.base),
    )
    match_reference(trainer.model)
    fold_scales(trainer.model)
    _measure(trainer, job)
    trainer.options = options
    longer = [max(map(len, both)) for both in zip(pairs["chosen_ids"], pairs["rejected_ids"], strict=True)]
    trainer.lengths = [len(prompt) + reply for prompt, reply in zip(pairs["prompt_ids"], longer, strict=True)]
    trainer.grouped = options.group_by_length
    if folder.supervised.exists():
        rows = Dataset.from_parquet(str(folder.supervised), keep_in_memory=True)
        trainer.supervised_rows = SupervisedRows(rows, options, trainer.data_collator.pad_token_id)
    return options, trainer


def _measure(trainer: Any, job: Job) -> None:
    """Let the trainer count model FLOPs, and hold them against the device's peak."""
    adapter = sum(count(each) for each in trainer.model.parameters() if each.requires_grad)
    trainer.flops = TrainingFlops(model_shape(job.base), adapter)
    trainer.peak = device_peak(resolve_dtype(job.base))
