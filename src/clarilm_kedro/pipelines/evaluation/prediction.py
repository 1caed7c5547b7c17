"""What each system replies to each benchmark item (columns: ``metrics.scoring.PREDICTION_COLUMNS``)."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from clarilm_kedro.finetuning.adapter_server import AdapterServer
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.calibration import DEFAULT_THRESHOLD, fit_threshold
from clarilm_kedro.finetuning.decoder import Draw
from clarilm_kedro.finetuning.decoding import ask_probabilities_of, replies_given_decision
from clarilm_kedro.finetuning.template import Message, clarification_prompt
from clarilm_kedro.metrics.baselines import (
    ALWAYS_ASK,
    ECHO,
    NEVER_ASK,
    RANDOM,
    TF_IDF,
    BaselineOptions,
    coin_asks,
    fit_tf_idf,
)
from clarilm_kedro.metrics.question_quality import clean_question
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS
from clarilm_kedro.pipelines.evaluation.schemas import DecodingOptions
from clarilm_kedro.pipelines.evaluation.serving import served_replies
from clarilm_kedro.tables import table
from clarilm_kedro.text.hashing import stable_unit

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decisions:
    """What one system decided on all items, in their order.

    Attributes:
        system: Name of the system.
        asks: Whether it asks.
        p_ask: Probability of asking, where the system has one.
        threshold: What the probability was held against, where it was.
        seed: Of the draw, where replies are drawn; 0 where they are greedy or need no drawing.
    """

    system: str
    asks: Sequence[bool]
    p_ask: Sequence[float | None]
    threshold: float | None = None
    seed: int = 0


def predict_with_model(
    *,
    system: str,
    base_model: BaseModelSpec,
    adapter: Path | None,
    threshold: float,
    benchmarks: pd.DataFrame,
    options: DecodingOptions,
    adapter_server: AdapterServer | None = None,
    prompts: Sequence[Sequence[Message]] | None = None,
) -> pd.DataFrame:
    """Decide by P(ask), then generate the reply with that decision forced.

    Greedy decoding alone gives degenerate decisions (a small model asks always or never), hence the threshold fitted on
    the validation split. P(ask) is computed in this process also where a server generates, because the threshold was
    fitted on numbers computed so.

    Args:
        system: Name of the system.
        base_model: The base model.
        adapter: Folder of its LoRA adapter; None uses the base model as it is.
        threshold: The system asks where P(ask) is at least this, unless decisions are drawn.
        benchmarks: The items.
        options: Lengths, batch size, temperature and draws.
        adapter_server: Starts llama.cpp on the adapter to generate the replies; None generates in this process.
        prompts: Per item the chat messages before the reply; None puts the questions as ClariLM learnt them.

    Returns:
        One prediction per item and draw.
    """
    if benchmarks.empty:
        return predictions([])
    started = perf_counter()
    prompts = prompts or [clarification_prompt(question) for question in benchmarks["question"]]
    p_ask = [float(p) for p in ask_probabilities_of(base_model, adapter, prompts, options.batch_size)]
    draws = [_decide(system, benchmarks, p_ask, threshold, options, seed) for seed in range(options.draws)]
    # All draws at once: the weights are loaded, or the server started, for each call.
    texts = _replies(
        base_model,
        adapter,
        [*prompts] * len(draws),
        [asks for decided in draws for asks in decided.asks],
        [decided.seed for decided in draws for _ in decided.asks],
        options,
        adapter_server,
    )
    said = iter(texts)
    rows = [row for decided in draws for row in _rows(benchmarks, decided, [next(said) for _ in decided.asks])]
    frame = predictions(rows)
    seconds, asked = perf_counter() - started, int(frame["asked"].sum())
    logger.info("%s: %d replies in %.1f s, asked in %d of them.", system, len(frame), seconds, asked)
    return frame


def drawn_to_ask(p_ask: float, options: DecodingOptions, seed: int, *key: object) -> bool:
    """Draw a decision from P(ask) as its token would be drawn, by a hash of seed and key.

    With temperature T the probability of asking is p^(1/T) / (p^(1/T) + (1 - p)^(1/T)). Where the likelier of the two
    decisions holds top_p of that mass, nothing else is drawn from, as with nucleus sampling over both tokens.

    Args:
        p_ask: Probability of asking at temperature 1.
        options: Temperature and top-p; temperature 0 asks where P(ask) is at least 1/2.
        seed: Of the draw.
        *key: What identifies the system and the item.

    Returns:
        Whether the system asks.
    """
    if options.temperature == 0 or p_ask in (0.0, 1.0):
        return p_ask >= 0.5
    # The logistic of log-odds over T; larger exponents are 0 or 1 in any case.
    odds = (math.log1p(-p_ask) - math.log(p_ask)) / options.temperature
    tempered = 1 / (1 + math.exp(min(max(odds, -700.0), 700.0)))
    if max(tempered, 1 - tempered) >= options.top_p:
        return tempered >= 0.5
    return stable_unit(seed, *key) < tempered


def predict_bars(
    benchmarks: pd.DataFrame, sft_train: pd.DataFrame, validation: pd.DataFrame, options: BaselineOptions
) -> pd.DataFrame:
    """Predict with the bars. Those that ask put the same generic question, echo the user's own; an answer is empty.

    Args:
        benchmarks: The items.
        sft_train: Training rows (question, asks): they set the coin's rate, 1/2 without rows, and train TF-IDF.
        validation: Rows never trained on: they fit the threshold of TF-IDF.
        options: The generic question, regularisation, seed.

    Returns:
        Predictions of always-ask, never-ask, random, echo and, where the training rows hold both labels, tf-idf.
    """
    n = len(benchmarks)
    rate = float(sft_train["asks"].mean()) if len(sft_train) else 0.5
    keys = zip(benchmarks["benchmark"], benchmarks["item_id"], strict=True)
    decided = [
        Decisions(ALWAYS_ASK, [True] * n, [None] * n),
        Decisions(NEVER_ASK, [False] * n, [None] * n),
        Decisions(ECHO, [True] * n, [None] * n),
        Decisions(RANDOM, [coin_asks(rate, options.seed, *key) for key in keys], [rate] * n),
    ]
    model = fit_tf_idf(list(sft_train["question"]), list(sft_train["asks"]), options)
    if model is not None:
        fitted = fit_threshold(model.ask_probabilities(list(validation["question"])), list(validation["asks"]))
        p_ask = [float(p) for p in model.ask_probabilities(list(benchmarks["question"]))]
        decided.append(Decisions(TF_IDF, [p >= fitted.threshold for p in p_ask], p_ask, fitted.threshold))
    return predictions(
        row
        for each in decided
        for row in _rows(benchmarks, each, _bar_texts(each, list(benchmarks["question"]), options))
    )


def _bar_texts(decided: Decisions, questions: Sequence[str], options: BaselineOptions) -> list[str]:
    asked = questions if decided.system == ECHO else [options.generic_question] * len(questions)
    return [text if asks else "" for text, asks in zip(asked, decided.asks, strict=True)]


def predictions(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Build a table of predictions, typed also when it is empty, ordered by benchmark, system, seed and item."""
    frame = table(rows, PREDICTION_COLUMNS)
    return frame.sort_values(["benchmark", "system", "seed", "item_id"], ignore_index=True)


def threshold_of(system: str, calibrations: Mapping[str, Mapping[str, Any]]) -> float:
    """Read a system's fitted threshold; 0.5 where none was fitted.

    Args:
        system: Name of the system.
        calibrations: System -> its calibration, as :class:`clarilm_kedro.finetuning.calibration.Calibration` in JSON.
    """
    threshold = calibrations.get(system, {}).get("threshold")
    return DEFAULT_THRESHOLD if threshold is None else float(threshold)


def _decide(
    system: str,
    benchmarks: pd.DataFrame,
    p_ask: Sequence[float],
    threshold: float,
    options: DecodingOptions,
    seed: int,
) -> Decisions:
    if options.decision == "threshold":
        return Decisions(system, [p >= threshold for p in p_ask], p_ask, threshold, seed)
    items = zip(p_ask, benchmarks["benchmark"], benchmarks["item_id"], strict=True)
    return Decisions(system, [drawn_to_ask(p, options, seed, system, *key) for p, *key in items], p_ask, seed=seed)


def _replies(
    base_model: BaseModelSpec,
    adapter: Path | None,
    prompts: Sequence[Sequence[Message]],
    asks: Sequence[bool],
    seeds: Sequence[int],
    options: DecodingOptions,
    adapter_server: AdapterServer | None,
) -> list[str]:
    temperature, top_p, most = options.temperature, options.top_p, options.max_new_tokens
    if adapter_server is not None:
        serving = (
            adapter_server.drawing(base_model, adapter, most, temperature=temperature, top_p=top_p)
            if temperature
            else adapter_server.greedy(base_model, adapter, most)
        )
        with serving as model:
            return served_replies(prompts, asks, model, seeds=seeds)
    return replies_given_decision(
        base_model,
        adapter,
        prompts,
        asks,
        max_new_tokens=most,
        batch_size=options.batch_size,
        draw=Draw(temperature, top_p, seeds) if temperature else None,
    )


def _rows(benchmarks: pd.DataFrame, decided: Decisions, texts: Sequence[str]) -> list[dict[str, Any]]:
    items = zip(benchmarks["benchmark"], benchmarks["item_id"], decided.asks, decided.p_ask, texts, strict=True)
    return [
        {
            "benchmark": benchmark,
            "system": decided.system,
            "seed": decided.seed,
            "item_id": item_id,
            "text": text,
            "asked": asked,
            "p_ask": p_ask,
            "question": clean_question(text) if asked else "",
            "parsed": True,
            "threshold": decided.threshold,
        }
        for benchmark, item_id, asked, p_ask, text in items
    ]
