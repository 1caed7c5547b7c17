"""Supervised fine-tuning with a low-rank adapter: FM-LOG (Eq. 2) and ClariLM's first phase (Eq. 5)."""

import logging
from collections.abc import Sequence
from typing import Any

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
from clarilm_kedro.finetuning.encoding import Encoded, encode
from clarilm_kedro.finetuning.jobs import Job
from clarilm_kedro.finetuning.launch import IN_PROCESS, LaunchOptions, run_job
from clarilm_kedro.finetuning.memory_plan import plan_training
from clarilm_kedro.finetuning.options import OnTooFew, SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.running import too_few
from clarilm_kedro.finetuning.template import Message
from clarilm_kedro.text.hashing import stable_order

logger = logging.getLogger(__name__)

#: A prompt and the reply to learn.
SftRow = tuple[Sequence[Message], str]


def train_sft(
    rows: Sequence[SftRow],
    base: BaseModelSpec,
    options: SftOptions,
    *,
    launch: LaunchOptions = IN_PROCESS,
    run_name: str = "sft",
    min_examples: int = 1,
    on_too_few: OnTooFew = "fail",
) -> TrainedAdapter:
    """Train a LoRA adapter on prompts and replies; only the replies' tokens are learnt.

    The result depends on the rows and the seed, not on the order they come in. Rows longer than ``max_length`` are
    left out, counted and logged. An interrupted training goes on from its last checkpoint, and one that was done before
    from equal rows, options and base model is not done again.

    Args:
        rows: Prompt messages and the reply.
        base: The base model.
        options: How it is trained.
        launch: Where it runs and keeps its checkpoints.
        run_name: Name of the MLflow child run and of the progress bar.
        min_examples: Fewer usable rows than this train nothing.
        on_too_few: Whether that is recorded as a skip or stops the run.

    Returns:
        The adapter and its report.

    Raises:
        ClarilmError: Too few rows with ``on_too_few="fail"``, a batch size that does not divide, a loss that is not
            finite, a base model that cannot be loaded.
    """
    options.accumulation(launch.world())
    if len(rows) < min_examples:  # before a tokenizer is loaded for nothing
        return too_few("rows to train on", len(rows), 0, min_examples, on_too_few)
    encoded, n_over = encode_rows(load_tokenizer(base), rows, options)
    if len(encoded) < max(min_examples, 1):
        return too_few("rows to train on", len(encoded), n_over, max(min_examples, 1), on_too_few)
    job = Job(
        method="sft",
        run_name=run_name,
        base=base,
        options=options.model_dump(mode="json"),
        start=None,
        processes=launch.world(),
        sharding=launch.sharding(),
        checkpoint_steps=launch.checkpoint_steps,
    )
    plan = plan_training(run_name, base, options, method="sft", shards=launch.shards)
    logger.info(plan)
    plan.check()
    ids = [{"prompt_ids": row.prompt, "completion_ids": row.completion} for row in encoded]
    return run_job(job, options, ids, launch).with_report(rows=len(encoded), rows_over_length=n_over)


def encode_rows(tokenizer: Any, rows: Sequence[SftRow], options: SftOptions) -> tuple[list[Encoded], int]:
    """Tokenize rows in an order of their own, and leave out those that are too long.

    Args:
        tokenizer: The base model's.
        rows: Prompt messages and the reply.
        options: ``seed`` and ``max_length``.

    Returns:
        Tokenized rows, and how many were left out.
    """
    ordered = stable_order(rows, options.seed, lambda row: (list(row[0]), row[1]))
    encoded = [encode(tokenizer, prompt, completion) for prompt, completion in ordered]
    fitting = [row for row in encoded if row.length <= options.max_length]
    n_over = len(encoded) - len(fitting)
    if n_over:
        logger.warning("%d of %d rows exceed %d tokens and are left out.", n_over, len(encoded), options.max_length)
    return fitting, n_over
