"""A node that reads predictions of other systems from a file, and refuses what it would have to guess at."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.question_quality import clean_question
from clarilm_kedro.pipelines.evaluation.prediction import predictions
from clarilm_kedro.pipelines.evaluation.prompted import read_decision
from clarilm_kedro.tables import records

_SHOWN = 10
_YES_NO = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}
_KNOWN = {"benchmark", "system", "seed", "item_id", "text", "asked", "p_ask", "question"}


class _CellError(ValueError):
    """A cell that cannot be used; the message goes on after the row's name."""


def read_given_predictions(given_predictions: Records, benchmarks: pd.DataFrame) -> pd.DataFrame:
    """Read predictions of any systems.

    Args:
        given_predictions: Rows with benchmark, system, item_id, and text or asked or both; optional p_ask, seed (0
            where it is left out) and question. Each system covers every item of the benchmarks it names, per seed. An
            ``item_id`` that is a number is a row of the published file.
        benchmarks: The items.

    Returns:
        One prediction a row. Where ``asked`` is left out the text must begin with "Need Clarification: Yes" or "No";
        else, and where the text is empty, the row is kept with ``parsed`` False. With ``asked``, an empty text is one.

    Raises:
        ClarilmError: Names the first rows that are wrong, with file, row, system, benchmark and item.
    """
    known = {(row["benchmark"], row["item_id"]) for row in records(benchmarks[["benchmark", "item_id"]])}
    problems = [f"{each.where}: {each.error}" for each in given_predictions.rejects]
    rows: dict[tuple[str, str, int, str], dict[str, Any]] = {}
    first: dict[tuple[str, str, int, str], Record] = {}
    for row in given_predictions.rows:
        try:
            read = _read(row.data, known)
        except _CellError as error:
            problems.append(f"{_where(row)}{_named(row.data)}: {error}.")
            continue
        key = (read["system"], read["benchmark"], read["seed"], read["item_id"])
        if key in rows:
            problems.append(f"{_where(row)}{_named(row.data)}: the same item as in {_where(first[key])}.")
            continue
        rows[key], first[key] = read, row
    problems += _missing(set(rows), known) if not problems else []
    if problems:
        more = f"\n... and {len(problems) - _SHOWN} more." if len(problems) > _SHOWN else ""
        raise ClarilmError(
            f"The predictions of inputs.predictions cannot be used; {len(problems)} faults:\n"
            + "\n".join(problems[:_SHOWN])
            + more
            + "\nThe items of this run stand in the dataset 'benchmarks' (limits.benchmark_items and "
            "limits.test_questions say how many there are)."
        )
    return predictions(rows.values())


def _read(data: Mapping[str, Any], known: set[tuple[str, str]]) -> dict[str, Any]:
    if unknown := sorted(set(data) - _KNOWN):
        raise _CellError(f"there is no column '{unknown[0]}' in predictions; known are {', '.join(sorted(_KNOWN))}")
    benchmark, system = _name(data, "benchmark"), _name(data, "system")
    item_id = _item(data, benchmark, known)
    given, text = _asked(data), _text(data, "text")
    if given is None and text is None:
        raise _CellError("neither 'text' nor 'asked' is given")
    read = read_decision(text or "")
    if given is not None and read.asks is not None and given != read.asks:
        raise _CellError(f"'asked' is {given}, but the text says otherwise: {(text or '')[:60]!r}")
    asks = read.asks if given is None else given
    question = _text(data, "question")
    return {
        "benchmark": benchmark,
        "system": system,
        "seed": _seed(data),
        "item_id": item_id,
        "text": read.text,
        "asked": bool(asks),
        "p_ask": _probability(data),
        "question": (question or clean_question(read.text)) if asks else "",
        "parsed": asks is not None,
        "threshold": None,
    }


def _name(data: Mapping[str, Any], column: str) -> str:
    value = data.get(column)
    if not isinstance(value, str) or not value.strip():
        raise _CellError(f"'{column}' is {_shown(value)}, expected a name")
    return value.strip()


def _item(data: Mapping[str, Any], benchmark: str, known: set[tuple[str, str]]) -> str:
    value = data.get("item_id")
    whole = isinstance(value, int) and not isinstance(value, bool)
    item_id = str(value).strip() if whole or isinstance(value, str) else ""
    if not item_id:
        raise _CellError(f"'item_id' is {_shown(value)}, expected an id such as '{benchmark}-0'")
    if item_id.isdecimal() and (benchmark, item_id) not in known:
        item_id = f"{benchmark}-{int(item_id)}"
    if (benchmark, item_id) not in known:
        names = sorted({name for name, _ in known})
        if benchmark not in names:
            raise _CellError(f"there is no benchmark '{benchmark}', only {', '.join(names) or 'none with items'}")
        raise _CellError(f"'{item_id}' is no item of this run's '{benchmark}'")
    return item_id


def _asked(data: Mapping[str, Any]) -> bool | None:
    value = data.get("asked")
    if value is None or value == "":
        return None
    found = _YES_NO.get(str(value).strip().lower())
    if found is None:
        raise _CellError(f"'asked' is {_shown(value)}, expected true or false")
    return found


def _text(data: Mapping[str, Any], column: str) -> str | None:
    value = data.get(column)
    if value is not None and not isinstance(value, str):
        raise _CellError(f"'{column}' is {_shown(value)}, expected a text")
    return value


def _probability(data: Mapping[str, Any]) -> float | None:
    value = data.get("p_ask")
    if value is None or value == "":
        return None
    number = _number(value)
    if number is None or not 0 <= number <= 1:
        raise _CellError(f"'p_ask' is {_shown(value)}, expected a number from 0 to 1, or nothing")
    return number


def _seed(data: Mapping[str, Any]) -> int:
    value = data.get("seed")
    if value is None or value == "":
        return 0
    number = _number(value)
    if number is None or not number.is_integer() or number < 0:
        raise _CellError(f"'seed' is {_shown(value)}, expected a whole number, or nothing")
    return int(number)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _missing(keys: set[tuple[str, str, int, str]], known: set[tuple[str, str]]) -> list[str]:
    problems = []
    for system, benchmark, seed in sorted({key[:3] for key in keys}):
        have = {key[3] for key in keys if key[:3] == (system, benchmark, seed)}
        lacking = sorted(item for name, item in known if name == benchmark and item not in have)
        if lacking:
            also = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            problems.append(
                f"System '{system}', seed {seed}, has no prediction for item '{lacking[0]}'{also} of benchmark "
                f"'{benchmark}'."
            )
    return problems


def _where(row: Record) -> str:
    return f"{row.source_file}, row {row.position}"


def _named(data: Mapping[str, Any]) -> str:
    return f" (system {data.get('system')!r}, benchmark {data.get('benchmark')!r}, item {data.get('item_id')!r})"


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return "NaN" if isinstance(value, float) and math.isnan(value) else repr(value)[:80]
