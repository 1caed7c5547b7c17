"""Windows over a session's questions, and the checks an extracted clarification must pass."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clarilm_kedro.pipelines.cfd.schemas import ExtractedClarification
from clarilm_kedro.text.normalise import normalise_question

#: A facet's words are short: what is longer than this many letters a word is a text without blanks.
_WORD_CHARS = 15
#: A demonstration stands in the prompt as lines ``label: "text"``.
_DEMONSTRATION = re.compile(r'^\s*\S+: "(.+)"\s*$', re.MULTILINE)
#: Share of words that two texts have in common where one is a copy of the other.
_COPIED = 0.8
#: Shorter words and these say nothing about where a text is from.
_CONTENT_CHARS = 4
_COMMON = frozenset({"which", "what", "when", "where", "does", "your", "mean", "should", "could", "would", "have"})
#: Latin, full-width and Arabic; what may close behind one.
_QUESTION_MARKS = ("?", "\uff1f", "\u061f")
_CLOSING = " \t\r\n\"'\u201d\u2019)\u00bb"


@dataclass(frozen=True)
class Demonstrations:
    """The texts of a prompt's examples, against which instances are checked.

    Attributes:
        texts: Every quoted text of the examples, positive and negative, as a set of words.
    """

    texts: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, prompt: str) -> "Demonstrations":
        """Read them from a prompt template; three words or fewer are too common to tell a copy."""
        found = [_words(text) for text in _DEMONSTRATION.findall(prompt)]
        return cls(tuple(sorted((words for words in found if len(words) > 3), key=sorted)))

    def copied(self, text: str, own: str) -> bool:
        """Say whether a text comes from an example and not from the user.

        Args:
            text: A question of the instance.
            own: What the user wrote. Someone may ask just what an example asks.

        Returns:
            True where it has four words in five in common with an example, and the user wrote less than half of the
            longer ones of these.
        """
        words, written = _words(text), _words(own)
        for example in self.texts:
            if len(words & example) >= _COPIED * len(words | example):
                content = {word for word in example - _COMMON if len(word) >= _CONTENT_CHARS} or example
                if len(content & written) < len(content) / 2:
                    return True
        return False


def windows(n_questions: int, size: int) -> list[range]:
    """Cut a session into windows that share one question, so that every consecutive pair lies in exactly one.

    Args:
        n_questions: User questions of the session.
        size: Questions per window, at least 2.

    Returns:
        Index ranges; none for a session of fewer than two questions.
    """
    return [range(start, min(start + size, n_questions)) for start in range(0, n_questions - 1, size - 1)]


def shown_questions(questions: Sequence[str], window: range, question_chars: int) -> dict[int, str]:
    """Give the questions of a window as the prompt shows them, each cut to ``question_chars`` characters."""
    return {index: questions[index][:question_chars] for index in window}


def complaint(
    item: ExtractedClarification, shown: Mapping[int, str], facet_words: int, demonstrations: Demonstrations
) -> str | None:
    """Say what is wrong with an extracted instance.

    Rewritten questions are not compared with the user's own: the paper lets the model rewrite them until each carries
    its whole intent, which may come from earlier questions and may change every word.

    Args:
        item: The instance.
        shown: Index to question, as the prompt showed them.
        facet_words: Longest facet allowed, in words.
        demonstrations: The prompt's examples.

    Returns:
        The reason to reject it, or ``None``.
    """
    if item.first not in shown or item.second not in shown:
        return f"indexes {item.first} and {item.second} are not both in the window {min(shown)} to {max(shown)}"
    if item.second != item.first + 1:
        return f"questions {item.first} and {item.second} are not consecutive"
    if not all((item.question.strip(), item.clarified_question.strip())):
        return "an empty question"
    if normalise_question(item.question) == normalise_question(item.clarified_question):
        return "both questions are the same, so nothing was clarified"
    if reason := facet_complaint(item.facet, item.clarifying_question, facet_words):
        return reason
    own = f"{shown[item.first]} {shown[item.second]}"
    parts = (item.question, item.clarifying_question, item.clarified_question)
    if any(demonstrations.copied(part, own) for part in parts):
        return "a copy of a demonstration"
    return None


def facet_complaint(facet: str, clarifying_question: str, facet_words: int) -> str | None:
    """Say what is wrong with a facet and its question.

    Args:
        facet: A short noun or clause.
        clarifying_question: The question that asks for it.
        facet_words: Longest facet allowed, in words.

    Returns:
        The reason to reject it, or ``None``.
    """
    if not normalise_question(facet):
        return "an empty facet"
    if len(facet.split()) > facet_words:
        return f"the facet has more than {facet_words} words"
    if len(facet) > facet_words * _WORD_CHARS:
        return f"the facet has more than {facet_words * _WORD_CHARS} characters"
    if not is_question(clarifying_question):
        return "the clarifying question is not a question"
    return None


def is_question(text: str) -> bool:
    """Say whether a text has words and ends with a question mark, that of any script, quoted or not."""
    return text.rstrip(" \t\r\n\"'\u201d\u2019)\u00bb").endswith(("?", "\uff1f", "\u061f")) and bool(
        normalise_question(text)
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(normalise_question(text).split())
