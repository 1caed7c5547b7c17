"""Where candidates come from and what becomes of them: found, shown, chosen, rejected, by source (section 3.3.3)."""

from collections import Counter
from typing import Any

import pandas as pd

from clarilm_kedro.metrics.figures import GREY, finish, message
from clarilm_kedro.tables import records, table

SOURCE_FLOW = {"source": "str", "target": "str", "n": "int64"}
_BOTH, _SHOWN, _CUT = "both", "shown", "over the limit"
_CHOSEN, _REJECTED, _UNUSED = "chosen (r+)", "rejected (r-)", "in no pair"
_NAMES = {"log": "FM-LOG", "llm": "FM-LLM", _BOTH: "FM-LOG and FM-LLM", "answer": "direct answer"}
_COLOURS = {
    "FM-LOG": "#0072b2", "FM-LLM": "#e69f00", "FM-LOG and FM-LLM": "#7f3c8d", "direct answer": "#009e73",
    "chosen (r+)": "#1c7a45", "rejected (r-)": "#d55e00",
}  # fmt: skip


def count_source_flow(
    facets: pd.DataFrame, candidates: pd.DataFrame, annotations: pd.DataFrame, preferences: pd.DataFrame
) -> pd.DataFrame:
    """Follow every candidate of the annotated questions from its source to its end.

    Args:
        facets: Facets after fusion, with their sources.
        candidates: What the reasoning model was shown, facets up to a limit and the answer.
        annotations: What it chose.
        preferences: Pairs, for what was rejected.

    Returns:
        Columns source, target, n: candidates that go from ``source`` to ``target``. First FM-LOG, FM-LLM, both or the
        direct answer to ``<source>, shown`` or ``over the limit``; then from ``<source>, shown`` to ``chosen (r+)``,
        ``rejected (r-)`` or ``in no pair``. Whatever is shown goes on, so the flows balance.
    """
    asked = {row["question_id"]: row["choice_id"] for row in records(annotations)}
    rejected = {(row["question_id"], row["rejected_id"]) for row in records(preferences)}
    found = Counter(_name(row["sources"]) for row in records(facets) if row["question_id"] in asked)
    shown: Counter[str] = Counter()
    ends: Counter[tuple[str, str]] = Counter()
    for row in records(candidates):
        if row["question_id"] in asked:
            name = _name(row["sources"])
            key = (row["question_id"], row["candidate_id"])
            chosen = asked[row["question_id"]] == row["candidate_id"]
            shown[name] += 1
            ends[name, _CHOSEN if chosen else _REJECTED if key in rejected else _UNUSED] += 1
    flows = []
    for name in _NAMES.values():
        flows.append((name, f"{name}, {_SHOWN}", shown[name]))
        flows.append((name, _CUT, max(found[name] - shown[name], 0)))
        flows += [(f"{name}, {_SHOWN}", end, ends[name, end]) for end in (_CHOSEN, _REJECTED, _UNUSED)]
    return table(({"source": a, "target": b, "n": n} for a, b, n in flows if n), SOURCE_FLOW)


def draw_source_flow(source_flow: pd.DataFrame) -> Any:
    """Draw the flow as a Sankey diagram.

    Args:
        source_flow: The table of :func:`count_source_flow`.

    Returns:
        A plotly figure.
    """
    if source_flow.empty:
        return message("No question was annotated.")
    from plotly.graph_objects import Figure, Sankey

    rows = records(source_flow)
    names = list(dict.fromkeys([row["source"] for row in rows] + [row["target"] for row in rows]))
    size = {
        name: max(
            sum(row["n"] for row in rows if row["source"] == name),
            sum(row["n"] for row in rows if row["target"] == name),
        )
        for name in names
    }
    origin = [row["source"].removesuffix(f", {_SHOWN}") for row in rows]
    figure = Figure(
        Sankey(
            node={
                "label": [f"{name}: {size[name]:,}" for name in names],
                "color": [_COLOURS.get(name.removesuffix(f", {_SHOWN}"), GREY) for name in names],
                "pad": 18,
                "thickness": 14,
            },
            link={
                "source": [names.index(row["source"]) for row in rows],
                "target": [names.index(row["target"]) for row in rows],
                "value": [row["n"] for row in rows],
                "color": [_translucent(_COLOURS.get(name, GREY)) for name in origin],
            },
        )
    )
    return finish(figure, "What becomes of candidates, by source", height=460)


def _name(sources: list[str]) -> str:
    return _NAMES[_BOTH] if len(sources) > 1 else _NAMES.get(sources[0], sources[0])


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"
