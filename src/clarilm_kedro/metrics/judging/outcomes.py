"""From two verdicts to one outcome per pair, and from several judges to a majority.

Of the verdicts of the two orders, seen from the system:

===================== ======= =======
orders                strict  lenient
===================== ======= =======
win, win              win     win
win, tie              tie     win
win, lose             tie     tie
tie, tie              tie     tie
tie, lose             tie     lose
lose, lose            lose    lose
one missing, invalid  invalid invalid
===================== ======= =======

Strict, the default, wants both orders to agree. An invalid pair is a class of its own and never a tie: a judge that
cannot be understood is not undecided.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.metrics.judging.rule import RULE_JUDGE
from clarilm_kedro.metrics.judging.verdicts import IDENTICAL, INVALID, LOSE, ORDERS, TIE, WIN, outcome_of
from clarilm_kedro.tables import records, table

STRICT, LENIENT = "strict", "lenient"
AGGREGATIONS = (STRICT, LENIENT)
#: Of verdicts that were given in one order only, which is how people label.
SINGLE = "single"
MAJORITY = "majority"
HUMAN = "human"

#: One row per pair, judge and aggregation. ``order_1`` and ``order_2``: the outcome in each order (``identical`` where
#: nobody was asked, "" where there is none); ``decided``: verdicts that are no tie; ``slot1``: those of them for A;
#: ``words_*``: words of the replies.
OUTCOMES = {
    "pair_id": "str",
    "benchmark": "str",
    "item_id": "str",
    "system": "str",
    "other": "str",
    "judge": "str",
    "aggregation": "str",
    "outcome": "str",
    "order_1": "str",
    "order_2": "str",
    "decided": "int64",
    "slot1": "int64",
    "words_system": "int64",
    "words_other": "int64",
}
_SCORE = {WIN: 1, TIE: 0, LOSE: -1}
_BY_SCORE = {score: outcome for outcome, score in _SCORE.items()}


def combine(first: str, second: str, aggregation: str) -> str:
    """Combine the outcomes of the two orders; see the table above.

    Args:
        first: ``win``, ``tie``, ``lose`` or ``invalid`` in order 1; "" where no verdict came.
        second: Likewise in order 2.
        aggregation: ``strict`` or ``lenient``.
    """
    if first not in _SCORE or second not in _SCORE:
        return INVALID
    if aggregation == STRICT:
        return first if first == second else TIE
    total = _SCORE[first] + _SCORE[second]
    return _BY_SCORE[(total > 0) - (total < 0)]


def majority(outcomes: Sequence[str]) -> str:
    """Let several judges vote on one pair.

    Args:
        outcomes: One per judge.

    Returns:
        What more than half of the valid outcomes say; a tie where nothing has that many, ``invalid`` where none is
        valid.
    """
    valid = Counter(outcome for outcome in outcomes if outcome in _SCORE)
    if not valid:
        return INVALID
    ((most, votes),) = valid.most_common(1)
    return most if 2 * votes > valid.total() else TIE


def pair_outcomes(pairs: pd.DataFrame, judgements: pd.DataFrame, human_judgements: pd.DataFrame) -> pd.DataFrame:
    """Give every judge's outcome for every pair, and the majority's where at least two language models judged.

    Args:
        pairs: Columns of :data:`clarilm_kedro.metrics.judging.pairs.PAIRS`.
        judgements: Columns of :data:`clarilm_kedro.metrics.judging.verdicts.JUDGEMENTS`; a judge that judged one pair
            is taken to have been asked for all, so that what is missing is invalid.
        human_judgements: Likewise, one order a pair and only the pairs that were labelled.

    Returns:
        Columns of :data:`OUTCOMES`, ordered by judge, aggregation, benchmark, opponent and item.
    """
    by_id = {pair["pair_id"]: _about(pair) for pair in records(pairs)}
    rows: list[dict[str, Any]] = []
    for judge, verdicts in _by_judge(judgements).items():
        for pair_id, about in by_id.items():
            rows += _rows(about, judge, {order: verdicts.get((pair_id, order)) for order in ORDERS})
    rows += _majority_rows(rows)
    for judge, verdicts in _by_judge(human_judgements).items():
        rows += [
            _row(by_id[pair_id], judge, SINGLE, outcome_of(verdict, order), {order: verdict})
            for (pair_id, order), verdict in verdicts.items()
        ]
    rows.sort(key=lambda row: tuple(row[name] for name in ("judge", "aggregation", "benchmark", "other", "item_id")))
    return table(rows, OUTCOMES)


def _about(pair: Mapping[str, Any]) -> dict[str, Any]:
    words = {f"words_{side}": len(str(pair[f"text_{side}"]).split()) for side in ("system", "other")}
    return {**{name: pair[name] for name in ("pair_id", "benchmark", "item_id", "system", "other")}, **words}


def _by_judge(judgements: pd.DataFrame) -> dict[str, dict[tuple[str, int], str]]:
    found: dict[str, dict[tuple[str, int], str]] = {}
    for row in records(judgements[["judge", "pair_id", "order", "verdict"]]):
        found.setdefault(row["judge"], {})[row["pair_id"], row["order"]] = row["verdict"]
    return dict(sorted(found.items()))


def _rows(about: Mapping[str, Any], judge: str, verdicts: Mapping[int, str | None]) -> list[dict[str, Any]]:
    seen = {order: "" if verdict is None else outcome_of(verdict, order) for order, verdict in verdicts.items()}
    return [
        _row(about, judge, aggregation, combine(seen[1], seen[2], aggregation), verdicts)
        for aggregation in AGGREGATIONS
    ]


def _row(
    about: Mapping[str, Any], judge: str, aggregation: str, outcome: str, verdicts: Mapping[int, str | None]
) -> dict[str, Any]:
    given = [verdict for verdict in verdicts.values() if verdict in ("A", "B")]
    orders = {f"order_{order}": _order_outcome(verdicts.get(order), order) for order in ORDERS}
    counts = {"decided": len(given), "slot1": given.count("A")}
    return {**about, "judge": judge, "aggregation": aggregation, "outcome": outcome, **orders, **counts}


def _order_outcome(verdict: str | None, order: int) -> str:
    if verdict is None or verdict == IDENTICAL:
        return verdict or ""
    return outcome_of(verdict, order)


def _majority_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The majority of the language models; the rule sees the gold label and has no vote."""
    voting = [row for row in rows if row["judge"] != RULE_JUDGE]
    if len({row["judge"] for row in voting}) < 2:
        return []
    ballots: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in voting:
        ballots.setdefault((row["pair_id"], row["aggregation"]), []).append(row)
    return [
        {
            **votes[0],
            # A majority has no slots and no orders; that nobody was asked about a pair is true of it too.
            **{name: IDENTICAL if votes[0][name] == IDENTICAL else "" for name in ("order_1", "order_2")},
            "decided": 0,
            "slot1": 0,
            "judge": MAJORITY,
            "outcome": majority([vote["outcome"] for vote in votes]),
        }
        for votes in ballots.values()
    ]
