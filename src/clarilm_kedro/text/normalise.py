"""Normal forms under which two questions or two facets count as the same."""

import re
import unicodedata

# A "+" or "#" behind a word is part of its name: C, C++ and C# are three things.
_NOT_WORD = re.compile(r"(?:[^\w+#]|(?<![\w+#])[+#])+")
_USERS = re.compile(r"\b(?:the\s+)?users?['\u2019]s?\s+", re.IGNORECASE)
_POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s\b", re.IGNORECASE)
_LEAD_INS = re.compile(r"^(?:(?:specific|specify|specifying|clarify|clarifying|a|which|what|your|preferred)\s+)+")
_ARTICLES = frozenset({"the", "an"})


def normalise_question(text: str) -> str:
    """Fold a question to lower case words.

    Args:
        text: A question.

    Returns:
        NFKC, case folded, punctuation and white space to single spaces; ``+`` and ``#`` stay behind a word (C++, C#).
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii():  # folding the case can take a text out of its normal form
        folded = unicodedata.normalize("NFKC", folded)
    return _NOT_WORD.sub(" ", folded).strip()


def normalise_facet(text: str) -> str:
    """Fold a facet for exact matching.

    Lower case words as in :func:`normalise_question`, without articles, possessives, plain plurals and the lead-ins
    that extracted facets have ("specifying", "the user's", "which", "preferred", "specific"). "a" goes only at the
    beginning: inside it may be a name (vitamin A).

    Args:
        text: A facet.

    Returns:
        The normal form; that of the whole text where nothing else is left of it.
    """
    folded = normalise_question(text)
    # What is left of "user' the" without its possessive is nothing, of its words alone "user".
    return _without_fillers(text) or _without_fillers(folded) or folded


def _without_fillers(text: str) -> str:
    return _LEAD_INS.sub("", " ".join(word for word in facet_words(text) if word not in _ARTICLES))


def facet_words(text: str) -> list[str]:
    """Split a facet into lower case words, possessives and plain plurals folded; nothing is left out but "the user's".

    Args:
        text: A facet.

    Returns:
        Its words in order.
    """
    owned = _POSSESSIVE.sub("", _USERS.sub("", text))
    return [_singular(word) for word in normalise_question(owned).split()]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word
