"""Tables and numbers in the form that MLflow takes."""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

#: Rows of an MLflow table: it is one JSON file that the browser loads whole (docs/decisions.md).
MAX_ROWS = 2_000

# MLflow's rules for names, mlflow/utils/validation.py: these characters, no path that leads elsewhere, 250 of them.
_NOT_IN_NAMES = re.compile(r"[^\w\-./: ]")
_NOT_AS_PART = {"", ".", ".."}
_MAX_NAME = 250


def metric_name(*parts: object) -> str:
    """Join parts with dots to a name that MLflow takes; names of systems are the user's and may hold anything."""
    return plain_name(".".join(map(str, parts)))


def plain_name(name: str) -> str:
    """Write ``_`` for what MLflow refuses in the name of a metric."""
    parts = _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME].split("/")
    return "/".join("_" if part in _NOT_AS_PART else part for part in parts)


def printable(data: pd.DataFrame, max_rows: int = MAX_ROWS) -> pd.DataFrame:
    """Prepare a table for MLflow, whose tables are JSON.

    Args:
        data: Any table.
        max_rows: Of a longer one, so many evenly spaced rows are shown.

    Returns:
        The table with lists and arrays as JSON text.
    """
    if len(data) > max_rows:
        data = data.iloc[[index * len(data) // max_rows for index in range(max_rows)]]
    nested = data.select_dtypes("object").columns
    return data.assign(**{name: data[name].map(lambda value: json.dumps(value, default=list)) for name in nested})


def table_metrics(data: pd.DataFrame, keys: Sequence[str]) -> dict[str, float]:
    """Give every number of every row under its keys.

    Args:
        data: A table.
        keys: Columns whose values, joined, name a row.

    Returns:
        Such as ``in3.base.acc``; what is missing is left out.
    """
    return {
        metric_name(*(row[key] for key in keys), column): value
        for row in data.to_dict("records")
        for column, value in _numbers(row, data).items()
    }


def system_metrics(
    data: pd.DataFrame | Mapping[str, Any], keys: Sequence[str], name: str
) -> dict[str, dict[str, float]]:
    """Give the numbers of each system, as they are called on the run that trained it.

    Args:
        data: A table with a column system, or a mapping from systems to fields.
        keys: Columns that name a row of the table, ``system`` among them.
        name: Of the dataset.

    Returns:
        System -> numbers: ``in3/acc`` of a table with benchmarks, ``calibrations/threshold`` of a mapping. MLflow draws
        what stands before the slash as a section of charts.
    """
    found: dict[str, dict[str, float]] = {}
    if not isinstance(data, pd.DataFrame):
        return {
            system: {plain_name(f"{name}/{key}"): float(value) for key, value in fields.items() if _is_number(value)}
            for system, fields in data.items()
        }
    for row in data.to_dict("records"):
        group = ".".join(str(row[key]) for key in keys if key != "system")
        numbers = {plain_name(f"{group}/{column}"): value for column, value in _numbers(row, data).items()}
        found.setdefault(str(row["system"]), {}).update(numbers)
    return found


def _numbers(row: Mapping[Hashable, Any], data: pd.DataFrame) -> dict[str, float]:
    return {column: float(row[column]) for column in data.select_dtypes("number").columns if pd.notna(row[column])}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and pd.notna(value)
