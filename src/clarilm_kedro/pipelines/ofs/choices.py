"""Reading the choice of a reasoning model, also where it answers in prose (CoTAP, section 3.3.3)."""

import re
from functools import lru_cache
from typing import Any, Literal, Self, get_args

from pydantic import create_model

from clarilm_kedro.chat.parse import ReadsProse, json_objects

# "I choose c3", "Final answer: **c3**", "the best candidate is `c3`", "c3 is the best"; not "I would not choose c1".
_DECLARED = re.compile(
    r"(?<!\bnot )(?<!n't )\b(?:choice|choose|chose|chosen|select|selected|pick|picked|answer|decision|"
    r"best (?:candidate|reaction|option))(?: (?:is|would be|should be|candidate|reaction|option|id))*"
    r"[\s:=*`\"'(\[]*(?P<after>c\d+)\b"
    r"|\b(?P<before>c\d+)[*`\"')\]]* (?:is|would be) (?:the )?(?:best|optimal)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\bc\d+\b", re.IGNORECASE)


class Choice(ReadsProse):
    """Reply to the annotation prompt."""

    thought: str = ""
    choice: str

    @classmethod
    def from_prose(cls, text: str) -> Self | None:
        """Find the choice in a reply that is not the JSON object asked for.

        In this order: the last JSON object in the text that has a valid ``choice``; the last id that the text declares
        ("I choose c3", "Answer: c3"); the only id it names at all. Where several are named and none is declared, the
        reply decides nothing.

        Args:
            text: The reply without thoughts.

        Returns:
            The choice, with the reply as its thought, or ``None``.
        """
        offered = get_args(cls.model_fields["choice"].annotation)
        for value in reversed(list(json_objects(text))):
            if value.get("choice") in offered:
                return cls(thought=str(value.get("thought") or text.strip()), choice=value["choice"])
        declared = [str(found["after"] or found["before"]).lower() for found in _DECLARED.finditer(text)]
        named = {found.lower() for found in _NAMED.findall(text)}
        chosen = declared[-1] if declared else next(iter(named)) if len(named) == 1 else ""
        return cls(thought=text.strip(), choice=chosen) if chosen in offered else None


@lru_cache(maxsize=64)
def choice_among(ids: tuple[str, ...]) -> type[Choice]:
    """Narrow :class:`Choice` to the ids that were offered, so that an endpoint can enforce a valid one.

    Args:
        ids: The candidates' ids.

    Returns:
        The reply's shape.
    """
    offered: Any = Literal[ids]
    return create_model("Choice", __base__=Choice, choice=(offered, ...))
