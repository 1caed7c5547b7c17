"""The examples browser: every item with what each system replied, in one HTML file that needs nothing else.

Texts of users and models lie in the file as JSON and are shown through ``textContent`` alone, so they are never markup
(:mod:`clarilm_kedro.metrics.inline_page` says what else keeps them from acting).
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup
from pydantic import Field

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.benchmarks.shape import take_stratified
from clarilm_kedro.metrics.curves import lowest_seed
from clarilm_kedro.metrics.inline_page import csp_hash, json_in_html, packaged, render
from clarilm_kedro.metrics.judging.outcomes import STRICT, combine
from clarilm_kedro.metrics.judging.verdicts import outcome_of
from clarilm_kedro.metrics.outcomes import BENCHMARKS, SYSTEMS, ordered
from clarilm_kedro.metrics.table import TITLES
from clarilm_kedro.options import Options
from clarilm_kedro.tables import records

SCORE_NAMES = {
    "token_f1": "Token F1",
    "token_precision": "precision",
    "token_recall": "recall",
    "bertscore_f1": "BERTScore F1",
    "token_f1_text": "Token F1 of any text",
    "bertscore_f1_text": "BERTScore F1 of any text",
    "facet_recall_exact": "facets asked for, by words",
    "facet_recall_cosine": "facets asked for, by sense",
}
#: Columns of judgements that are read. In ``order`` 1 the reply of ``system`` was shown as A, in order 2 as B;
#: ``verdict`` is ``A``, ``B``, ``tie``, ``identical`` (nobody was asked) or ``invalid`` (it could not be read).
JUDGEMENT_COLUMNS = ("benchmark", "item_id", "system", "other", "judge", "order", "verdict", "reason")


class BrowserOptions(Options):
    """What the browser holds."""

    title: str = Field(default="ClariLM: examples", description="Heading of the page.")
    system: str = Field(default="clarilm", description="The system whose outcomes are filtered at first.")
    max_items: int = Field(
        default=4000, ge=1, description="Items per benchmark, drawn by hash within each label; the page says so."
    )
    page_size: int = Field(default=50, ge=1, description="Items per page of the list.")
    seed: int = Field(default=7, description="Seed of the draw.")


def no_judgements() -> pd.DataFrame:
    """Give the table of judgements of a run without a judge."""
    return pd.DataFrame(columns=list(JUDGEMENT_COLUMNS))


def build_browser(
    *,
    benchmarks: pd.DataFrame,
    predictions: pd.DataFrame,
    row_scores: pd.DataFrame,
    judgements: pd.DataFrame,
    options: BrowserOptions,
) -> str:
    """Write the page; with several seeds it shows each system's lowest.

    Args:
        benchmarks: The items, with references, facets, thought.
        predictions: One row per system and item.
        row_scores: Their scores, every metric of which is shown; ``correct`` also says what an unparsed reply counts
            as.
        judgements: One row per item, pair of systems, judge and order (:data:`JUDGEMENT_COLUMNS`); may be empty.
        options: Title and size.

    Returns:
        A complete HTML document.
    """
    data = browser_data(benchmarks, predictions, row_scores, judgements, options)
    script, style = packaged("browser.js"), packaged("browser.css")
    return render(
        "browser.html.jinja",
        title=options.title,
        data=json_in_html(data),
        script=Markup(script),
        style=Markup(style),
        script_hash=Markup(csp_hash(script)),
        style_hash=Markup(csp_hash(style)),
    )


def browser_data(
    benchmarks: pd.DataFrame,
    predictions: pd.DataFrame,
    row_scores: pd.DataFrame,
    judgements: pd.DataFrame,
    options: BrowserOptions,
) -> dict[str, Any]:
    """Put everything that the page shows into what JSON can hold; arguments as for :func:`build_browser`.

    Returns:
        ``system`` (the one chosen at first), ``systems`` (language models first, then bars) with ``models`` (how many
        of them are language models), ``benchmarks`` (name, title, items held, items in all), ``scores`` (metric ->
        printed name), ``pageSize`` and ``items``. An item has its own fields and ``replies``, one per system or null,
        and ``verdicts``.
    """
    names = ordered([str(name) for name in benchmarks["benchmark"]], BENCHMARKS)
    whole = {name: benchmarks[benchmarks["benchmark"] == name] for name in names}
    held = {name: take_stratified(items, options.max_items, options.seed) for name, items in whole.items()}
    known = ordered([str(name) for name in predictions["system"]], SYSTEMS)
    models = [name for name in known if name not in BARS]
    systems = [*models, *(name for name in known if name in BARS)]
    replies = _replies(predictions, row_scores)
    verdicts = _verdicts(judgements)
    metrics = [name for name in row_scores["metric"].unique() if name != "correct"]
    return {
        "system": options.system if options.system in systems else (models or systems or [""])[-1],
        "systems": systems,
        "models": len(models),
        "benchmarks": [
            {"name": name, "title": TITLES.get(name, name), "held": len(held[name]), "all": len(whole[name])}
            for name in names
        ],
        "scores": {name: SCORE_NAMES.get(name, name.replace("_", " ")) for name in metrics},
        "pageSize": options.page_size,
        "items": [
            {
                "benchmark": name,
                "id": row["item_id"],
                "question": row["question"],
                "context": row["context"],
                "needs": bool(row["needs_clarification"]),
                "references": list(row["references"]),
                "importances": [int(each) for each in row["importances"]],
                "facets": list(row["facets"]),
                "thought": row["thought"],
                "category": row["category"],
                "subclass": row["subclass"],
                "replies": [replies.get((name, row["item_id"], system)) for system in systems],
                "verdicts": verdicts.get((name, row["item_id"]), []),
            }
            for name in names
            for row in records(held[name])
        ],
    }


def _replies(predictions: pd.DataFrame, row_scores: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By benchmark, item and system: the reply, its outcome and its scores."""
    scores: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    outcomes: dict[tuple[str, str, str], str] = {}
    for row in records(lowest_seed(row_scores)):
        key = (row["benchmark"], row["item_id"], row["system"])
        if row["metric"] == "correct":
            outcomes[key] = _outcome(row)
        elif not pd.isna(row["value"]):
            scores[key][row["metric"]] = round(row["value"], 4)
    return {
        (row["benchmark"], row["item_id"], row["system"]): {
            "asked": bool(row["asked"]),
            "outcome": outcomes.get((row["benchmark"], row["item_id"], row["system"]), ""),
            "parsed": bool(row["parsed"]),
            "pAsk": _number(row["p_ask"]),
            "threshold": _number(row["threshold"]),
            "text": row["text"],
            "scores": scores.get((row["benchmark"], row["item_id"], row["system"]), {}),
        }
        for row in records(lowest_seed(predictions))
    }


def _outcome(row: Mapping[str, Any]) -> str:
    if pd.isna(row["value"]):
        return "dropped"
    if row["asked"]:
        return "tp" if row["needs_clarification"] else "fp"
    return "fn" if row["needs_clarification"] else "tn"


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else round(float(value), 4)


def _verdicts(judgements: pd.DataFrame) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """By benchmark and item: every pair's verdicts with what they come to."""
    pairs: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in records(judgements):
        key = tuple(str(row[name]) for name in ("benchmark", "item_id", "system", "other", "judge"))
        seen = outcome_of(row["verdict"], row["order"])
        pairs[key].append({"order": int(row["order"]), "verdict": seen, "reason": str(row["reason"])})
    by_item: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for (benchmark, item, system, other, judge), orders in sorted(pairs.items()):
        orders.sort(key=lambda each: each["order"])
        seen_in = {each["order"]: each["verdict"] for each in orders}
        verdict = combine(seen_in.get(1, ""), seen_in.get(2, ""), STRICT)
        by_item[benchmark, item].append(
            {"system": system, "other": other, "judge": judge, "verdict": verdict, "orders": orders}
        )
    return by_item
