"""Nodes of the inference pipeline: ClariLM in use, on a file of questions."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapter_server import AdapterServer
from clarilm_kedro.finetuning.assistant import Assistant, AssistantReply, AssistantSpec
from clarilm_kedro.finetuning.base_model import BaseModelSpec, identity
from clarilm_kedro.finetuning.jobs import adapter_digest
from clarilm_kedro.finetuning.reply_cache import ReplyCache
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import Message
from clarilm_kedro.logs.records import Record, Records, excerpt
from clarilm_kedro.pipelines.evaluation.prediction import threshold_of
from clarilm_kedro.pipelines.evaluation.serving import served_replies
from clarilm_kedro.pipelines.inference.schemas import ASKED, REPLIES, WITHOUT_REPLY, InferenceOptions
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_id

logger = logging.getLogger(__name__)

CLARILM = "clarilm"
_IDS = ("question_id", "id")


def read_questions(new_questions: Records) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the questions; a row without one costs itself only.

    Args:
        new_questions: Rows with ``question``, and maybe ``question_id`` or ``id``.

    Returns:
        ``asked_questions`` and ``questions_not_put``; columns in :mod:`clarilm_kedro.pipelines.inference.schemas`.

    Raises:
        ClarilmError: No row holds a question, or an id occurs twice.
    """
    asked: list[dict[str, str]] = []
    refused = [
        {"question_id": f"{reject.source_file}-{reject.position}", "reason": reject.error, "excerpt": reject.excerpt}
        for reject in new_questions.rejects
    ]
    for row in new_questions.rows:
        question = row.data.get("question")
        if isinstance(question, str) and question.strip():
            asked.append({"question_id": _id(row), "question": question.strip()})
        else:
            said = "is missing" if question is None else f"is {excerpt(repr(question))}, expected a text"
            reason = f"{row.source_file}, row {row.position}: 'question' {said}."
            refused.append({"question_id": _id(row), "reason": reason, "excerpt": excerpt(str(row.data))})
    if not asked:
        first = f" The first row: {refused[0]['reason']}" if refused else ""
        raise ClarilmError(
            "There is no question to reply to: point the global inputs.questions at rows with the key 'question' "
            f"(kedro run --pipeline=inference --params inputs.questions=PATH).{first}"
        )
    ids = Counter(row["question_id"] for row in asked)
    if twice := next((name for name, n in ids.items() if n > 1), None):
        raise ClarilmError(f"The id '{twice}' of inputs.questions occurs {ids[twice]} times. Give each row its own.")
    if refused:
        logger.warning(
            "%d rows of inputs.questions hold no question; the first: %s", len(refused), refused[0]["reason"]
        )
    return table(asked, ASKED), table(refused, WITHOUT_REPLY)


def choose_assistant(
    clarilm_adapter: TrainedAdapter,
    base_model: BaseModelSpec,
    calibrations: dict[str, Any],
    registered_assistant: AssistantSpec | None,
) -> AssistantSpec:
    """Choose who replies: a registered model where one is named, else the ClariLM of this store.

    Args:
        clarilm_adapter: ClariLM after DPO.
        base_model: Its base model.
        calibrations: System -> its fitted threshold.
        registered_assistant: Of the model registry, or None.

    Returns:
        The assistant.

    Raises:
        ClarilmError: None is registered, and the training of this store's ClariLM was skipped.
    """
    if registered_assistant is not None:
        return registered_assistant
    if clarilm_adapter.path is None:
        reason = str(clarilm_adapter.report.get("reason") or "its training was skipped.")
        raise ClarilmError(
            f"There is no ClariLM to reply: {reason} Run `kedro run --pipelines=training,evaluation` with enough rows, "
            "or set the global assistant.model to a registered one."
        )
    return AssistantSpec(base_model, clarilm_adapter.path, threshold_of(CLARILM, calibrations), CLARILM)


def reply_to_questions(
    asked_questions: pd.DataFrame,
    clarilm_adapter: TrainedAdapter,
    base_model: BaseModelSpec,
    calibrations: dict[str, Any],
    registered_assistant: AssistantSpec | None,
    reply_cache: ReplyCache,
    adapter_server: AdapterServer | None,
    options: InferenceOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decide about every question, then ask back or answer.

    Args:
        asked_questions: Columns question_id, question.
        clarilm_adapter: ClariLM after DPO.
        base_model: Its base model.
        calibrations: System -> its fitted threshold.
        registered_assistant: Replies in its place; None where none is named.
        reply_cache: Replies that are there already; each chunk is added as it is done.
        adapter_server: Starts llama.cpp to write the replies; None writes them in this process.
        options: Threshold, lengths, batches.

    Returns:
        ``assistant_replies`` and ``questions_unanswered``; columns in
        :mod:`clarilm_kedro.pipelines.inference.schemas`.
    """
    spec = choose_assistant(clarilm_adapter, base_model, calibrations, registered_assistant)
    # By length, so that a chunk's batches have little padding; by text, so that the order of rows does not matter.
    questions = sorted(set(asked_questions["question"]), key=lambda text: (len(text), text))
    how = _how(spec, options, adapter_server)
    replies = reply_cache.get(how, questions)
    missing = [question for question in questions if question not in replies]
    if missing:
        replies |= _reply(spec, missing, reply_cache, adapter_server, options, how)
    logger.info(
        "%s: %d of %d questions replied to now, the others before; asked back in %d.",
        spec.name,
        len(missing),
        len(questions),
        sum(bool(reply.decision and reply.decision.asks) for reply in replies.values()),
    )
    return _tables(records(asked_questions), replies, spec.name)


def _reply(
    spec: AssistantSpec,
    questions: Sequence[str],
    cache: ReplyCache,
    server: AdapterServer | None,
    options: InferenceOptions,
    how: str,
) -> dict[str, AssistantReply]:
    assistant = Assistant(spec, options)

    def served(prompts: Sequence[Sequence[Message]], asks: Sequence[bool]) -> list[str]:
        assert server is not None
        with server.greedy(spec.base_model, spec.adapter, options.max_new_tokens) as model:
            return served_replies(prompts, asks, model)

    replies: dict[str, AssistantReply] = {}
    with tqdm(total=len(questions), desc="replies", unit="question") as bar:
        for start in range(0, len(questions), options.chunk):
            chunk = questions[start : start + options.chunk]
            said = assistant.reply(chunk, options.threshold, served if server else None)
            done = dict(zip(chunk, said, strict=True))
            cache.put(how, done)
            replies |= done
            bar.update(len(chunk))
    return replies


def _how(spec: AssistantSpec, options: InferenceOptions, server: AdapterServer | None) -> str:
    threshold = spec.threshold if options.threshold is None else options.threshold
    adapter = adapter_digest(spec.adapter) if spec.adapter else ""
    writer = server.options.weights if server else "transformers"
    return stable_id(*identity(spec.base_model).values(), adapter, threshold, options.max_new_tokens, writer)


def _tables(
    asked: Sequence[dict[str, Any]], replies: dict[str, AssistantReply], model: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    done, lacking = [], []
    for row in asked:
        reply = replies[row["question"]]
        if reply.decision is None:
            cut = excerpt(row["question"])
            lacking.append({"question_id": row["question_id"], "reason": reply.error, "excerpt": cut})
            continue
        decision = reply.decision
        said = {"asked": decision.asks, "p_ask": decision.p_ask, "threshold": decision.threshold, "text": reply.text}
        done.append({**row, **said, "model": model})
    if lacking:
        logger.warning("%d questions have no reply; the first: %s", len(lacking), lacking[0]["reason"])
    return table(done, REPLIES), table(lacking, WITHOUT_REPLY)


def _id(row: Record) -> str:
    given = next((row.data[key] for key in _IDS if row.data.get(key) not in (None, "")), None)
    return f"{row.source_file}-{row.position}" if given is None else str(given)
