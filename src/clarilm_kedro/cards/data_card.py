"""The data card: what the dataset holds, where it comes from, under which terms, and what is wrong with it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from clarilm_kedro.cards.markdown import markdown_table, percent, render, says_scripted, sources_table
from clarilm_kedro.cards.model_card import leakage_told
from clarilm_kedro.cards.options import CardOptions
from clarilm_kedro.tables import records

# The Hub's classes, https://huggingface.co/docs/hub/datasets-cards (size_categories).
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


_TITLES = {
    "clarifications": "clarifications extracted from the logs",
    "seed_questions": "questions of the logs kept, Q^L",
    "synthetic_questions": "questions written, Q^G",
    "facets": "facets after fusion",
    "answers": "direct answers",
    "annotations": "questions annotated by the reasoning model",
    "sft_train": "sft, train",
    "validation": "sft, validation",
}


@dataclass(frozen=True)
class DataFacts:
    """What a data card is written from.

    Attributes:
        log_statistics: Sessions read, rejected and kept (section 4.1, Table 1).
        data_summary: ``kind`` (step or table), ``name``, ``rows``, ``ask_share``, ``teachers`` of what was made.
        preference_statistics: Sources of chosen replies, balance, agreement.
        leakage_summary: What the leak guard found.
        sources: The public sources, as ``sources.yml`` lists them.
    """

    log_statistics: pd.DataFrame
    data_summary: pd.DataFrame
    preference_statistics: pd.DataFrame
    leakage_summary: pd.DataFrame
    sources: Mapping[str, Mapping[str, Any]]

    def made(self, kind: str) -> list[dict[str, Any]]:
        """Give the rows of the summary of one kind."""
        return [row for row in records(self.data_summary) if row["kind"] == kind]


def write_data_card(facts: DataFacts, options: CardOptions) -> str:
    """Write a data card as the Hugging Face Hub reads it: YAML front matter, then Markdown.

    Args:
        facts: What the run produced.
        options: What the run cannot know.

    Returns:
        The card.
    """
    teachers = [str(name) for name in facts.data_summary["teachers"]]
    body = render(
        "data_card.md.jinja",
        scripted=says_scripted(teachers),
        tables=markdown_table(
            ("table", "rows", "that ask"),
            [(_title(row), f"{row['rows']:,}", _asking(row["ask_share"])) for row in facts.made("table")],
        ),
        funnel=_funnel(facts),
        chosen=_chosen(facts.preference_statistics),
        balance=_balance(facts.preference_statistics),
        teachers="; ".join(f"{row['name']}: {row['teachers'] or 'none'}" for row in facts.made("step")),
        sources=sources_table(options, facts.sources),
        leakage=leakage_told(records(facts.leakage_summary)),
        languages=", ".join(options.language),
    )
    return _front_matter(facts, options) + body


def _front_matter(facts: DataFacts, options: CardOptions) -> str:
    from huggingface_hub import DatasetCardData

    rows = sum(row["rows"] for row in facts.made("table"))
    data = DatasetCardData(
        language=list(options.language),
        license=options.license,
        pretty_name="ClariLM clarification data",
        size_categories=next((name for limit, name in _SIZES if rows < limit), "n>1M"),
        tags=["clarification", "clarifying-questions", "preferences", "clarilm"],
        task_categories=["text-generation"],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def _title(row: Mapping[str, Any]) -> str:
    return _TITLES.get(row["name"], str(row["name"]))


def _asking(share: float) -> str:
    return "-" if math.isnan(share) else f"{percent(share)} %"


def _funnel(facts: DataFacts) -> str:
    sessions = [
        (f"sessions of {row['source']}, {row['stage']}", f"{row['sessions']:,}")
        for row in records(facts.log_statistics)
        if row["stage"] in ("read", "kept") and row["source"] != "total"
    ]
    made = [(_title(row), f"{row['rows']:,}") for row in facts.made("step")]
    return markdown_table(("what", "rows"), [*sessions, *made])


def _chosen(statistics: pd.DataFrame) -> str:
    rows = statistics[statistics["section"] == "chosen_of_questions"]
    counts = {row["group"]: row for row in records(rows[rows["measure"] == "count"])}
    total = sum(row["value"] for row in counts.values())
    titles = {"answer": "direct answer", "log": "FM-LOG", "llm": "FM-LLM", "both": "FM-LOG and FM-LLM"}
    shown = [
        (titles.get(group, group), f"{int(row['value']):,}", f"{percent(row['value'] / total)} %")
        for group, row in counts.items()
    ]
    return markdown_table(("source", "questions", "share"), shown)


def _balance(statistics: pd.DataFrame) -> str:
    def value(section: str, measure: str) -> float | None:
        rows = statistics[
            (statistics["section"] == section) & (statistics["group"] == "all") & (statistics["measure"] == measure)
        ]
        return float(rows["value"].iloc[0]) if len(rows) else None

    share, unanimous = value("balance", "ask_share"), value("agreement", "unanimous")
    told = [] if share is None else [f"A clarification was chosen for {percent(share)} % of the questions."]
    if unanimous is not None:
        told.append(f"All votes agreed on {percent(unanimous)} % of them.")
    return " ".join(told)
