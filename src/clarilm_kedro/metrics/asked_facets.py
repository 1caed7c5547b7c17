"""Which of an item's gold facets does the asked question ask for?

Token F1 hardly tells a model from an echo of the user's question; what matters is whether the question goes for
something that is really missing. A system asks one question, so its recall over several gold facets is seldom 1. A
facet counts as asked for in one of two senses, always given side by side:

- ``exact``: every content word of the facet, plain plurals folded, stands in the question. Other words for it count
  as missed: the lower estimate.
- ``cosine``: as above, or the question's sentence vector is as near as a threshold to that of the facet's reference
  question (of the facet itself where it has none). Questions about the same task are near one another (at 0.75 some
  4 % of the different inquiries of one IN3 task): the upper estimate.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from clarilm_kedro.metrics.question_quality import stop_words
from clarilm_kedro.options import Options
from clarilm_kedro.text.embedding import get_embedder
from clarilm_kedro.text.normalise import facet_words, normalise_facet


class AskedFacetOptions(Options):
    """When a question counts as asking for a facet."""

    embedding_model: str = Field(
        default="packaged:minilm", description="packaged:minilm, a local folder or a Hugging Face id."
    )
    threshold: float = Field(
        default=0.75, gt=0, le=1, description="Cosine from which on a question asks for what its reference asks for."
    )


def asked_facet_recalls(
    questions: Sequence[str],
    facets: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
    options: AskedFacetOptions,
) -> list[tuple[float, float]]:
    """Compute what share of its gold facets each question asks for.

    Args:
        questions: One per item; an empty one asks for nothing.
        facets: The gold facets of each item, at least one each.
        references: The gold questions of each item; where there are as many as facets, they belong together.
        options: Sentence encoder and threshold.

    Returns:
        Per item the recall in the exact and in the cosine sense, 0 to 1.
    """
    targets = [list(asks if len(asks) == len(names) else names) for names, asks in zip(facets, references, strict=True)]
    asked = [question for question in questions if question]
    texts = sorted(
        {*asked, *(text for question, each in zip(questions, targets, strict=True) if question for text in each)}
    )
    vectors = dict(zip(texts, get_embedder(options.embedding_model).encode(texts), strict=True)) if texts else {}
    return [
        _recalls(question, names, each, vectors, options.threshold) if question else (0.0, 0.0)
        for question, names, each in zip(questions, facets, targets, strict=True)
    ]


def _recalls(
    question: str,
    facets: Sequence[str],
    targets: Sequence[str],
    vectors: Mapping[str, npt.NDArray[np.float32]],
    threshold: float,
) -> tuple[float, float]:
    words = set(facet_words(question))
    exact = np.array([_content(facet) <= words for facet in facets])
    # Rounded, because the last digits depend on what else was encoded in the same batch.
    cosine = (np.stack([vectors[target] for target in targets]) @ vectors[question]).round(4) >= threshold
    return float(exact.mean()), float((exact | cosine).mean())


def _content(facet: str) -> set[str]:
    words = set(normalise_facet(facet).split())
    return words - stop_words() or words
