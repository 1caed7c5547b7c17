"""Tables with stated columns, also when they have no rows."""

from collections.abc import Iterable, Mapping
from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clarilm_kedro.text.hashing import SEPARATOR

#: Columns of every stage's ``*_failed`` table.
FAILED = {
    "row_id": "str",
    "stage": "str",
    "kind": "str",
    "error": "str",
    "attempts": "int64",
    "cost_usd": "float64",
    "model": "str",
    "excerpt": "str",
}


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], *, sort_by: str | None = None) -> pd.DataFrame:
    """Build a data frame that has the stated columns and types whatever the rows hold.

    Args:
        rows: One mapping per row; keys that are not columns are left out.
        columns: Column name to pandas dtype (``object`` for lists).
        sort_by: Column that orders the rows, so that the order they came in does not matter.

    Returns:
        The table, with a fresh index.
    """
    frame = pd.DataFrame([{name: row[name] for name in columns} for row in rows], columns=list(columns))
    frame = typed(frame, columns)
    if sort_by:
        frame = frame.sort_values(sort_by, kind="stable")
    return frame.reset_index(drop=True)


def typed(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Give a data frame the stated columns, in their order and with their types.

    Args:
        frame: Holds the columns, and maybe others, which are left out.
        columns: Column name to pandas dtype (``object`` for lists).

    Returns:
        A new data frame.
    """
    return frame[list(columns)].astype({name: kind for name, kind in columns.items() if kind != "object"})


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table's rows as dictionaries, with lists where parquet gave arrays."""
    names = [str(name) for name in frame.columns]
    columns = [
        [_plain(value) for value in column] if column.dtype == "object" else column.tolist()
        for _, column in frame.items()
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def draw(rows: ir.Table, seed: int, key: str, limit: int | None) -> list[dict[str, Any]]:
    """Draw rows of an engine's table, in the engine; only they come into memory.

    Args:
        rows: Any expression.
        seed: The project's seed option.
        key: Column with the identity of a row.
        limit: How many rows; null takes all.

    Returns:
        The rows as dictionaries, in the order that :func:`clarilm_kedro.text.hashing.stable_order` gives them, whatever
        order they were in.
    """
    identity = f"{seed}{SEPARATOR}" + rows[key].cast("string")
    drawn = rows.order_by(identity.hexdigest("sha256").substr(0, 32))
    return records((drawn if limit is None else drawn.limit(limit)).to_pandas())


def _plain(value: Any) -> Any:
    return (
        [_plain(item) for item in value.tolist()]
        if hasattr(value, "tolist") and hasattr(value, "shape") and value.shape
        else value
    )
