"""A judge without a model, for runs without one: the right decision, then the better question, then the shorter reply.

It sees the gold label and the references, which a language model does not get to see. It shows that pairs, tables and
figures work, and says little about quality: its name says what it is wherever it is shown.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.metrics.judging.verdicts import (
    JUDGEMENTS,
    LOSE,
    ORDERS,
    TIE,
    WIN,
    identical_judgements,
    judgement,
    verdict_for,
)
from clarilm_kedro.metrics.question_quality import question_overlap
from clarilm_kedro.tables import records, table

RULE_JUDGE = "rule judge, not an LLM"
# Token F1 is a ratio of small whole numbers, so that two that differ are further apart than this.
_SAME = 1e-9


def rule_judgements(pairs: pd.DataFrame) -> pd.DataFrame:
    """Judge every pair by rule.

    Args:
        pairs: Columns of :data:`clarilm_kedro.metrics.judging.pairs.PAIRS`.

    Returns:
        Columns of :data:`clarilm_kedro.metrics.judging.verdicts.JUDGEMENTS`, two orders a pair.
    """
    given = records(pairs)
    rows = identical_judgements(given, RULE_JUDGE)
    for pair in given:
        if not pair["identical"]:
            outcome, reason = rule_outcome(pair)
            rows += [
                judgement(pair, RULE_JUDGE, order, verdict_for(outcome, order), reason=reason, model=RULE_JUDGE)
                for order in ORDERS
            ]
    return table(rows, JUDGEMENTS)


def rule_outcome(pair: Mapping[str, Any]) -> tuple[str, str]:
    """Decide one pair.

    1. Who decided right between asking and answering wins.
    2. Where both asked rightly, the question with the larger token F1 to its closest reference or gold facet wins.
    3. A reply wins over none; then the one with fewer words wins.

    Args:
        pair: A row of :data:`clarilm_kedro.metrics.judging.pairs.PAIRS`.

    Returns:
        ``win``, ``tie`` or ``lose`` for the system, and the rule that decided.
    """
    needs = bool(pair["needs_clarification"])
    right = [bool(pair[f"asked_{side}"]) == needs for side in ("system", "other")]
    if right[0] != right[1]:
        return _larger(*right), "the right decision"
    texts = [str(pair[f"text_{side}"]) for side in ("system", "other")]
    gold = [*pair["references"], *pair["facets"]]
    if needs and right[0] and gold:
        ours, theirs = (question_overlap(text, gold).f1 for text in texts)
        if abs(ours - theirs) > _SAME:
            return _larger(ours, theirs), "the question closer to the gold ones"
    words = [len(text.split()) for text in texts]
    if min(words) == 0 < max(words):
        return _larger(*words), "a reply at all"
    return _larger(words[1], words[0]), "the shorter reply"


def _larger(ours: float, theirs: float) -> str:
    return TIE if ours == theirs else WIN if ours > theirs else LOSE
