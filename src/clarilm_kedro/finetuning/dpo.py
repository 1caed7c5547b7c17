"""Direct preference optimisation of ClariLM from its SFT adapter (section 3.3.5, Eq. 6)."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapters import checked_rank
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
from clarilm_kedro.finetuning.encoding import encode
from clarilm_kedro.finetuning.jobs import Job
from clarilm_kedro.finetuning.launch import IN_PROCESS, LaunchOptions, run_job
from clarilm_kedro.finetuning.memory_plan import plan_training
from clarilm_kedro.finetuning.options import DpoOptions, OnTooFew
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.running import too_few
from clarilm_kedro.finetuning.sft import SftRow
from clarilm_kedro.finetuning.template import Message
from clarilm_kedro.text.hashing import stable_order

logger = logging.getLogger(__name__)


class PreferencePair(NamedTuple):
    """A prompt, the reply that is preferred, and the one that is not."""

    prompt: Sequence[Message]
    chosen: str
    rejected: str


def train_dpo(
    pairs: Sequence[PreferencePair],
    base: BaseModelSpec,
    sft_adapter: Path,
    options: DpoOptions,
    *,
    supervised: Sequence[SftRow] = (),
    launch: LaunchOptions = IN_PROCESS,
    run_name: str = "dpo",
    min_examples: int = 1,
    on_too_few: OnTooFew = "fail",
) -> TrainedAdapter:
    """Train on preferences, starting from the SFT adapter and held to a frozen copy of it.

    Args:
        pairs: Prompt, chosen and rejected reply.
        base: The base model that the SFT adapter was trained on.
        sft_adapter: Folder of the SFT adapter.
        options: How it is trained.
        supervised: Rows mixed in where ``supervised_source`` is ``sft_rows``.
        launch: Where it runs and keeps its checkpoints.
        run_name: Name of the MLflow child run and of the progress bar.
        min_examples: Fewer usable pairs than this train nothing.
        on_too_few: Whether that is recorded as a skip or stops the run.

    Returns:
        The adapter and its report, with the first and last margin and accuracy.

    Raises:
        ClarilmError: Too few pairs with ``on_too_few="fail"``, no adapter in the folder or one for another base model,
            a first loss that is not ln 2, a batch size that does not divide, a loss that is not finite, no supervised
            rows where they are asked for.
    """
    options.accumulation(launch.world())
    rank = checked_rank(sft_adapter, base.source)
    if len(pairs) < min_examples:
        return too_few("preference pairs", len(pairs), 0, min_examples, on_too_few)
    tokenizer = load_tokenizer(base)
    rows, n_over = encode_pairs(tokenizer, pairs, options)
    if len(rows) < max(min_examples, 1):
        return too_few("preference pairs", len(rows), n_over, max(min_examples, 1), on_too_few)
    job = Job(
        method="dpo",
        run_name=run_name,
        base=base,
        options=options.model_dump(mode="json"),
        start=str(sft_adapter),
        processes=launch.world(),
        sharding=launch.sharding(),
        checkpoint_steps=launch.checkpoint_steps,
    )
    plan = plan_training(run_name, base, options, method="dpo", rank=rank, shards=launch.shards)
    logger.info(plan)
    plan.check()
    mixed_in = _encode_supervised(tokenizer, supervised, options)
    trained = run_job(job, options, rows, launch, supervised=mixed_in)
    return trained.with_report(pairs=len(rows), pairs_over_length=n_over)


def encode_pairs(
    tokenizer: Any, pairs: Sequence[PreferencePair], options: DpoOptions
) -> tuple[list[dict[str, list[int]]], int]:
    """Tokenize pairs in an order of their own; both replies must fit ``max_length``.

    Args:
        tokenizer: The base model's.
        pairs: Prompt, chosen and rejected reply.
        options: ``seed`` and ``max_length``.

    Returns:
        Token ids (prompt_ids, chosen_ids, rejected_ids), and how many pairs were left out.
    """
    ordered = stable_order(pairs, options.seed, lambda pair: (list(pair.prompt), pair.chosen, pair.rejected))
    rows = []
    for pair in ordered:
        chosen = encode(tokenizer, pair.prompt, pair.chosen)
        rejected = encode(tokenizer, pair.prompt, pair.rejected)
        if max(chosen.length, rejected.length) <= options.max_length:
            ids = {"prompt_ids": chosen.prompt, "chosen_ids": chosen.completion, "rejected_ids": rejected.completion}
            rows.append(ids)
    n_over = len(ordered) - len(rows)
    if n_over:
        logger.warning("%d of %d pairs exceed %d tokens and are left out.", n_over, len(ordered), options.max_length)
    return rows, n_over


def _encode_supervised(tokenizer: Any, rows: Sequence[SftRow], options: DpoOptions) -> list[dict[str, list[int]]]:
    if options.supervised_source == "chosen" or not options.supervised_weight:
        return []
    ordered = stable_order(rows, options.seed, lambda row: (list(row[0]), row[1]))
    encoded = [encode(tokenizer, prompt, reply) for prompt, reply in ordered]
    fitting = [row for row in encoded if row.length <= options.max_length]
    if not fitting:
        raise ClarilmError(
            "supervised_source is sft_rows, but there is no row of sft_train that fits max_length. Set it to chosen."
        )
    return [{"prompt_ids": row.prompt, "completion_ids": row.completion} for row in fitting]
