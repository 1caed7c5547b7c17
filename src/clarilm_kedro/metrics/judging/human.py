"""Labels by people: a blind sheet to fill in, and the reading of filled ones.

A row of the sheet shows two replies as A and B and does not say whose they are. Its ``label_id`` names the pair and the
order, so that a filled sheet is read rightly whatever the seed of a later run, and not at all once the replies changed.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import pandas as pd
from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.judging.outcomes import HUMAN
from clarilm_kedro.metrics.judging.verdicts import JUDGEMENTS, ORDERS, judgement, shown, spelled
from clarilm_kedro.options import Options
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_id, stable_order, stable_unit

#: Columns of the sheet; ``verdict`` is left empty for a person to write A, B or tie into, ``comment`` for anything.
SHEET = dict.fromkeys(("label_id", "context", "question", "reply_a", "reply_b", "verdict", "comment"), "str")
_SHOWN_ERRORS = 5
# A spreadsheet takes a cell that begins so for a formula and may run it (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class SheetOptions(Options):
    """How much a person is asked to label."""

    pairs: int | None = Field(default=100, ge=1, description="Pairs in the sheet, drawn over all; null takes all.")
    seed: int = Field(default=7, description="Seed of the draw, of the order of rows and of who is A.")


def label_sheet(pairs: pd.DataFrame, options: SheetOptions) -> pd.DataFrame:
    """Make the sheet.

    Args:
        pairs: Columns of :data:`clarilm_kedro.metrics.judging.pairs.PAIRS`; those with the same reply twice are left
            out.
        options: How many, and the seed.

    Returns:
        Columns of :data:`SHEET`.
    """
    asked = [pair for pair in records(pairs) if not pair["identical"]]
    drawn = stable_order(asked, options.seed, lambda pair: pair["pair_id"])[: options.pairs]
    rows = []
    for pair in drawn:
        order = 1 if stable_unit(options.seed, "who is A", pair["pair_id"]) < 0.5 else 2
        reply_a, reply_b = shown(pair, order)
        texts = {
            "context": pair["context"],
            "question": pair["question"],
            "reply_a": reply_a,
            "reply_b": reply_b,
        }
        rows.append(
            {
                "label_id": label_id(pair["pair_id"], order),
                **{name: _cell(text) for name, text in texts.items()},
                "verdict": "",
                "comment": "",
            }
        )
    return table(rows, SHEET)


def label_id(pair_id: str, order: int) -> str:
    """Name a pair in one order; the id does not show which."""
    return stable_id("label", pair_id, order)


def read_labels(labels: Records, pairs: pd.DataFrame) -> pd.DataFrame:
    """Read filled sheets.

    Args:
        labels: Rows of one sheet, or of one per person, with label_id and verdict; an empty verdict is not labelled
            yet.
        pairs: Columns of :data:`clarilm_kedro.metrics.judging.pairs.PAIRS`.

    Returns:
        Columns of :data:`clarilm_kedro.metrics.judging.verdicts.JUDGEMENTS`, one order a pair. The judge is ``human``,
        or ``human NAME`` with the name of each file where there are several.

    Raises:
        ClarilmError: Names the rows that cannot be read and why.
    """
    by_label = {label_id(pair["pair_id"], order): (pair, order) for pair in records(pairs) for order in ORDERS}
    several = len({row.source_file for row in labels.rows}) > 1
    rows: list[dict[str, Any]] = []
    first_seen: dict[tuple[str, str], str] = {}
    problems = [f"{each.where}: {each.error}" for each in labels.rejects]
    for row in labels.rows:
        given = str(row.data.get("verdict") or "").strip()
        if not given:
            continue
        where = _where(row)
        found = by_label.get(str(row.data.get("label_id") or "").strip())
        problem = _problem(row.data, given, found)
        if problem or found is None:
            problems.append(f"{where}: {problem}")
            continue
        pair, order = found
        judge = f"{HUMAN} {PurePath(row.source_file).stem}" if several else HUMAN
        key = (judge, pair["pair_id"])
        if key in first_seen:
            problems.append(f"{where}: its pair stands in {first_seen[key]} too; keep one of them.")
            continue
        first_seen[key] = where
        reason = str(row.data.get("comment") or "").strip()
        rows.append(judgement(pair, judge, order, str(spelled(given)), reason=reason, model=judge))
    if problems:
        more = f" And {len(problems) - _SHOWN_ERRORS} more." if len(problems) > _SHOWN_ERRORS else ""
        raise ClarilmError("The human labels cannot be used. " + " ".join(problems[:_SHOWN_ERRORS]) + more)
    return table(rows, JUDGEMENTS)


def _where(row: Record) -> str:
    # People count as their spreadsheet does: from 1, the heading included.
    return f"{row.source_file}, row {row.position + 2}"


def _problem(data: Mapping[str, Any], given: str, found: object) -> str:
    if "label_id" not in data:
        return "it has no column label_id; fill in the sheet that the run wrote, and keep its columns."
    if found is None:
        return (
            f"no pair of this run has the label_id '{str(data['label_id'])[:40]}'. The replies may have changed since "
            "the sheet was written: labels belong to the texts that were labelled."
        )
    if spelled(given) is None:
        return f"the verdict '{given[:40]}' is none of A, B and tie."
    return ""


def _cell(text: str) -> str:
    """Text that a spreadsheet shows as it is: no formula, no NUL."""
    plain = text.replace("\0", "")
    return f"'{plain}" if plain.startswith(_FORMULA) else plain
