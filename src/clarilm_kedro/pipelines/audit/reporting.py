"""Nodes that put an audit together: one table, what to read, and a page for the terminal."""

from collections.abc import Iterable, Sequence
from math import isnan
from typing import Any

import pandas as pd

from clarilm_kedro.metrics.report import SCRIPTED_TEACHER
from clarilm_kedro.pipelines.audit.schemas import DISAGREEMENTS, TEACHER_AUDIT
from clarilm_kedro.pipelines.audit.score_rows import ALL
from clarilm_kedro.tables import records, table

_SCRIPTED_NOTE = "scripted teacher: says nothing about a real model"
_RECALL = "recall_at_"


def report_audit(*tables: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put scores, disagreements and usage of every stage into one table each.

    Args:
        *tables: Tables of scores, of disagreements and of usage, told apart by their columns.

    Returns:
        ``teacher_audit``: one row per task, subset and metric with its interval, the names of both models (a scripted
        one is named as that) and, under the task ``cost``, calls, failed share, rejected replies or parts of them,
        tokens and US dollars per stage and in all. ``audit_disagreements``: every disagreement with gold.
    """
    scores = [row for frame in tables if "metric" in frame.columns for row in records(frame)]
    wrong = [row for frame in tables if "gold" in frame.columns for row in records(frame)]
    usage = [row for frame in tables if "calls" in frame.columns for row in records(frame)]
    teacher, reasoning_model = (_models(usage, asked) for asked in ("chat_llm", "reasoning_llm"))
    names = {"teacher": teacher, "reasoning_model": reasoning_model}
    scripted = SCRIPTED_TEACHER in teacher or SCRIPTED_TEACHER in reasoning_model
    rows = [
        {**row, **names, "note": "; ".join(filter(None, [row.get("note"), _SCRIPTED_NOTE if scripted else ""]))}
        for row in [*scores, *_costs(usage)]
    ]
    return table(rows, TEACHER_AUDIT), table(wrong, DISAGREEMENTS)


def write_audit_markdown(teacher_audit: pd.DataFrame, audit_disagreements: pd.DataFrame) -> str:
    """Write the audit as Markdown.

    Args:
        teacher_audit: What :func:`report_audit` gives.
        audit_disagreements: Likewise.

    Returns:
        The page.
    """
    rows = records(teacher_audit)
    told = [row for row in rows if row["task"] != "cost" and not row["metric"].startswith(_RECALL)]
    recall = [row for row in rows if row["metric"].startswith(_RECALL)]
    cost = [row for row in rows if row["task"] == "cost"]
    wrong = audit_disagreements.groupby("task", sort=True).size()
    counts = ", ".join(f"{task} {count}" for task, count in wrong.items()) or "none"
    first = rows[0]
    return "\n".join(
        [
            "# Teacher audit",
            "",
            f"Chat model: {first['teacher']}; reasoning model: {first['reasoning_model']}. Against the gold labels of "
            "the sample world, and IN3's. Fractions with bootstrap intervals.",
            *([f"**{_SCRIPTED_NOTE.capitalize()}.**"] if _SCRIPTED_NOTE in first["note"] else []),
            "",
            *_markdown_table(
                ("task", "subset", "metric", "value", "interval", "n"),
                [
                    (row["task"], row["subset"], row["metric"], _number(row["value"]), _interval(row), f"{row['n']:,}")
                    for row in told
                ],
            ),
            "",
            "Facet recall at k, exact match (lower estimate) / cosine match (upper estimate). With g gold facets it is "
            "k / g at most:",
            "",
            *_recall_table(recall),
            "",
            *_cost_table(cost),
            "",
            f"Disagreements to read, in `audit_disagreements`: {counts}.",
            "",
        ]
    )


def _models(usage: Sequence[dict[str, Any]], asked: str) -> str:
    names = sorted({row["model"] for row in usage if row["asked"] == asked})
    return ", ".join(f"{name} (scripted)" if name == SCRIPTED_TEACHER else name for name in names)


def _costs(usage: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of usage, per stage and in all; a sum with an unknown part is unknown."""
    amounts = ("calls", "failed", "rejected", "prompt_tokens", "completion_tokens", "cost_usd")
    every = {"stage": ALL, **{name: float(sum(row[name] for row in usage)) for name in amounts}}
    rows = []
    for row in [*usage, every]:
        calls = int(row["calls"])
        values = {
            "calls": float(calls),
            "failed_share": row["failed"] / calls if calls else 0.0,
            **{name: float(row[name]) for name in amounts[2:]},
        }
        rows += [
            {
                "task": "cost",
                "subset": row["stage"],
                "metric": metric,
                "value": value,
                "n": calls,
                "low": float("nan"),
                "high": float("nan"),
                "note": "unknown: no token counts or no price" if isnan(value) else "",
            }
            for metric, value in values.items()
        ]
    return rows


def _recall_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        found.setdefault((row["task"], row["subset"]), {"n": row["n"]})[row["metric"]] = row["value"]
    ks = list(dict.fromkeys(row["metric"].removeprefix(_RECALL).split("_")[0] for row in rows))
    return _markdown_table(
        ("task", "gold", *(f"R@{k}" for k in ks), "n"),
        [
            (
                *key,
                *(f"{_number(values[f'{_RECALL}{k}_exact'])} / {_number(values[f'{_RECALL}{k}_cosine'])}" for k in ks),
                f"{values['n']:,}",
            )
            for key, values in found.items()
        ],
    )


def _cost_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    stages: dict[str, dict[str, float]] = {}
    for row in rows:
        stages.setdefault(row["subset"], {})[row["metric"]] = row["value"]
    return _markdown_table(
        ("stage", "calls", "failed share", "rejected", "prompt tokens", "reply tokens", "US$"),
        [
            (
                stage,
                f"{value['calls']:,.0f}",
                _number(value["failed_share"]),
                _amount(value["rejected"], 0),
                _amount(value["prompt_tokens"], 0),
                _amount(value["completion_tokens"], 0),
                _amount(value["cost_usd"], 4),
            )
            for stage, value in stages.items()
        ],
    )


def _markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = [headings, *rows]
    widths = [max(3, *(len(row[column]) for row in body)) for column in range(len(headings))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in body
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _number(value: float) -> str:
    return "-" if isnan(value) else f"{value:.3f}"


def _amount(value: float, digits: int) -> str:
    return "unknown" if isnan(value) else f"{value:,.{digits}f}"


def _interval(row: dict[str, Any]) -> str:
    return "" if isnan(row["low"]) else f"[{row['low']:.3f}, {row['high']:.3f}]"
