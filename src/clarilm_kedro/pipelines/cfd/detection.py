"""Nodes that detect the facets of a question with FM-LOG and FM-LLM (paper, sections 3.2.3 and 3.2.4)."""

import json
from typing import Any

import pandas as pd

from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel
from clarilm_kedro.finetuning.adapter_server import AdapterServer
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoder import Generation
from clarilm_kedro.finetuning.fm_log import OUTCOMES, draw, read_generations
from clarilm_kedro.finetuning.jobs import adapter_digest
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.pipelines.cfd.extraction import facet_complaint
from clarilm_kedro.pipelines.cfd.schemas import (
    CANDIDATES,
    FACET_REPLIES,
    FM_LOG_GENERATIONS,
    LOG_FACET_REPLIES,
    DetectionOptions,
    ListedFacets,
)
from clarilm_kedro.pipelines.cfd.serving import draw_from_endpoint
from clarilm_kedro.pipelines.stages import MADE_BY, ask_each, failed_calls, made_by, rejected, with_rejected
from clarilm_kedro.tables import FAILED, records, table
from clarilm_kedro.text.normalise import normalise_facet

#: Columns of a candidate that only the other source fills.
_NOT_OF_LOG = {"teacher": None, "prompt_sha": None}
_NOT_OF_LLM = {"model": None, "adapter_sha": None, "seed": None}


def detect_log_facets(
    questions: pd.DataFrame,
    fm_log_adapter: TrainedAdapter,
    base_model: BaseModelSpec,
    fm_log_server: ChatModel | None,
    options: DetectionOptions,
    adapter_server: AdapterServer | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw k generations per question from FM-LOG (section 3.2.3, Eq. 3), in this process or from a server.

    Args:
        questions: Columns question_id, question.
        fm_log_adapter: FM-LOG; where its training was skipped and nothing is served there are no generations.
        base_model: The base model it was trained on.
        fm_log_server: An endpoint that serves FM-LOG; None decodes on this machine.
        options: Sampling options.
        adapter_server: Starts llama.cpp on FM-LOG's adapter; None decodes in this process.

    Returns:
        One row per generation, as drawn; and the calls that failed.

    Raises:
        ClarilmError: Beam search is asked of an endpoint.
    """
    texts = {row["question_id"]: row["question"] for row in records(questions)}
    cut = {row_id: text[: options.question_chars] for row_id, text in texts.items()}
    wanted = sorted(set(cut.values()))  # equal questions get equal facets, however often they are asked
    if fm_log_server is not None:
        drawn, failures = draw_from_endpoint(wanted, fm_log_server, options)
        origin = {"model": fm_log_server.name, "adapter_sha": None, "seed": options.seed}
    elif fm_log_adapter.path is not None:
        if adapter_server is not None:
            with adapter_server.sampling(base_model, fm_log_adapter.path, options) as model:
                drawn, failures = draw_from_endpoint(wanted, model, options)
        else:
            found = draw(base_model, fm_log_adapter.path, wanted, options)
            drawn = {text: [(each, None) for each in row] for text, row in zip(wanted, found, strict=True)}
            failures = table([], FAILED)
        digest = adapter_digest(fm_log_adapter.path)
        origin = {"model": f"fm-log on {base_model.source}", "adapter_sha": digest, "seed": options.seed}
    else:
        return table([], LOG_FACET_REPLIES), table([], FAILED)
    rows = [
        {
            **origin,
            "question_id": row_id,
            "question": texts[row_id],
            "sample": sample,
            "text": generation.text,
            "finished": generation.finished,
            "request_key": key,
        }
        for row_id in sorted(texts)
        for sample, (generation, key) in enumerate(drawn[cut[row_id]])
    ]
    return table(rows, LOG_FACET_REPLIES), failures


def accept_log_facets(
    log_facet_replies: pd.DataFrame, log_facets_failed: pd.DataFrame, options: DetectionOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read FM-LOG's generations, identical facets of a question once, unless too many calls failed.

    Args:
        log_facet_replies: One row per generation.
        log_facets_failed: Calls that failed.
        options: ``max_failed_share`` and the longest facet.

    Returns:
        Candidates in the order they were drawn, source ``log``; and what became of the generations, one row: drawn =
        kept + repeated + malformed + unfinished + too_long.

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    accept(
        len(log_facet_replies),
        log_facets_failed,
        stage="fm_log",
        max_failed_share=options.max_failed_share,
        dataset="log_facets_failed",
    )
    drawn: dict[str, list[dict[str, Any]]] = {}
    for row in records(log_facet_replies):
        drawn.setdefault(row["question_id"], []).append(row)
    counts = dict.fromkeys(OUTCOMES, 0)
    candidates = []
    for rows in drawn.values():
        generations = [Generation(row["text"], row["finished"]) for row in rows]
        found, outcomes = read_generations(generations, options.facet_words)
        for outcome in outcomes:
            counts[outcome] += 1
        candidates += [
            {**rows[each.sample], **_NOT_OF_LOG, **each._asdict(), "source": "log", "rank": rank}
            for rank, each in enumerate(found)
        ]
    total = {"model": "fm_log", "questions": len(drawn), "drawn": len(log_facet_replies), **counts}
    return table(candidates, CANDIDATES), table([total], FM_LOG_GENERATIONS)


def list_llm_facets(
    questions: pd.DataFrame, facets_prompt: str, chat_llm: ChatModel, options: DetectionOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Let FM-LLM name as many facets as it can, each with its clarifying question (section 3.2.4, Eq. 4).

    Args:
        questions: Columns question_id, question.
        facets_prompt: The FM-LLM prompt.
        chat_llm: The strong chat model.
        options: Limits on length and number.

    Returns:
        One row per question with its facets in the order named (JSON), and the failed calls and rejected facets.
    """
    texts = {row["question_id"]: row["question"] for row in records(questions)}
    prompts = {row_id: {"question": text[: options.question_chars]} for row_id, text in texts.items()}
    results, failures = ask_each(prompts, facets_prompt, chat_llm, stage="facets", reply=ListedFacets)
    rows, refused = [], []
    for row_id, result in results.items():
        kept: dict[str, dict[str, str]] = {}
        for item in result.parsed.facets:
            reason = facet_complaint(item.facet, item.clarifying_question, options.facet_words)
            if reason:
                refused.append(rejected(row_id, "facets", reason, chat_llm.name, item.model_dump_json()))
            elif len(kept) < options.max_facets:
                kept.setdefault(normalise_facet(item.facet), item.model_dump())
        origin = made_by(chat_llm, facets_prompt, result)
        listed = json.dumps(list(kept.values()))
        rows.append({**origin, "question_id": row_id, "question": texts[row_id], "facets": listed})
    return table(rows, FACET_REPLIES, sort_by="question_id"), with_rejected(failures, refused)


def accept_llm_facets(
    llm_facet_replies: pd.DataFrame, llm_facets_failed: pd.DataFrame, options: DetectionOptions
) -> pd.DataFrame:
    """Accept FM-LLM's lists unless too many calls failed.

    Args:
        llm_facet_replies: One row per question.
        llm_facets_failed: Failed calls and rejected facets.
        options: ``max_failed_share``.

    Returns:
        Candidates in the order the model named them, source ``llm``.

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    calls = failed_calls(llm_facets_failed)
    accept(
        len(llm_facet_replies),
        calls,
        stage="facets",
        max_failed_share=options.max_failed_share,
        dataset="llm_facets_failed",
    )
    rows = [
        {
            **{name: reply[name] for name in ("question_id", "question", *MADE_BY)},
            **_NOT_OF_LLM,
            **item,
            "rank": rank,
            "source": "llm",
        }
        for reply in records(llm_facet_replies)
        for rank, item in enumerate(json.loads(reply["facets"]))
    ]
    return table(rows, CANDIDATES)
