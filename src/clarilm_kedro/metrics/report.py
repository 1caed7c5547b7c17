"""The report: one self-contained HTML page that opens without a server, a network or scripts.

All text of models and data goes through Jinja2's autoescape, and the page forbids itself to load or run anything
(Content-Security-Policy), so that a reply cannot act on its reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import Field

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.comparing import COIN
from clarilm_kedro.metrics.inline_page import render
from clarilm_kedro.metrics.outcomes import BENCHMARKS, SYSTEMS, ordered
from clarilm_kedro.metrics.table import FLOOR_NAMES, FOOTNOTE, TITLES, notes, percent, results_fragment
from clarilm_kedro.options import Options
from clarilm_kedro.text.hashing import stable_order

#: Pages that lie beside the report, by their file names in the catalog.
FIGURES_PAGE, EXAMPLES_PAGE = "figures.html", "examples.html"
SCRIPTED_TEACHER = "sample-teacher"


class ReportOptions(Options):
    """What the report shows."""

    title: str = Field(default="ClariLM: knowing when to ask back", description="Heading of the page.")
    system: str = Field(
        default="clarilm", description="Whose example rows are shown; the next best one where it has none."
    )
    examples: int = Field(default=30, ge=0, description="Example rows per benchmark, drawn by hash with both labels.")
    seed: int = Field(default=7, description="Seed of the draw.")


@dataclass(frozen=True)
class Skipped:
    """Something that was not done, and why.

    Attributes:
        what: The system or stage.
        reason: A sentence.
    """

    what: str
    reason: str


@dataclass(frozen=True)
class Example:
    """One item with what a system did.

    Attributes:
        item_id: Key of the item.
        question: What the user asked.
        needs: The gold label.
        references: Gold clarifying questions.
        asked: The decision.
        p_ask: Probability of asking in percent, or a dash.
        threshold: The threshold it was held against, in percent, or a dash.
        text: The reply.
    """

    item_id: str
    question: str
    needs: bool
    references: tuple[str, ...]
    asked: bool
    p_ask: str
    threshold: str
    text: str

    @property
    def outcome(self) -> str:
        """Say in words whether the decision was right."""
        if self.asked:
            return "asked, as needed" if self.needs else "asked needlessly"
        return "missed: should have asked" if self.needs else "answered, as it should"


def build_report(
    *,
    results: pd.DataFrame,
    comparisons: pd.DataFrame,
    floors: pd.DataFrame,
    benchmarks: pd.DataFrame,
    predictions: pd.DataFrame,
    log_statistics: pd.DataFrame,
    skipped: Sequence[Skipped],
    options: ReportOptions,
) -> str:
    """Write the report.

    Args:
        results: The results table.
        comparisons: Paired comparisons.
        floors: Quality floors.
        benchmarks: The items.
        predictions: One row per system and item.
        log_statistics: The paper's Table 1 for the logs at hand; may be empty.
        skipped: What was not done, and why.
        options: Title and examples.

    Returns:
        A complete HTML document.
    """
    return render(
        "report.html.jinja",
        title=options.title,
        teachers=sorted(set(results["teacher"]) - {"none"}),
        scripted=SCRIPTED_TEACHER in set(results["teacher"]),
        results=results_fragment(results),
        footnote=FOOTNOTE,
        notes=notes(results),
        comparisons=_comparison_tables(comparisons),
        floors=_floor_tables(floors),
        log_statistics=_log_table(log_statistics),
        skipped=skipped,
        examples=_example_groups(benchmarks, predictions, options),
        figures_page=FIGURES_PAGE,
        examples_page=EXAMPLES_PAGE,
    )


def build_results_page(results: pd.DataFrame, title: str) -> str:
    """Write the results table alone as a self-contained page.

    Args:
        results: The results table.
        title: Heading of the page.
    """
    return render(
        "results.html.jinja", title=title, results=results_fragment(results), footnote=FOOTNOTE, notes=notes(results)
    )


def choose_examples(items: pd.DataFrame, count: int, seed: int) -> list[str]:
    """Draw items for a page: by hash, the two labels in turn while both last.

    Args:
        items: Items of one benchmark.
        count: How many.
        seed: Seed of the draw.

    Returns:
        Item ids, those that need a clarification first.
    """
    by_label = {
        label: stable_order(list(items.loc[items["needs_clarification"] == label, "item_id"]), seed, str)
        for label in (True, False)
    }
    n_clear = min(count // 2, len(by_label[False]))
    n_needed = min(count - n_clear, len(by_label[True]))
    return by_label[True][:n_needed] + by_label[False][: count - n_needed]


def _comparison_tables(comparisons: pd.DataFrame) -> list[dict[str, Any]]:
    """Comparison rows as text, one table per benchmark."""
    by_benchmark: dict[str, list[dict[str, str]]] = {}
    for row in comparisons.to_dict("records"):
        other = f"a {COIN}" if row["other"] == COIN else row["other"]
        by_benchmark.setdefault(row["benchmark"], []).append(
            {
                "pair": f"{row['system']} against {other}",
                "f1": _difference(row, "f1_macro"),
                "acc": _difference(row, "acc"),
                "split": "" if pd.isna(row["mcnemar_p"]) else f"{row['only_system_right']} : {row['only_other_right']}",
                "p": _p_value(row["mcnemar_p"]),
                "p_holm": _p_value(row["mcnemar_p_holm"]),
                "verdict": _verdict(row["f1_macro_low"], row["f1_macro_high"]),
            }
        )
    order = ordered(list(by_benchmark), BENCHMARKS)
    return [{"benchmark": TITLES.get(name, name), "rows": by_benchmark[name]} for name in order]


def _difference(row: Mapping[Any, Any], metric: str) -> str:
    value, low, high = (row[f"{metric}_{part}"] for part in ("diff", "low", "high"))
    return "" if pd.isna(value) else f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _p_value(p: float) -> str:
    if pd.isna(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(low: float, high: float) -> str:
    if pd.isna(low):
        return ""
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def _floor_tables(floors: pd.DataFrame) -> list[dict[str, Any]]:
    """Floors as text, one table per benchmark."""
    tables = []
    for benchmark in ordered(list(floors["benchmark"]), BENCHMARKS):
        rows = [
            {
                "floor": FLOOR_NAMES.get(row["floor"], row["floor"]),
                "tf": percent(row["tf"]),
                "bert": percent(row["bert"]),
            }
            for row in floors[floors["benchmark"] == benchmark].to_dict("records")
        ]
        n = int(floors.loc[floors["benchmark"] == benchmark, "n"].iloc[0])
        tables.append({"benchmark": TITLES.get(benchmark, benchmark), "n": n, "rows": rows})
    return tables


def _log_table(log_statistics: pd.DataFrame) -> dict[str, list[Any]] | None:
    """The paper's Table 1 for the logs at hand, without the reasons that rejected nothing."""
    if log_statistics.empty:
        return None
    shown = log_statistics[log_statistics["sessions"] > 0]
    head = [
        {"title": str(name).replace("_", " "), "is_word": not pd.api.types.is_numeric_dtype(shown[name])}
        for name in shown
    ]
    return {"head": head, "body": [[_cell(value) for value in row] for row in shown.to_numpy().tolist()]}


def _cell(value: Any) -> str:
    """Print a number with separators and at most two decimals; nothing for a missing value."""
    if pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _example_groups(
    benchmarks: pd.DataFrame, predictions: pd.DataFrame, options: ReportOptions
) -> list[dict[str, Any]]:
    """Pick a system and example rows for every benchmark."""
    groups = []
    for benchmark in ordered(list(benchmarks["benchmark"]), BENCHMARKS):
        items = benchmarks[benchmarks["benchmark"] == benchmark]
        told = predictions[predictions["benchmark"] == benchmark]
        system = _shown_system(set(told["system"]), options.system)
        if system is None:
            continue
        rows = items.merge(told[told["system"] == system], on=["benchmark", "item_id"], suffixes=("", "_asked"))
        by_id = {row["item_id"]: row for row in rows.to_dict("records")}
        examples = [_example(by_id[item]) for item in choose_examples(rows, options.examples, options.seed)]
        groups.append(
            {"benchmark": TITLES.get(benchmark, benchmark), "system": system, "examples": examples, "n": len(items)}
        )
    return groups


def _shown_system(present: set[str], wanted: str) -> str | None:
    """The wanted system, else the last language model in the table's order."""
    models = [name for name in ordered(sorted(present), SYSTEMS) if name not in BARS]
    return wanted if wanted in present else (models[-1] if models else None)


def _example(row: Mapping[Any, Any]) -> Example:
    return Example(
        item_id=row["item_id"],
        question=row["question"],
        needs=bool(row["needs_clarification"]),
        references=tuple(row["references"]),
        asked=bool(row["asked"]),
        p_ask=percent(row["p_ask"]),
        threshold=percent(row["threshold"]),
        text=row["text"],
    )
