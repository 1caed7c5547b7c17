"""Which replies are judged against each other.

The same items are drawn for every opponent of a benchmark, so that their results can be compared item by item. They
are drawn within strata of gold label and subclass, so that a hundred of CLAMBER hold its classes as the whole does.
"""

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.options import Options
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_id, stable_order

logger = logging.getLogger(__name__)

#: One row per benchmark, item and opponent. ``text_*`` is the question where the system asked, else its reply;
#: ``identical`` says that the two replies are the same but for case and white space.
PAIRS = {
    "pair_id": "str",
    "benchmark": "str",
    "item_id": "str",
    "system": "str",
    "other": "str",
    "context": "str",
    "question": "str",
    "text_system": "str",
    "text_other": "str",
    "asked_system": "bool",
    "asked_other": "bool",
    "identical": "bool",
    "needs_clarification": "bool",
    "references": "object",
    "facets": "object",
    "category": "str",
    "subclass": "str",
}


class DrawOptions(Options):
    """Who is judged against whom, on how many items."""

    system: str = Field(default="clarilm", description="The system that is judged against every other one.")
    others: tuple[str, ...] | None = Field(
        default=None, description="Its opponents; null takes every system that has predictions and is no bar."
    )
    benchmarks: tuple[str, ...] | None = Field(default=None, description="Benchmarks; null takes all that have items.")
    items: int | None = Field(
        default=100, ge=1, description="Items per benchmark, drawn within label and subclass; null takes all."
    )
    seed: int = Field(default=7, description="Seed of the draw.")


def draw_pairs(benchmarks: pd.DataFrame, predictions: pd.DataFrame, options: DrawOptions) -> pd.DataFrame:
    """Draw items and pair the system's reply to each with that of every opponent.

    Of several draws of a system those with the lowest seed count, which are the greedy ones where there are any.

    Args:
        benchmarks: The items (columns in :mod:`clarilm_kedro.metrics.benchmarks.shape`).
        predictions: Replies (:data:`clarilm_kedro.metrics.scoring.PREDICTION_COLUMNS`).
        options: The systems and the sizes.

    Returns:
        Columns of :data:`PAIRS`, ordered by benchmark, opponent and item; no rows without predictions. The id of a pair
        depends on both texts, so that a judgement of other texts is never taken for one of these.

    Raises:
        ClarilmError: A system or a benchmark that the options name has no predictions or no items.
    """
    said = _replies(predictions)
    _check_names(benchmarks, said, options)
    rows = []
    for benchmark, items in _by_benchmark(benchmarks, options):
        systems = sorted(system for name, system in said if name == benchmark)
        if options.system not in systems:
            continue
        others = [
            name
            for name in (systems if options.others is None else options.others)
            if name in systems and name != options.system and (options.others is not None or name not in BARS)
        ]
        replies = {name: said[benchmark, name] for name in (options.system, *others)}
        complete = [item for item in items if all(item["item_id"] in each for each in replies.values())]
        if len(complete) < len(items):
            logger.warning(
                "%s: %d of %d items have no reply of some system and cannot be drawn.",
                benchmark,
                len(items) - len(complete),
                len(items),
            )
        drawn = draw_items(complete, options.items, options.seed)
        rows += [_pair(item, options.system, other, replies) for other in others for item in drawn]
    return table(rows, PAIRS)


def draw_items(items: Sequence[Mapping[str, Any]], limit: int | None, seed: int) -> list[Mapping[str, Any]]:
    """Draw items so that every stratum of label and subclass has its share (largest remainders).

    Args:
        items: Rows with item_id, needs_clarification and subclass.
        limit: How many; None takes all.
        seed: The project's seed.

    Returns:
        The drawn items by item id; within a stratum those with the smallest hash of seed and id.
    """
    if limit is None or limit >= len(items):
        return sorted(items, key=lambda item: item["item_id"])
    strata: dict[tuple[bool, str], list[Mapping[str, Any]]] = {}
    for item in items:
        strata.setdefault((bool(item["needs_clarification"]), str(item["subclass"])), []).append(item)
    quotas = {key: limit * len(members) / len(items) for key, members in strata.items()}
    counts = {key: int(quota) for key, quota in quotas.items()}
    # Of equal remainders the first in the order of the keys, so that the order of rows cannot matter.
    by_remainder = sorted(strata, key=lambda key: (counts[key] - quotas[key], key))
    for key in by_remainder[: limit - sum(counts.values())]:
        counts[key] += 1
    drawn = [
        item
        for key, members in strata.items()
        for item in stable_order(members, seed, lambda item: item["item_id"])[: counts[key]]
    ]
    return sorted(drawn, key=lambda item: item["item_id"])


def same_reply(one: str, other: str) -> bool:
    """Whether two replies are the same but for case, width of characters and white space.

    Punctuation counts: "-5" and "5" are two answers.
    """
    return _folded(one) == _folded(other)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _replies(predictions: pd.DataFrame) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    """(benchmark, system) -> item id -> its reply, of the lowest seed."""
    by_system: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in sorted(records(predictions), key=lambda row: row["seed"], reverse=True):
        by_system.setdefault((row["benchmark"], row["system"]), {})[row["item_id"]] = row
    return by_system


def _check_names(
    benchmarks: pd.DataFrame, said: Mapping[tuple[str, str], Mapping[str, Any]], options: DrawOptions
) -> None:
    systems = {system for _, system in said}
    if not systems:
        return
    missing = sorted({options.system, *(options.others or ())} - systems)
    if missing:
        raise ClarilmError(
            f"There are no predictions of {', '.join(missing)}, which judge.draw names. Systems with predictions: "
            f"{', '.join(sorted(systems))}."
        )
    known = set(benchmarks["benchmark"])
    if unknown := sorted(set(options.benchmarks or ()) - known):
        raise ClarilmError(
            f"There are no items of {', '.join(unknown)}, which judge.draw.benchmarks names. Benchmarks with items: "
            f"{', '.join(sorted(known))}."
        )


def _by_benchmark(benchmarks: pd.DataFrame, options: DrawOptions) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in records(benchmarks):
        if options.benchmarks is None or item["benchmark"] in options.benchmarks:
            groups.setdefault(item["benchmark"], []).append(item)
    return sorted(groups.items())


def _pair(
    item: Mapping[str, Any], system: str, other: str, replies: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    ours, theirs = (replies[name][item["item_id"]] for name in (system, other))
    texts = [str(reply["question"] if reply["asked"] else reply["text"]).strip() for reply in (ours, theirs)]
    return {
        **item,
        "pair_id": stable_id(item["benchmark"], item["item_id"], system, other, *texts),
        "system": system,
        "other": other,
        "text_system": texts[0],
        "text_other": texts[1],
        "asked_system": ours["asked"],
        "asked_other": theirs["asked"],
        "identical": same_reply(*texts),
    }
