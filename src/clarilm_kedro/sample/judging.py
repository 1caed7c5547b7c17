"""Comparing two replies by what the sample world knows: whether to ask, and which facet matters most."""

from collections.abc import Sequence

from clarilm_kedro.sample.choosing import ranked_by_facet
from clarilm_kedro.sample.matching import Vectors


def judge(
    vectors: Vectors, needs: bool, facets: Sequence[tuple[str, str]], reply_a: str, reply_b: str
) -> tuple[str, str]:
    """Judge two replies; who stands first does not matter.

    Args:
        vectors: Encodes sentences.
        needs: Whether the question needs a clarifying question.
        facets: The question's facets and clarifying questions, the most useful first.
        reply_a: A reply; it asks if it ends with a question mark.
        reply_b: Likewise.

    Returns:
        ``A``, ``B`` or ``tie``, and why: the right decision wins, then, where both ask rightly, the more useful facet,
        then a reply over none. It knows nothing of how good an answer is.
    """
    replies = (reply_a, reply_b)
    right = [bool(reply.strip()) and reply.rstrip().endswith("?") == needs for reply in replies]
    if right[0] != right[1]:
        return _better(*right), f"it is right to {'ask back' if needs else 'answer at once'} here."
    if all(right) and needs:
        ranks = ranked_by_facet(vectors, facets, [{"facet": "", "text": reply} for reply in replies])
        if ranks[0][0] != ranks[1][0]:
            return _better(-ranks[0][0], -ranks[1][0]), "it asks for what matters more."
        return "tie", "both ask for the same, or for nothing that matters."
    said = [bool(reply.strip()) for reply in replies]
    if said[0] != said[1]:
        return _better(*said), "it says something at all."
    return "tie", "both are right." if all(right) else "both are wrong."


def _better(a: float, b: float) -> str:
    return "A" if a > b else "B"
