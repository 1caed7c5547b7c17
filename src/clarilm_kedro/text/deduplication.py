"""Which of several near-duplicates is kept, and which texts stand or fall together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clarilm_kedro.text.hashing import stable_id
from clarilm_kedro.text.normalise import normalise_question
from clarilm_kedro.text.similarity import NearDuplicateRule, pairs_within

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Duplicate:
    """A text that is nearly the same as one that is kept.

    Attributes:
        at: Its position.
        of: Position of the text that is kept; of several the most similar.
        method: How the two were compared.
        score: How similar they are.
    """

    at: int
    of: int
    method: str
    score: float


def find_duplicates(texts: Sequence[str], rule: NearDuplicateRule, n_kept: int = 0) -> list[Duplicate]:
    """Choose what to drop so that no near-duplicates remain and each dropped text is like one that remains.

    A text is dropped where it is a near-duplicate of a kept one that comes before it, in the order of the hashes of the
    normal forms. A chain of similar texts is therefore not merged into one, what is dropped does not depend on the
    order of the rows, and among the kept ones nothing is left to drop.

    Args:
        texts: Any texts.
        rule: When two texts count as nearly the same.
        n_kept: How many of the first texts are kept whatever they are like.

    Returns:
        The texts to drop, ordered by position.
    """
    similar = neighbours(pairs_within(texts, rule))
    kept = set(range(n_kept))
    dropped = {}
    for at in sorted(range(n_kept, len(texts)), key=lambda each: (_identity(texts[each]), texts[each])):
        near = [pair for pair in similar.get(at, ()) if pair[0] in kept]
        if near:
            dropped[at] = Duplicate(at, *min(near, key=lambda pair: (-pair[2], _identity(texts[pair[0]]), pair[0])))
        else:
            kept.add(at)
    return [dropped[at] for at in sorted(dropped)]


def clusters(texts: Sequence[str], pairs: "pd.DataFrame") -> list[str]:
    """Name the cluster of every text: texts that pairs connect, directly or through others, are one.

    Args:
        texts: Any texts.
        pairs: Columns left and right, positions in ``texts``.

    Returns:
        One name per text, made of the cluster's texts, so that it does not depend on the order of the rows.
    """
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = len(texts)
    edges = coo_matrix((np.ones(len(pairs), dtype=bool), (pairs["left"], pairs["right"])), shape=(size, size))
    _, labels = connected_components(edges, directed=False)
    names: dict[int, str] = {}
    for label, text in zip(labels, texts, strict=True):
        name = _identity(text)
        names[label] = min(names.get(label, name), name)
    return [names[label] for label in labels]


def neighbours(pairs: "pd.DataFrame") -> dict[int, list[tuple[int, str, float]]]:
    """Give each position the positions that it makes a pair with, and the pairs' method and score."""
    found: dict[int, list[tuple[int, str, float]]] = defaultdict(list)
    for left, right, method, score in pairs[["left", "right", "method", "score"]].itertuples(index=False):
        found[left].append((right, method, score))
        found[right].append((left, method, score))
    return found


def _identity(text: str) -> str:
    return stable_id("cluster", normalise_question(text))
