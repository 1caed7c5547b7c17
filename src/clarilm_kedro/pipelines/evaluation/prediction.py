"""What each system replies to each benchmark item (columns: ``metrics.scoring.PREDICTION_COLUMNS``)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from clarilm_kedro.finetuning.adapter_server import AdapterServer
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.calibration import DEFAULT_THRESHOLD, fit_threshold
from clarilm_kedro.finetuning.decoding import ask_probabilities, reply_given_decision
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
) -> pd.DataFrame:
    """Decide by P(ask) against a threshold, then generate the reply with that decision forced.

    Greedy decoding alone gives degenerate decisions (a small model asks always or never), hence the threshold fitted on
    the validation split. P(ask) is computed in this process also where a server generates, because the threshold was
    fitted on numbers computed so.

    Args:
        system: Name of the system.
        base_model: The base model.
        adapter: Folder of its LoRA adapter; None uses the base model as it is.
        threshold: The system asks where P(ask) is at least this.
        benchmarks: The items.
        options: Lengths and batch size.
        adapter_server: Starts llama.cpp on the adapter to generate the replies; None generates in this process.

    Returns:
        One prediction per item.
    """
    if benchmarks.empty:
        return predictions([])
    started = perf_counter()
    questions = list(benchmarks["question"])
    p_ask = [float(p) for p in ask_probabilities(base_model, adapter, questions, options.batch_size)]
    asks = [p >= threshold for p in p_ask]
    if adapter_server is not None:
        with adapter_server.greedy(base_model, adapter, options.max_new_tokens) as model:
            texts = served_replies(questions, asks, model)
    else:
        texts = reply_given_decision(
            base_model, adapter, questions, asks, max_new_tokens=options.max_new_tokens, batch_size=options.batch_size
        )
    seconds = perf_counter() - started
    logger.info("%s: %d replies in %.1f s, asked %d of them.", system, len(texts), seconds, sum(asks))
    return predictions(_rows(benchmarks, Decisions(system, asks, p_ask, threshold), texts))


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
