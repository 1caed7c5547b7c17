"""Nodes that ask chat endpoints for the decision and the text, by a zero-shot prompt (the LLM baselines of Table 2).

``predict_prompted`` keeps every reply and every failure; ``accept_prompted`` makes predictions of them, one per system,
draw and item whatever happened: a call that failed and a reply without a readable decision are rows with ``parsed``
False, which the option ``scoring.unparsed`` gives a meaning.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.chat.logprobs import TokenChoice
from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel, ChatResult
from clarilm_kedro.finetuning.template import DECISION, Reply, parse_completion
from clarilm_kedro.metrics.question_quality import clean_question
from clarilm_kedro.pipelines.evaluation.prediction import predictions
from clarilm_kedro.pipelines.evaluation.schemas import DecodingOptions, PromptedOptions
from clarilm_kedro.pipelines.stages import MADE_BY, ask_each, failed_calls, made_by, rejected, with_rejected
from clarilm_kedro.tables import FAILED, records, table

STAGE = "zero_shot"
FAILED_DATASET = "prompted_predictions_failed"
_WHERE = {"system": "str", "seed": "int64", "benchmark": "str", "item_id": "str"}
#: One reply a row; ``received`` is false where the call failed, ``p_ask`` comes from log-probabilities or is missing.
PROMPTED_REPLIES = {**_WHERE, "received": "bool", "reply": "str", "p_ask": "float64", **MADE_BY}
PROMPTED_FAILED = {**FAILED, **_WHERE}
# Marks that models set a line in; the words are what counts.
_MARKS = re.compile(r"[*_`#]")


def predict_prompted(
    benchmarks: pd.DataFrame,
    zero_shot_prompt: str,
    baseline_llms: dict[str, ChatModel],
    options: DecodingOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask every chat endpoint about every item, once per draw.

    Temperature and top-p are the endpoints' own options, of which the catalog entry gives the common values. Thoughts
    are no part of a reply.

    Args:
        benchmarks: The items.
        zero_shot_prompt: The prompt; takes ``question`` and ``context``.
        baseline_llms: System name to the chat model.
        options: The number of draws; draws of an endpoint differ by their seed.

    Returns:
        One row per system, draw and item (:data:`PROMPTED_REPLIES`), and what failed (:data:`PROMPTED_FAILED`): calls,
        and as ``rejected`` the replies whose decision cannot be read.
    """
    items = {_item_id(row["benchmark"], row["item_id"]): row for row in records(benchmarks)}
    replies: list[dict[str, Any]] = []
    failed: list[pd.DataFrame] = []
    for system, chat_model in baseline_llms.items():
        asked = {
            f"{item}#{seed}": {"system": system, "seed": seed, "benchmark": row["benchmark"], "item_id": row["item_id"]}
            for item, row in items.items()
            for seed in range(options.draws)
        }
        results, failures = ask_each(
            {
                row_id: {name: items[row_id.rpartition("#")[0]][name] for name in ("question", "context")}
                for row_id in asked
            },
            zero_shot_prompt,
            chat_model,
            stage=STAGE,
            sample_index=lambda row_id: int(row_id.rpartition("#")[2]),
            # A decision stands in front: an answer that was cut off is as good as a whole one.
            whole=False,
            logprobs=True,
        )
        replies += [
            {**where, **_reply(results.get(row_id), chat_model, zero_shot_prompt)} for row_id, where in asked.items()
        ]
        unread = [
            rejected(row_id, STAGE, f"The first line is not '{DECISION} Yes' or 'No'.", chat_model.name, result.text)
            for row_id, result in results.items()
            if read_decision(result.text).asks is None
        ]
        lost = with_rejected(failures, unread).sort_values("row_id")
        failed.append(lost.join(pd.DataFrame.from_dict(asked, orient="index"), on="row_id"))
    together = pd.concat(failed) if failed else pd.DataFrame(columns=list(PROMPTED_FAILED))
    return table(replies, PROMPTED_REPLIES), table(records(together), PROMPTED_FAILED)


def accept_prompted(
    prompted_replies: pd.DataFrame, prompted_predictions_failed: pd.DataFrame, options: PromptedOptions
) -> pd.DataFrame:
    """Read decisions and texts, unless too many calls of one system failed.

    P(ask) is that of the log-probabilities where they hold it, else the share of a system's draws that ask, where there
    are several, else missing.

    Args:
        prompted_replies: One reply a row.
        prompted_predictions_failed: Failed calls and unreadable replies.
        options: ``max_failed_share``.

    Returns:
        One prediction per system, draw and item.

    Raises:
        TooManyFailures: More calls of a system failed than the option allows.
    """
    for system, rows in prompted_replies.groupby("system"):
        failures = prompted_predictions_failed[prompted_predictions_failed["system"] == system]
        accept(
            int(rows["received"].sum()),
            failed_calls(failures),
            stage=f"{STAGE} ({system})",
            max_failed_share=options.max_failed_share,
            dataset=FAILED_DATASET,
        )
    replies = [{**row, "read": read_decision(row["reply"])} for row in records(prompted_replies)]
    shares = _ask_shares(replies)
    return predictions(
        {
            **row,
            "text": row["read"].text,
            "asked": bool(row["read"].asks),
            "p_ask": shares.get(_draws_of(row)) if math.isnan(row["p_ask"]) else row["p_ask"],
            "question": clean_question(row["read"].text) if row["read"].asks else "",
            "parsed": row["read"].asks is not None,
            "threshold": None,
        }
        for row in replies
    )


def read_decision(reply: str) -> Reply:
    """Read a chat model's reply as ClariLM's; Markdown in its first line and a full stop after it are forgiven."""
    first, line_break, rest = reply.strip().partition("\n")
    read = parse_completion(_MARKS.sub("", first).strip().removesuffix(".") + line_break + rest)
    return Reply(None, reply.strip()) if read.asks is None else read


def probability_of_asking(tokens: Sequence[TokenChoice] | None) -> float | None:
    """Read P(ask) off a reply's log-probabilities, as :func:`clarilm_kedro.finetuning.decoding.ask_probabilities` does.

    Args:
        tokens: The reply's first tokens. Where thoughts stand in front of it there is nothing to read: what a model
            thinks of a decision after having argued for it is not its probability.

    Returns:
        The probability of Yes among Yes and No where the decision stands; None where it does not stand in front, or
        neither word is among the alternatives.
    """
    written = ""
    for choice in tokens or ():
        token = _MARKS.sub("", choice.token)
        if token.strip() and written.strip().lower() == DECISION.lower():
            found = {"yes": 0.0, "no": 0.0}
            for other, logprob in choice.alternatives.items():
                word = _MARKS.sub("", other).strip().lower()
                if word in found:
                    found[word] += math.exp(min(logprob, 0.0))
            mass = sum(found.values())
            return found["yes"] / mass if mass else None
        written += token
    return None


def _item_id(benchmark: str, item_id: str) -> str:
    return f"{benchmark}/{item_id}"


def _reply(result: ChatResult | None, chat_model: ChatModel, prompt: str) -> dict[str, Any]:
    if result is None:
        nobody = {**dict.fromkeys(MADE_BY, ""), "teacher": chat_model.name}
        return {"received": False, "reply": "", "p_ask": None, **nobody}
    p_ask = probability_of_asking(result.logprobs)
    return {"received": True, "reply": result.text, "p_ask": p_ask, **made_by(chat_model, prompt, result)}


def _draws_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["system"], row["benchmark"], row["item_id"]


def _ask_shares(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], float]:
    """The share of draws that ask, of those whose decision could be read, where there are several."""
    asked: dict[tuple[str, str, str], list[bool]] = {}
    for row in rows:
        if row["read"].asks is not None:
            asked.setdefault(_draws_of(row), []).append(row["read"].asks)
    return {key: sum(draws) / len(draws) for key, draws in asked.items() if len(draws) > 1}
