"""What a judge says about two replies named A and B, and what that means for the system.

Every pair is judged twice: in order 1 the system's reply is A, in order 2 it is B. Judges prefer a slot whatever stands
in it (Liusie et al. 2024, "LLM Comparative Assessment"), and only the second order shows it.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import field_validator

from clarilm_kedro.chat.parse import ReadsProse, json_objects

ORDERS = (1, 2)
WIN, TIE, LOSE = "win", "tie", "lose"
#: Instead of A, B or tie: no usable verdict came, or the replies are the same and nobody was asked.
INVALID, IDENTICAL = "invalid", "identical"

#: One row per pair, judge and order. ``cost_usd`` is what the call cost in this run, null where that is unknown.
JUDGEMENTS = {
    "pair_id": "str",
    "benchmark": "str",
    "item_id": "str",
    "system": "str",
    "other": "str",
    "judge": "str",
    "order": "int64",
    "verdict": "str",
    "reason": "str",
    "model": "str",
    "prompt_sha": "str",
    "request_key": "str",
    "cost_usd": "float64",
}

_WORD = r"(?:reply|response|answer|assistant)?[\s_]*(?P<{0}>(?-i:[AB])\b(?!\s*(?:and\b|or\b|/|&))|tie\b|draw\b|equal\b)"
# "Verdict: B", "my verdict is **tie**", "[[A]]", "reply A is better"; not "reply A is not better".
_DECLARED = re.compile(
    rf"\bverdict\b(?:\s+is)?[\s:=*`\"'(\[]*(?:a\s+)?{_WORD.format('named')}"
    rf"|\[\[\s*{_WORD.format('marked')}\s*\]\]"
    rf"|\b(?:reply|response|answer|assistant)[\s_]+(?P<praised>(?-i:[AB]))[*`\"')\]]*"
    r" is (?:clearly |slightly )?better\b",
    re.IGNORECASE,
)
_SPOKEN = {"a": "A", "b": "B", "tie": "tie", "draw": "tie", "equal": "tie"}
_NAME = re.compile(r"^(?:reply|response|answer|assistant)(?=[\s_]*[ab]$)[\s_]*")


class Verdict(ReadsProse):
    """Reply to the judge prompt; the reason comes first, so that a model thinks before it decides."""

    reason: str = ""
    verdict: Literal["A", "B", "tie"]

    @field_validator("verdict", mode="before")
    @classmethod
    def _spelled_as_asked(cls, value: Any) -> Any:
        return spelled(value) or value

    @classmethod
    def from_prose(cls, text: str) -> Self | None:
        """Find the verdict in a reply that is not the JSON object asked for.

        In this order: the last JSON object in the text with a valid ``verdict``; the last verdict that the text
        declares ("Verdict: B", "[[tie]]", "reply A is better"). A reply that only talks about A and B decides nothing.

        Args:
            text: The reply without thoughts.

        Returns:
            The verdict, with the reply as its reason, or ``None``.
        """
        for value in reversed(list(json_objects(text))):
            if found := spelled(value.get("verdict")):
                return cls.model_validate({"reason": str(value.get("reason") or text.strip()), "verdict": found})
        declared = [spelled(each["named"] or each["marked"] or each["praised"]) for each in _DECLARED.finditer(text)]
        return cls.model_validate({"reason": text.strip(), "verdict": declared[-1]}) if declared else None


def spelled(value: Any) -> str | None:
    """Read a verdict's word in any case, also as "Reply A".

    Args:
        value: What a judge or a person wrote.

    Returns:
        ``A``, ``B`` or ``tie``; ``None`` where it is none of them.
    """
    if not isinstance(value, str):
        return None
    return _SPOKEN.get(_NAME.sub("", value.strip(" \t\r\n.*`\"'[]()").casefold()))


def shown(pair: Mapping[str, Any], order: int) -> tuple[str, str]:
    """Give the replies A and B of one order.

    Args:
        pair: A row of :data:`clarilm_kedro.metrics.judging.pairs.PAIRS`.
        order: 1 puts the system first, 2 its opponent.
    """
    texts = (str(pair["text_system"]), str(pair["text_other"]))
    return texts if order == 1 else texts[::-1]


def outcome_of(verdict: str, order: int) -> str:
    """Say what a verdict means for the system.

    Args:
        verdict: ``A``, ``B``, ``tie``, ``identical`` or ``invalid``.
        order: 1 where the system is A, 2 where it is B.

    Returns:
        ``win``, ``tie`` or ``lose``; ``invalid`` stays what it is, ``identical`` is a tie.
    """
    if verdict in ("A", "B"):
        return WIN if (verdict == "A") == (order == 1) else LOSE
    return INVALID if verdict == INVALID else TIE


def verdict_for(outcome: str, order: int) -> str:
    """Give the verdict that means an outcome: what a judge says who does not look at the order."""
    if outcome == TIE:
        return TIE
    return "A" if (outcome == WIN) == (order == 1) else "B"


def judgement(pair: Mapping[str, Any], judge: str, order: int, verdict: str, **more: Any) -> dict[str, Any]:
    """Write one row of :data:`JUDGEMENTS`.

    Args:
        pair: The pair.
        judge: Name of the judge.
        order: 1 or 2.
        verdict: What it said.
        **more: Any of reason, model, prompt_sha, request_key, cost_usd.
    """
    blank = {"reason": "", "model": "", "prompt_sha": "", "request_key": "", "cost_usd": None}
    return {**pair, **blank, "judge": judge, "order": order, "verdict": verdict, **more}


def identical_judgements(pairs: list[dict[str, Any]], judge: str) -> list[dict[str, Any]]:
    """Write the rows of pairs whose replies are the same: a tie that no judge is asked for."""
    return [judgement(pair, judge, order, IDENTICAL) for pair in pairs if pair["identical"] for order in ORDERS]
