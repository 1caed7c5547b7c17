"""What keeps two facets apart however alike a sentence encoder finds them: opposites, roles, numbers, names.

Encoders give "check-in time" and "check-out time" or "current job title" and "desired job title" a cosine above 0.85,
because all but one word agrees. Two facets that differ in such a word ask for different things.
"""

import re
from collections.abc import Collection

from clarilm_kedro.text.normalise import facet_words

#: Words that exclude one another, a group a line and its sides between bars; words of one side mean about the same. A
#: word may stand on several sides, and excludes those with which it shares none.
OPPOSITES = (
    # order and bounds
    "start starting begin beginning | end ending finish finishing",
    "first earliest | last latest final",
    "min minimum minimal least lowest fewest | max maximum maximal most highest",
    "lower bottom | upper top",
    "before pre prior | after post following",
    "early | late",
    "old older used | new newer",
    "young younger | old older",
    "current present existing actual | desired target aimed future planned intended wanted preferred | previous past "
    "former",
    # direction and place
    "from | to",
    "source origin original | target destination",
    "departure departing leaving outbound | arrival arriving destination | return returning inbound",
    "input | output",
    "import | export",
    "upload | download",
    "in checkin | out checkout",
    "login | logout",
    "indoor inside | outdoor outside",
    "internal | external",
    "incoming | outgoing",
    "left | right",
    "front | back rear",
    "north northern | south southern | east eastern | west western",
    "horizontal | vertical",
    "domestic | international",
    "online virtual remote | offline person onsite",
    # roles
    "sender | recipient receiver addressee",
    "author writer speaker presenter | reader audience listener",
    "giver | recipient receiver",
    "buyer buying purchase purchasing customer | seller selling sale vendor | rent rental renting",
    "host | guest",
    "teacher instructor | student learner",
    "parent mother father | child kid son daughter",
    "employer | employee",
    "client frontend | server backend",
    "lender | borrower",
    "landlord | tenant",
    "interviewer | interviewee candidate",
    "doctor | patient",
    "baby infant toddler | kid child children | teen teenager | adult | senior elderly",
    "man men male boy | woman women female girl",
    "husband groom | wife bride",
    # degrees and kinds
    "high higher | low lower",
    "big bigger large larger | small smaller",
    "long longer | short shorter",
    "fast | slow",
    "hot warm | cold",
    "cheap | expensive",
    "easy simple | hard difficult complex",
    "public | private",
    "positive | negative",
    "formal | informal casual",
    "primary main | secondary",
    "single | double | triple",
    "hardware | software",
    "theory theoretical | practice practical",
    "income revenue earning | expense spending expenditure",
    "profit | loss",
    "credit | debit",
    "gross | net",
    "fixed | variable",
    "cause | effect consequence",
    "advantage benefit pro strength | disadvantage drawback con weakness",
    "problem | solution",
    "read reading | write writing",
    "same | different",
    "breakfast | lunch | dinner",
    "music song | movie film | book novel | game",
    # time
    "morning | afternoon | evening | night",
    "weekday | weekend",
    "hourly | daily | weekly | monthly | quarterly | yearly annual",
    "minute | hour | day | week | month | year",
    "monday | tuesday | wednesday | thursday | friday | saturday | sunday",
    "spring | summer | autumn fall | winter",
    # what of a thing is asked for
    "type kind sort category style genre | duration length time | size dimension number quantity amount count | color "
    "colour | brand make manufacturer | model | price cost budget | location place city country region area | date day "
    "| age | gender sex | name title | format | language | tone | level | purpose reason goal objective | source | "
    "method | topic subject | frequency",
    "width | height | depth | length",
    "city | country | region area",
    "goal objective | level",
    "date day | time hour",
)
#: With one of these a facet asks for the contrary, whatever stands opposite.
NEGATIONS = frozenset({"no", "non", "not", "without", "except", "excluding", "never", "unlike"})

_NUMBER_WORDS = (
    "zero",
    "one first single",
    "two second double",
    "three third triple",
    "four fourth",
    "five fifth",
    "six sixth",
    "seven seventh",
    "eight eighth",
    "nine ninth",
    "ten tenth",
    "eleven eleventh",
    "twelve twelfth",
)
_NUMBERS = {word: str(value) for value, words in enumerate(_NUMBER_WORDS) for word in words.split()}
_DIGITS = re.compile(r"(\d+)(?:st|nd|rd|th)?")
_TOKEN = re.compile(r"\w[\w.+#'\u2019-]*")


def _sides() -> dict[str, dict[int, frozenset[int]]]:
    found: dict[str, dict[int, frozenset[int]]] = {}
    for group, line in enumerate(OPPOSITES):
        for side, words in enumerate(line.split("|")):
            for word in words.split():
                at = found.setdefault(word, {})
                at[group] = at.get(group, frozenset()) | {side}
    return found


_SIDES = _sides()


def veto(facet: str, other: str) -> str | None:
    """Say why two facets must not be merged.

    Looked at are only the words that one has and the other lacks.

    Args:
        facet: A facet as written.
        other: Another.

    Returns:
        The words that keep them apart, ``one / other`` with ``-`` where one side has none; None where nothing does.
        Exchanging the facets exchanges the sides.
    """
    words, others = facet_words(facet), facet_words(other)
    only, only_other = sorted(set(words) - set(others)), sorted(set(others) - set(words))
    opposed = [(word, opposite) for word in only for opposite in only_other if _exclude(word, opposite)]
    if opposed:
        return " / ".join(min(opposed, key=sorted))
    pairs = (
        (NEGATIONS.intersection(only), NEGATIONS.intersection(only_other)),
        _unless_equal(_numbers(words), _numbers(others)),
        _if_both(_names(facet) - set(others), _names(other) - set(words)),
    )
    for left, right in pairs:
        if left or right:
            return f"{_listed(left)} / {_listed(right)}"
    return None


def _exclude(word: str, other: str) -> bool:
    sides, others = _SIDES.get(word, {}), _SIDES.get(other, {})
    return any(sides[group].isdisjoint(others[group]) for group in sides.keys() & others.keys())


def _numbers(words: list[str]) -> set[str]:
    digits = (_DIGITS.fullmatch(word) for word in words)
    return {str(int(found[1])) for found in digits if found} | {_NUMBERS[word] for word in words if word in _NUMBERS}


def _names(facet: str) -> set[str]:
    """Find words that their capitals mark as names; in a heading, where all words have one, they mark nothing."""
    if facet.isupper():
        return set()
    tokens = _TOKEN.findall(facet)
    heading = all(token[0].isupper() for token in tokens if len(token) > 3)
    found = [
        token
        for place, token in enumerate(tokens)
        if any(letter.isupper() for letter in token[1:]) or (place and token[0].isupper() and not heading)
    ]
    return {word for token in found for word in facet_words(token)}


def _unless_equal(left: set[str], right: set[str]) -> tuple[set[str], set[str]]:
    return (left - right, right - left)


def _if_both(left: set[str], right: set[str]) -> tuple[set[str], set[str]]:
    return (left, right) if left and right else (set(), set())


def _listed(words: Collection[str]) -> str:
    return ", ".join(sorted(words)) or "-"
