"""The one shape of a benchmark item, the reading of published rows into it, and the stratified limit.

Columns of a benchmark table:
    benchmark: ``our_test`` or the name of a published benchmark (:mod:`clarilm_kedro.metrics.benchmarks.registry`).
    item_id: Key within the benchmark, made from the row's position (published questions repeat, so text is no key).
    question: What the user asked.
    context: What was said before the question, "" if nothing.
    needs_clarification: The gold label.
    references: Gold clarifying questions, a list; empty where none is needed.
    importances: Of each reference, a list as long, larger is more important; empty if the benchmark has none.
    facets: Gold facets that a question should ask for, a list; empty where none is needed or the benchmark has none.
    category: The benchmark's own grouping, "" if it has none.
    subclass: A finer grouping, "" if it has none.
    thought: What the reasoning model thought when it labelled the item, "" if the benchmark was labelled otherwise.

Columns of a table of rejected rows: benchmark, source_file, position, reason, detail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.records import Records, excerpt
from clarilm_kedro.tables import table
from clarilm_kedro.text.hashing import stable_order

COLUMNS = {
    "benchmark": "str",
    "item_id": "str",
    "question": "str",
    "context": "str",
    "needs_clarification": "bool",
    "references": "object",
    "importances": "object",
    "facets": "object",
    "category": "str",
    "subclass": "str",
    "thought": "str",
}
REJECT_COLUMNS = {"benchmark": "str", "source_file": "str", "position": "int64", "reason": "str", "detail": "str"}


@dataclass(frozen=True)
class Content:
    """What a published row says, without its key.

    Attributes:
        question: What the user asked.
        needs_clarification: The gold label.
        references: Gold clarifying questions.
        importances: Of each reference, larger is more important; empty if the benchmark has none.
        facets: Gold facets.
        context: What was said before the question.
        category: The benchmark's own grouping.
        subclass: A finer grouping.
    """

    question: str
    needs_clarification: bool
    references: tuple[str, ...]
    importances: tuple[int, ...] = ()
    facets: tuple[str, ...] = ()
    context: str = ""
    category: str = ""
    subclass: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A published benchmark: what a module of this package says about itself, as its ``BENCHMARK``.

    Attributes:
        name: In the column ``benchmark`` and in front of item ids.
        title: For tables and the report.
        parse: Reads one published row; raises :class:`RowError`.
        dataset: Catalog entry with its rows; "" takes ``benchmark_<name>``, which reads the file that the global
            ``inputs.<name>`` gives.
    """

    name: str
    title: str
    parse: Callable[[Mapping[str, Any]], Content]
    dataset: str = ""

    @property
    def rows(self) -> str:
        """The catalog entry with its rows."""
        return self.dataset or f"benchmark_{self.name}"


class RowError(ValueError):
    """A row that is not of the benchmark's form.

    Args:
        reason: A short name to count by.
        detail: What was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_rows(
    benchmark: str, records: Records, parse: Callable[[Mapping[str, Any]], Content]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read published rows; a row of another form is set aside, not guessed at.

    Args:
        benchmark: Name of the benchmark.
        records: The rows of its file, and those that could not be decoded.
        parse: Reads one row; raises :class:`RowError`.

    Returns:
        The items and the rejected rows, both in file order.

    Raises:
        ClarilmError: There are rows and none has the benchmark's form.
    """
    one_file = len({row.source_file for row in records.rows}) == 1
    items: list[dict[str, Any]] = []
    rejects = [
        _reject(benchmark, each.source_file, each.position, "unreadable", each.error) for each in records.rejects
    ]
    for row in records.rows:
        try:
            content = parse(row.data)
        except RowError as error:
            rejects.append(_reject(benchmark, row.source_file, row.position, error.reason, error.detail))
            continue
        # Positions repeat only if several files were given.
        key = f"{row.position}" if one_file else f"{row.source_file}-{row.position}"
        items.append({"benchmark": benchmark, "item_id": f"{benchmark}-{key}", **vars(content)})
    if rejects and not items:
        first = rejects[0]
        raise ClarilmError(
            f"No row of {first['source_file']} has the form of the benchmark '{benchmark}'. Row {first['position']}: "
            f"{first['reason']} ({first['detail']}). Look at the file that the global inputs.* names for it."
        )
    return items_frame(items), table(rejects, REJECT_COLUMNS)


def items_frame(items: list[dict[str, Any]]) -> pd.DataFrame:
    """Make a benchmark table, typed also when it is empty.

    Args:
        items: One dictionary per item; ``context``, ``importances``, ``facets`` and ``thought`` may be left out.
    """
    nothing: dict[str, Any] = {"context": "", "importances": (), "facets": (), "thought": ""}
    lists = ("references", "importances", "facets")
    full = [{**nothing, **item} for item in items]
    return table([{**item, **{name: list(item[name]) for name in lists}} for item in full], COLUMNS)


def required_text(data: Mapping[str, Any], field: str) -> str:
    """Read a text that must not be blank.

    Raises:
        RowError: The field is missing, no text, or blank.
    """
    value = data.get(field)
    if not isinstance(value, str) or not value.strip():
        raise RowError("no_question", f"'{field}' is {_shown(value)}, expected a text")
    return value.strip()


def required_label(data: Mapping[str, Any], field: str) -> bool:
    """Read a label given as true/false or 1/0.

    Raises:
        RowError: The field is missing or something else.
    """
    value = data.get(field)
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise RowError("bad_label", f"'{field}' is {_shown(value)}, expected true, false, 1 or 0")


def optional_text(data: Mapping[str, Any], field: str) -> str:
    """Read a text that may be missing; anything but a text counts as missing."""
    value = data.get(field)
    return value.strip() if isinstance(value, str) else ""


def take_stratified(items: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """Keep a seeded sample in which both labels have the share they have in the whole.

    Published files lie in blocks by category, so the first rows would be a biased sample. Within a label the items with
    the smallest hash of seed and item id stay, so a larger limit keeps all that a smaller one kept of a label.

    Args:
        items: A benchmark table.
        limit: Items to keep; None keeps all.
        seed: The project's seed.

    Returns:
        The kept rows in the order of ``items``.
    """
    if limit is None or len(items) <= limit:
        return items
    ids = {
        label: stable_order(list(items.loc[items["needs_clarification"] == label, "item_id"]), seed, str)
        for label in (False, True)
    }
    n_needed = round(limit * len(ids[True]) / len(items))
    if limit > 1 and ids[True] and ids[False]:
        n_needed = min(max(n_needed, 1), limit - 1)  # both labels stay represented
    kept = {*ids[True][:n_needed], *ids[False][: limit - n_needed]}
    return items[items["item_id"].isin(kept)].reset_index(drop=True)


def _reject(benchmark: str, source_file: str, position: int, reason: str, detail: str) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "source_file": source_file,
        "position": position,
        "reason": reason,
        "detail": excerpt(detail),
    }


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:80]
