"""The data card: what the dataset holds, where it comes from, under which terms, and what is wrong with it."""

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


@dataclass(frozen=True)
class DataFacts:
    """What a data card is written from.

    Attributes:
        tables: Name of a published table -> its rows.
        log_statistics: Sessions read, rejected and kept (section 4.1, Table 1).
        counts: What was made on the way -> number of rows, in order.
        preference_statistics: Sources of chosen replies, balance, agreement.
        leakage_summary: What the leak guard found.
        teachers: Stage -> names of the models that wrote or chose.
        sources: The public sources, as ``sources.yml`` lists them.
    """

    tables: Mapping[str, pd.DataFrame]
    log_statistics: pd.DataFrame
    counts: Mapping[str, int]
    preference_statistics: pd.DataFrame
    leakage_summary: pd.DataFrame
    teachers: Mapping[str, tuple[str, ...]]
    sources: Mapping[str, Mapping[str, Any]]


def write_data_card(facts: DataFacts, options: CardOptions) -> str:
    """Write a data card as the Hugging Face Hub reads it: YAML front matter, then Markdown.

    Args:
        facts: What the run produced.
        options: What the run cannot know.

    Returns:
        The card.
    """
    named = sorted({name for names in facts.teachers.values() for name in names})
    body = render(
        "data_card.md.jinja",
        scripted=says_scripted(named),
        tables=markdown_table(
            ("table", "rows", "that ask"),
            [(name, f"{len(table):,}", _asking(table)) for name, table in facts.tables.items()],
        ),
        funnel=_funnel(facts),
        chosen=_chosen(facts.preference_statistics),
        balance=_balance(facts.preference_statistics),
        teachers="; ".join(f"{stage}: {', '.join(names) or 'none'}" for stage, names in facts.teachers.items()),
        sources=sources_table(options, facts.sources),
        leakage=leakage_told(records(facts.leakage_summary)),
        languages=", ".join(options.language),
    )
    return _front_matter(facts, options) + body


def _front_matter(facts: DataFacts, options: CardOptions) -> str:
    from huggingface_hub import DatasetCardData

    rows = sum(len(table) for table in facts.tables.values())
    data = DatasetCardData(
        language=list(options.language),
        license=options.license,
        pretty_name="ClariLM clarification data",
        size_categories=next((name for limit, name in _SIZES if rows < limit), "n>1M"),
        tags=["clarification", "clarifying-questions", "preferences", "clarilm"],
        task_categories=["text-generation"],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def _asking(table: pd.DataFrame) -> str:
    column = next((name for name in ("asks", "chosen_asks", "needs_clarification") if name in table), None)
    return "-" if column is None or table.empty else f"{percent(float(table[column].mean()))} %"


def _funnel(facts: DataFacts) -> str:
    sessions = [
        (f"sessions of {row['source']}, {row['stage']}", f"{row['sessions']:,}")
        for row in records(facts.log_statistics)
        if row["stage"] in ("read", "kept") and row["source"] != "total"
    ]
    return markdown_table(("what", "rows"), [*sessions, *((name, f"{n:,}") for name, n in facts.counts.items())])


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
