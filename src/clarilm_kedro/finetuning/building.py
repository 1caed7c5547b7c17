"""From a prepared training to a trainer: model, adapter, rows, settings."""

from pathlib import Path
from typing import Any

from clarilm_kedro.finetuning.adapters import load_adapter
from clarilm_kedro.finetuning.base_model import load_model, load_tokenizer
from clarilm_kedro.finetuning.jobs import Job, JobFolder
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions
from clarilm_kedro.finetuning.running import attention, one_device, trainer_settings


def build_sft_trainer(job: Job, folder: JobFolder) -> tuple[SftOptions, Any]:
    """Build the trainer of a prepared training.

    Args:
        job: What is to be trained.
        folder: Where its rows lie (prompt_ids, completion_ids).

    Returns:
        The options and a trainer.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed
    from trl import SFTConfig

    from clarilm_kedro.finetuning._trainers import IGNORED, ClarilmSFTTrainer
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
    model = get_peft_model(load_model(job.base, attention=attention(job.base)), lora)
    rows = Dataset.from_parquet(str(folder.rows), keep_in_memory=True).map(
        lambda row: {
            "input_ids": row["prompt_ids"] + row["completion_ids"],
            "labels": [IGNORED] * len(row["prompt_ids"]) + row["completion_ids"],
        },
        remove_columns=["prompt_ids", "completion_ids"],
    )
    settings = one_device(SFTConfig(**trainer_settings(options, job, folder)))
    tokenizer = load_tokenizer(job.base)
    trainer = ClarilmSFTTrainer(model=model, args=settings, train_dataset=rows, processing_class=tokenizer)
    trainer.lengths = [len(ids) for ids in rows["input_ids"]] if options.group_by_length else []
    return options, trainer


def build_dpo_trainer(job: Job, folder: JobFolder) -> tuple[DpoOptions, Any]:
    """Build the trainer of a prepared training.

    Args:
        job: What is to be trained.
        folder: Where its pairs lie (prompt_ids, chosen_ids, rejected_ids), and supervised rows if there are any.

    Returns:
        The options and a trainer whose policy is the SFT model.

    Raises:
        ClarilmError: The adapter to start from was trained on another base model.
    """
    from transformers import set_seed
    from trl import DPOConfig

    from clarilm_kedro.finetuning._trainers import ClarilmDPOTrainer, SupervisedRows
    from datasets import Dataset

    options = DpoOptions(**job.options)
    set_seed(options.seed)
    base = load_model(job.base, attention=attention(job.base))
    # Loaded without is_trainable the policy would be frozen.
    policy = load_adapter(base, Path(str(job.start)), job.base.source, trainable=True)
    pairs = Dataset.from_parquet(str(folder.rows), keep_in_memory=True)
    trainer = ClarilmDPOTrainer(
        model=policy,
        args=one_device(DPOConfig(**trainer_settings(options, job, folder))),
        train_dataset=pairs,
        processing_class=load_tokenizer(job.base),
    )
    trainer.options = options
    if options.group_by_length:
        sides = zip(pairs["chosen_ids"], pairs["rejected_ids"], strict=True)
        longer = [max(map(len, both)) for both in sides]
        trainer.lengths = [len(prompt) + reply for prompt, reply in zip(pairs["prompt_ids"], longer, strict=True)]
    if folder.supervised.exists():
        rows = Dataset.from_parquet(str(folder.supervised), keep_in_memory=True)
        trainer.supervised_rows = SupervisedRows(rows, options, trainer.data_collator.pad_token_id)
    return options, trainer
