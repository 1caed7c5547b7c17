"""Facet recall at k: how many of the facets that matter stand among the first k candidates.

A detector is judged on what it finds, not on what it says besides (paper, section 3.2: CFD is for recall). Two facets
are the same in one of two senses, and both are always given side by side:

* ``exact``: equal after :func:`clarilm_kedro.text.normalise.normalise_facet`. Other words for the same thing count as
  missed, so this is the lower estimate.
* ``cosine``: equal as above, or a cosine of their sentence vectors of at least a threshold. Neighbouring facets
  ("check-in time", "check-out time") pass too, so this is the upper estimate.

A gold facet counts once and a candidate stands for at most one gold facet: of all ways to pair the first k candidates
with gold facets, the one with the most pairs is taken (maximum bipartite matching). Pairing greedily by rank would let
a broad candidate take the only gold facet that a later, narrower one could stand for, and which gold facet it takes
would depend on their order, which means nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from clarilm_kedro.metrics.bootstrap import BootstrapOptions, Interval, sums_intervals
from clarilm_kedro.metrics.necessity import BoolArray
from clarilm_kedro.options import Options
from clarilm_kedro.text.embedding import get_embedder
from clarilm_kedro.text.normalise import normalise_facet

Sense = Literal["exact", "cosine"]
SENSES: tuple[Sense, ...] = ("exact", "cosine")
Vectors = Mapping[str, npt.NDArray[np.float32]]


class FacetMatching(Options):
    """When two facets are the same, and how far down a list is looked."""

    ks: tuple[int, ...] = Field(default=(1, 3, 5, 10), min_length=1, description="lengths of the list's head")
    threshold: float = Field(default=0.75, gt=0, le=1, description="cosine from which on two facets count as the same")
    embedding_model: str = Field(default="packaged:minilm", description="sentence encoder behind the cosine")


@dataclass(frozen=True)
class FacetLists:
    """One question's facets.

    Attributes:
        gold: The facets that matter.
        candidates: The facets proposed, the best first.
    """

    gold: tuple[str, ...]
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Recall:
    """Mean recall over questions.

    Attributes:
        sense: ``exact`` or ``cosine``.
        k: Length of the list's head.
        interval: The mean with its bootstrap interval over questions.
        n: Questions.
    """

    sense: Sense
    k: int
    interval: Interval
    n: int


def mean_recalls(questions: Iterable[FacetLists], matching: FacetMatching, bootstrap: BootstrapOptions) -> list[Recall]:
    """Average recall at every k over questions, each question counting the same (macro average).

    Args:
        questions: The questions; one without gold facets has no recall and is left out, one without candidates has 0.
        matching: Which k, and when two facets are the same.
        bootstrap: How intervals are drawn.

    Returns:
        One entry per sense and k, in that order; none where no question has gold facets.
    """
    judged = [question for question in questions if question.gold]
    if not judged:
        return []
    vectors = embed_facets((text for each in judged for text in (*each.gold, *each.candidates)), matching)
    per_question = np.array(
        [
            [value for sense in SENSES for value in question_recalls(question, sense, matching, vectors)]
            for question in judged
        ]
    )
    intervals = sums_intervals(per_question, lambda sums, n: sums / n, bootstrap)
    named = [(sense, k) for sense in SENSES for k in matching.ks]
    return [Recall(sense, k, interval, len(judged)) for (sense, k), interval in zip(named, intervals, strict=True)]


def question_recalls(question: FacetLists, sense: Sense, matching: FacetMatching, vectors: Vectors) -> list[float]:
    """Give one question's recall at every k.

    Args:
        question: Its facets; at least one gold facet.
        sense: When two facets are the same.
        matching: Which k, and the threshold.
        vectors: Unit vectors of all its facets; read for ``cosine`` only.

    Returns:
        Shares of the gold facets, 0 to 1. Gold facets of one normal form count once.
    """
    same = same_facets(distinct_facets(question.gold), question.candidates, sense, matching.threshold, vectors)
    return [_most_pairs(same[:, :k]) / same.shape[0] for k in matching.ks]


def same_facets(
    left: Sequence[str], right: Sequence[str], sense: Sense, threshold: float, vectors: Vectors
) -> BoolArray:
    """Compare facets with facets.

    Args:
        left: Facets.
        right: Facets.
        sense: ``exact``, or ``cosine``, which holds wherever ``exact`` does.
        threshold: Cosine from which on two facets are the same.
        vectors: Unit vectors by facet; read for ``cosine`` only.

    Returns:
        Array of shape [len(left), len(right)].
    """
    if not left or not right:
        return np.zeros((len(left), len(right)), dtype=bool)
    forms = [[normalise_facet(text) for text in texts] for texts in (left, right)]
    exact = np.array(forms[0])[:, None] == np.array(forms[1])[None, :]
    if sense == "exact":
        return exact
    cosine = np.stack([vectors[text] for text in left]) @ np.stack([vectors[text] for text in right]).T
    # Rounded, because the last digits depend on what else was encoded in the same batch.
    return exact | (cosine.round(4) >= threshold)


def embed_facets(facets: Iterable[str], matching: FacetMatching) -> Vectors:
    """Encode facets, each once.

    Args:
        facets: Their texts.
        matching: Names the encoder.

    Returns:
        Unit vectors by text.
    """
    texts = sorted(set(facets))
    if not texts:
        return {}
    return dict(zip(texts, get_embedder(matching.embedding_model).encode(texts), strict=True))


def distinct_facets(facets: Iterable[str]) -> list[str]:
    """Keep the first of the facets that have one normal form."""
    kept: dict[str, str] = {}
    for facet in facets:
        kept.setdefault(normalise_facet(facet), facet)
    return list(kept.values())


def _most_pairs(same: BoolArray) -> int:
    """Size of the largest pairing of rows with columns, each used once at most."""
    if not same.any():
        return 0
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return int((maximum_bipartite_matching(csr_matrix(same), perm_type="column") >= 0).sum())
