"""Texts that say nearly the same, found in near-linear time, every pair verified.

Two texts are near-duplicates under a rule where

1. their normal forms are equal, or
2. the Jaccard similarity of their character 5-grams is at least ``jaccard``, or
3. that similarity is at least ``band_from`` and the cosine of their sentence embeddings at least ``cosine``.

MinHash signatures propose pairs, and each is verified by its exact similarity: no reported pair is false, and whether a
pair is reported depends on its two texts alone, not on the order of the rows and not on other rows. Only texts that
have a pair in the band are embedded.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from clarilm_kedro.options import Options
from clarilm_kedro.text.candidates import propose_pairs
from clarilm_kedro.text.cosine import close_pairs, cosines
from clarilm_kedro.text.minhash import shingles
from clarilm_kedro.text.normalise import normalise_question

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

EXACT, LEXICAL, SEMANTIC = "exact_normalised", "char5_jaccard", "embedding"
#: How likely a pair exactly at ``jaccard`` is found, and one at the lower end of the band; pairs above are likelier.
SURE, OFTEN = 0.999, 0.9
#: Pairs whose similarity is computed at a time.
BLOCK = 100_000


class NearDuplicateRule(Options):
    """When two texts count as nearly the same."""

    jaccard: float = Field(0.8, gt=0, le=1, description="Jaccard similarity of character 5-grams from which on they do")
    cosine: float | None = Field(
        0.95, gt=0, le=1, description="cosine of embeddings from which on pairs in the band do; null: none does"
    )
    band_from: float = Field(0.6, ge=0, le=1, description="Jaccard similarity at which the band begins; 0: every pair")
    permutations: int = Field(128, ge=16, le=256, description="length of a MinHash signature")
    embedding_model: str = Field("packaged:minilm", description="packaged:minilm, a local folder or a hub id")

    @model_validator(mode="after")
    def _band(self) -> "NearDuplicateRule":
        if self.cosine is not None and self.band_from > self.jaccard:
            raise ValueError(f"band_from = {self.band_from:g} is above jaccard = {self.jaccard:g}")
        return self


def pairs_within(texts: Sequence[str], rule: NearDuplicateRule) -> "pd.DataFrame":
    """Find the near-duplicates in a list.

    Args:
        texts: Any texts; equal ones make a pair each with each.
        rule: When two texts count as nearly the same.

    Returns:
        Columns left, right (positions in ``texts``, left < right), method (the first of the three that applies) and
        score (1.0, the Jaccard similarity or the cosine), ordered by left and right.
    """
    import numpy as np

    forms, placed = _by_form(texts)
    pairs = _expand(_similar(forms, np.arange(len(forms)), None, rule), placed, placed)
    one, other = pairs["left"].to_numpy(), pairs["right"].to_numpy()
    pairs["left"], pairs["right"] = np.minimum(one, other), np.maximum(one, other)
    return _ordered(pairs[pairs["left"] < pairs["right"]].drop_duplicates(["left", "right"]))


def pairs_between(left: Sequence[str], right: Sequence[str], rule: NearDuplicateRule) -> "pd.DataFrame":
    """Find the near-duplicates between two lists, such as training and test questions.

    Args:
        left: Texts.
        right: Texts.
        rule: When two texts count as nearly the same.

    Returns:
        As :func:`pairs_within`, with positions in ``left`` and in ``right``.
    """
    import numpy as np

    forms, placed = _by_form([*left, *right])
    is_left = placed["at"] < len(left)
    lefts, rights = placed[is_left], placed[~is_left]
    rights = rights.assign(at=rights["at"] - len(left))
    sides = [np.unique(side["form"].to_numpy()) for side in (lefts, rights)]
    return _ordered(_expand(_similar(forms, sides[0], sides[1], rule), lefts, rights))


def _by_form(texts: Sequence[str]) -> tuple[list[str], "pd.DataFrame"]:
    """Give the distinct normal forms, ordered, and a table that places every text: columns at and form (positions)."""
    import pandas as pd

    normal = [normalise_question(text) for text in texts]
    forms = sorted(set(normal))
    number = {form: at for at, form in enumerate(forms)}
    placed = {"at": range(len(texts)), "form": [number[form] for form in normal]}
    return forms, pd.DataFrame(placed, dtype="int64")


def _similar(
    forms: Sequence[str], left: "np.ndarray", right: "np.ndarray | None", rule: NearDuplicateRule
) -> "pd.DataFrame":
    """Find the pairs of forms that a rule holds for; within ``left`` where ``right`` is null."""
    import numpy as np
    import pandas as pd

    same = left if right is None else np.intersect1d(left, right)
    exact = _table(np.stack([same, same], axis=1), EXACT, np.ones(len(same)))
    banded = rule.cosine is not None and 0 < rule.band_from < rule.jaccard
    wanted = [(rule.jaccard, SURE), *([(rule.band_from, OFTEN)] if banded else [])]
    proposed = propose_pairs(forms, left, right, wanted, rule.permutations)
    similarity = _jaccard(forms, proposed)
    lexical = _table(proposed[similarity >= rule.jaccard], LEXICAL, similarity[similarity >= rule.jaccard])
    if rule.cosine is None:
        return pd.concat([exact, lexical], ignore_index=True)
    if banded:
        close = proposed[(similarity >= rule.band_from) & (similarity < rule.jaccard)]
        scores = cosines(forms, close, rule.embedding_model)
        close, scores = close[scores >= rule.cosine], scores[scores >= rule.cosine]
    else:
        close, scores = _close_everywhere(forms, left, right, rule)
    found = pd.concat([exact, lexical, _table(close, SEMANTIC, scores)], ignore_index=True)
    return found.drop_duplicates(["left", "right"])


def _close_everywhere(
    forms: Sequence[str], left: "np.ndarray", right: "np.ndarray | None", rule: NearDuplicateRule
) -> tuple["np.ndarray", "np.ndarray"]:
    import numpy as np

    other = left if right is None else right
    lowest = 1.0 if rule.cosine is None else rule.cosine
    at, scores = close_pairs(
        [forms[each] for each in left], [forms[each] for each in other], lowest, rule.embedding_model
    )
    pairs = np.stack([left[at[:, 0]], other[at[:, 1]]], axis=1)
    fit = pairs[:, 0] < pairs[:, 1] if right is None else pairs[:, 0] != pairs[:, 1]
    return pairs[fit], scores[fit]


def _jaccard(forms: Sequence[str], pairs: "np.ndarray") -> "np.ndarray":
    """Compute the exact Jaccard similarity of pairs of forms."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer
    from tqdm import tqdm

    if not len(pairs):
        return np.empty(0)
    named, place = np.unique(pairs, return_inverse=True)
    one, other = place.reshape(pairs.shape).T
    counter = CountVectorizer(analyzer=shingles, binary=True, dtype=np.int32)
    matrix = counter.fit_transform([forms[at] for at in named])
    sizes = np.diff(matrix.indptr)
    found = []
    for at in tqdm(range(0, len(pairs), BLOCK), desc="similarities", unit="block", delay=5, leave=False):
        first, second = one[at : at + BLOCK], other[at : at + BLOCK]
        shared = np.asarray(matrix[first].multiply(matrix[second]).sum(axis=1)).ravel()
        found.append(shared / (sizes[first] + sizes[second] - shared))
    return np.concatenate(found)


def _table(pairs: "np.ndarray", method: str, scores: "np.ndarray") -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, Any] = {"left": pairs[:, 0], "right": pairs[:, 1], "method": method, "score": scores}
    return pd.DataFrame(columns).astype({"left": "int64", "right": "int64", "method": "str", "score": "float64"})


def _expand(pairs: "pd.DataFrame", left: "pd.DataFrame", right: "pd.DataFrame") -> "pd.DataFrame":
    """Turn pairs of forms into pairs of the texts that have them."""
    placed = pairs.merge(left, left_on="left", right_on="form").merge(
        right, left_on="right", right_on="form", suffixes=("_left", "_right")
    )
    named = placed[["at_left", "at_right", "method", "score"]]
    return named.rename(columns={"at_left": "left", "at_right": "right"})


def _ordered(pairs: "pd.DataFrame") -> "pd.DataFrame":
    return pairs.sort_values(["left", "right"], ignore_index=True)
