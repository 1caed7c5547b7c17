"""Token F1 between an asked clarifying question and the references, after stop-word removal (paper section 4.2).

The paper names neither tokeniser nor stop list, and both move the score by more than the systems differ; so both are
frozen here. Tokens are runs of letters and digits with at most one inner apostrophe part, lower case; the stop list is
the file ``stopwords_en.txt`` beside this module; the overlap counts repeated words as often as both sides have them.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from statistics import fmean
from typing import Literal

Combine = Literal["max", "mean", "first", "top_importance", "concat"]

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W\d_]+)?")
_BULLET = re.compile(r"^\s*(?:(?:[-*\u2022\u2013]|\(?\d{1,2}[.)])\s+|[=\-_*]{3,}\s*$)")
_PREFIX = re.compile(
    r"^\W*(?:(?:the|a|my|one)\s+)?(?:(?:clarify(?:ing)?|clarification|follow[- ]?up)\s+)?"
    r"questions?(?:\s*\d+)?\W*[:\uff1a][\s*_=-]*",
    re.IGNORECASE,
)
_QUOTES = ('""', "''", "\u201c\u201d")


@dataclass(frozen=True)
class Overlap:
    """Token overlap of one question with its references, each a fraction.

    Attributes:
        precision: Share of the question's tokens that are in the reference.
        recall: Share of the reference's tokens that are in the question.
        f1: Their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """Read the frozen English stop list (spaCy's 326 words)."""
    text = files(__package__).joinpath("stopwords_en.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.split("\n") if line and not line.startswith("#"))


def content_tokens(text: str) -> list[str]:
    """Split into lower-case tokens and drop stop words.

    Args:
        text: Any text; a typographic apostrophe counts as a plain one.

    Returns:
        Content tokens in order, repeats kept.
    """
    words = _TOKEN.findall(text.lower().replace("\u2019", "'"))
    return [word for word in words if word not in stop_words()]


def clean_question(text: str) -> str:
    """Strip what a model writes around its question: "Clarifying question:", bullets, numbers, rules, quotes.

    Args:
        text: The reply of a model that asked.

    Returns:
        The question alone; lines are joined by a space.
    """
    lines = [_BULLET.sub("", line).strip() for line in text.strip().split("\n")]
    lines = [_PREFIX.sub("", _BULLET.sub("", _PREFIX.sub("", line))).strip() for line in lines]
    joined = " ".join(line for line in lines if line)
    bare = joined.strip("*_` ")
    return bare[1:-1].strip() if len(bare) > 1 and bare[0] + bare[-1] in _QUOTES else bare


def token_overlap(question: str, reference: str) -> Overlap:
    """Compare one question with one reference as multisets of content tokens.

    F1 = 2 * overlap / (|question| + |reference|). Two empty sides agree (1); one empty side shares nothing (0).

    Args:
        question: The asked question, already cleaned.
        reference: The gold question.
    """
    asked, gold = Counter(content_tokens(question)), Counter(content_tokens(reference))
    n_asked, n_gold, common = asked.total(), gold.total(), (asked & gold).total()
    if n_asked == n_gold == 0:
        return Overlap(1.0, 1.0, 1.0)
    return Overlap(
        common / n_asked if n_asked else 0.0, common / n_gold if n_gold else 0.0, 2 * common / (n_asked + n_gold)
    )


def question_overlap(question: str, targets: Sequence[str], combine: Combine = "max") -> Overlap:
    """Compare one question with what an item has it compared with.

    Args:
        question: The asked question, already cleaned.
        targets: At least one text, as :func:`as_targets` gives them.
        combine: How the comparisons become one; each of precision, recall and F1 by itself.
    """
    overlaps = [token_overlap(question, target) for target in targets]
    reduce = reducer(combine)
    return Overlap(
        reduce([each.precision for each in overlaps]),
        reduce([each.recall for each in overlaps]),
        reduce([each.f1 for each in overlaps]),
    )


def as_targets(references: Sequence[str], combine: Combine, importances: Sequence[int] = ()) -> list[str]:
    """Turn the references of one item into the texts that a question is compared with, one by one.

    Args:
        references: Gold questions, at least one.
        combine: ``max`` (default: a system asks one question, so the best match counts), ``mean``, ``first``,
            ``top_importance`` (the most important one, the first of several; the first where none is more important)
            or ``concat`` (all references as one text).
        importances: Of each reference, larger is more important; empty where the benchmark has none.
    """
    if combine == "first" or (combine == "top_importance" and not len(importances)):
        return [references[0]]
    if combine == "top_importance":
        return [references[max(range(len(references)), key=lambda at: importances[at])]]
    return [" ".join(references)] if combine == "concat" else list(references)


def reducer(combine: Combine) -> Callable[[Sequence[float]], float]:
    """Say how the scores of one item's comparisons become one: their mean or their maximum."""
    return fmean if combine == "mean" else max
