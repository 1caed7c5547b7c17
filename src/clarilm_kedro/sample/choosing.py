"""Choosing among candidates as CoTAP does (paper, section 3.3.3), by the world's order of facets."""

from collections.abc import Mapping, Sequence
from typing import Any

from clarilm_kedro.sample.matching import Vectors
from clarilm_kedro.sample.request import RequestError
from clarilm_kedro.text.normalise import normalise_facet, normalise_question

# Below this cosine of "facet: question" a candidate asks for none of the intent's facets. Two different facets of one
# intent of the sample world reach it in 3 % of the pairs.
_SAME_FACET = 0.55


def choose(
    vectors: Vectors, needs: bool, facets: Sequence[tuple[str, str]], candidates: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Choose the best candidate.

    Args:
        vectors: Encodes sentences.
        needs: Whether the question needs a clarifying question.
        facets: The question's facets and clarifying questions, the most useful first.
        candidates: Candidates with id, kind (``ask`` or ``answer``), facet and text.

    Returns:
        The id of the candidate and the thought behind the choice: the answer where nothing needs asking, else the
        question for the most useful facet (of several the smallest id), else whichever comes closest.

    Raises:
        RequestError: There is no candidate.
    """
    if not candidates:
        raise RequestError("The block <candidates> holds no candidate.", "bad_block", param="messages")
    answers = sorted(str(row["id"]) for row in candidates if row.get("kind") == "answer")
    asks = sorted((row for row in candidates if row.get("kind") != "answer"), key=lambda row: str(row["id"]))
    if answers and not (needs and asks):
        why = "already says what is needed, so asking would only cost time" if not needs else "leaves no one to ask"
        return answers[0], f"The question {why}. Of the {len(candidates)} candidates the direct answer is best."
    ranked = sorted(zip(ranked_by_facet(vectors, facets, asks), asks, strict=True), key=lambda pair: pair[0])
    place, _ = ranked[0][0]
    chosen = str(ranked[0][1]["id"])
    compared = ", ".join(dict.fromkeys(str(row.get("facet") or row.get("text")) for _, row in ranked))
    if place < len(facets):
        why = f"Everything else depends on the {facets[place][0]}, so that has to be known first."
    else:
        why = "None of them asks for what decides the answer; this one comes closest."
    return chosen, f"The question leaves open what a good answer depends on. I compared {compared}. {why}"


def ranked_by_facet(
    vectors: Vectors, facets: Sequence[tuple[str, str]], asks: Sequence[Mapping[str, Any]]
) -> list[tuple[int, float]]:
    """Rank candidates by the place of the facet each asks for; those that ask for none last, the closest first.

    Args:
        vectors: Encodes sentences.
        facets: The question's facets and clarifying questions, the most useful first.
        asks: Candidates with facet and text.

    Returns:
        For each candidate the place of its facet and 0; or the number of facets, and minus its similarity to the
        closest of them.
    """
    ranks = [_held(facets, str(row.get("facet", "")), str(row.get("text", ""))) for row in asks]
    unseen = [row for row, rank in zip(asks, ranks, strict=True) if rank is None]
    if not unseen or not facets:
        return [(len(facets) if rank is None else rank, 0.0) for rank in ranks]
    known = vectors.of([f"{facet}: {question}" for facet, question in facets])
    similarities = vectors.of([f"{row.get('facet', '')}: {row.get('text', '')}" for row in unseen]) @ known.T
    close = iter(similarities.max(axis=1).tolist())
    best = iter(similarities.argmax(axis=1).tolist())
    compared: list[tuple[int, float]] = []
    for rank in ranks:
        if rank is not None:
            compared.append((rank, 0.0))
            continue
        similarity, place = next(close), next(best)
        compared.append((place, 0.0) if similarity >= _SAME_FACET else (len(facets), -similarity))
    return compared


def _held(facets: Sequence[tuple[str, str]], facet: str, text: str) -> int | None:
    """Find the facet that a candidate asks for word for word."""
    for place, (name, question) in enumerate(facets):
        if normalise_question(text) == normalise_question(question):
            return place
        if facet and normalise_facet(facet) == normalise_facet(name):
            return place
    return None
