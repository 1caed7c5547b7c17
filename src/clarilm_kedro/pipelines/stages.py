"""What every stage that asks a chat model has in common."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import pandas as pd
from pydantic import BaseModel

from clarilm_kedro.chat.prompts import PromptTemplate, neutralise
from clarilm_kedro.chat.stage import ask
from clarilm_kedro.chat.types import ChatModel, ChatRequest, ChatResult, Message, ResponseSchema, Role
from clarilm_kedro.tables import FAILED, table


def ask_each(
    data: Mapping[str, Mapping[str, Any]],
    prompt: str,
    chat_model: ChatModel,
    *,
    stage: str,
    reply: type[BaseModel] | Callable[[str], type[BaseModel]] | None = None,
    sample_index: Callable[[str], int] = lambda _: 0,
    whole: bool = True,
    logprobs: bool = False,
) -> tuple[dict[str, ChatResult], pd.DataFrame]:
    """Render one prompt per row and ask a chat model.

    Args:
        data: Row id to the values the prompt template names.
        prompt: Text of the prompt template.
        chat_model: Who is asked.
        stage: Name of the stage; also names the reply's JSON schema.
        reply: Shape of a JSON reply, or what gives it for a row id; without one the reply is plain text.
        sample_index: Gives the number of the sample for a row id, where one prompt is asked several times.
        whole: Whether a reply that was cut off is none; see :class:`~clarilm_kedro.chat.types.ChatRequest`.
        logprobs: Whether log-probabilities are wanted; likewise.

    Returns:
        The accepted results by row id, and the failures (columns of :data:`clarilm_kedro.tables.FAILED`).
    """
    template = PromptTemplate.from_text(stage, prompt)
    requests = [
        ChatRequest(
            row_id,
            template.render(**values),
            _shape(stage, reply, row_id),
            sample_index(row_id),
            whole=whole,
            logprobs=logprobs,
            prompt_sha=prompt_hash(prompt),
        )
        for row_id, values in sorted(data.items())
    ]
    return ask(requests, chat_model, stage=stage)


def as_messages(prompt: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    """Give the prompt of a trained model as chat messages; control tokens inside contents are broken.

    Args:
        prompt: Role and content, from :mod:`clarilm_kedro.finetuning.template`.

    Returns:
        The messages of a request.
    """
    return tuple(Message(cast(Role, each["role"]), neutralise(each["content"])) for each in prompt)


def _shape(
    stage: str, reply: type[BaseModel] | Callable[[str], type[BaseModel]] | None, row_id: str
) -> ResponseSchema | None:
    if reply is None:
        return None
    return ResponseSchema(stage, reply if isinstance(reply, type) else reply(row_id))


#: Columns that lead a row back to who made it: the model, the prompt template and the stored reply.
MADE_BY = {"teacher": "str", "prompt_sha": "str", "request_key": "str"}


def made_by(chat_model: ChatModel, prompt: str, result: ChatResult) -> dict[str, str]:
    """Say who made a row.

    Args:
        chat_model: Who was asked.
        prompt: Text of the prompt template.
        result: The reply.

    Returns:
        The columns of :data:`MADE_BY`: name of the model, SHA-256 of the template, key of the reply in the store.
    """
    return {
        "teacher": chat_model.name,
        "prompt_sha": prompt_hash(prompt),
        "request_key": result.key,
    }


@lru_cache(maxsize=32)
def prompt_hash(prompt: str) -> str:
    """Give the SHA-256 of a prompt template's text."""
    return PromptTemplate.from_text("prompt", prompt).sha256


def rejected(row_id: str, stage: str, reason: str, model: str, excerpt: str) -> dict[str, Any]:
    """Describe a reply that came but does not hold what was asked for, as a row of a ``*_failed`` table."""
    return {
        "row_id": row_id,
        "stage": stage,
        "kind": "rejected",
        "error": reason,
        "attempts": 1,
        "cost_usd": None,
        "model": model,
        "excerpt": excerpt[:500],
    }


def with_rejected(failures: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Add rejected replies to a stage's failed calls."""
    return pd.concat([failures, table(rows, FAILED)], ignore_index=True) if rows else failures


def failed_calls(failures: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows for which no reply was had at all; they count against ``max_failed_share``."""
    return failures[failures["kind"] != "rejected"]
