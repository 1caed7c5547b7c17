"""Merging the facets of a question that ask for the same thing (paper, section 3.2.5: duplicates and overlaps).

Three steps: facets with one normal form are one; what a sentence encoder finds alike is one, by complete linkage over
the cosine of the facet texts; and never what :mod:`clarilm_kedro.text.vetoes` keeps apart. Clarifying questions are
not compared: their wording shares the topic, which raises every cosine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from tqdm.auto import tqdm

from clarilm_kedro.text.normalise import normalise_facet
from clarilm_kedro.text.vetoes import veto

if TYPE_CHECKING:
    import numpy as np

#: Gives unit vectors, an array [len(texts), dimension], as :meth:`clarilm_kedro.text.embedding.Embedder.encode`.
Encode = Callable[[list[str]], "np.ndarray"]

#: Whose wording a merged candidate has, where it has a part in it: FM-LOG may be a far smaller model than FM-LLM.
_WORDED_BY = "llm"
#: Texts encoded at a time; between two of these the progress bar moves.
_CHUNK = 4096
#: Distance of what must not be merged; what may be lies at 1 - cosine, which is below 1.
_APART = 2.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A facet offered for a question.

    Attributes:
        facet: The facet as written.
        rank: Its place in its source's list, from 0.
        source: Who wrote it.
        sources: Who else wrote it or what was merged into it, sorted.
        members: The facets it stands for, itself first.
        rows: Numbers of the caller's rows it stands for, its own first.
    """

    facet: str
    rank: int
    source: str
    sources: tuple[str, ...]
    members: tuple[str, ...]
    rows: tuple[int, ...]

    @classmethod
    def of(cls, facet: str, rank: int, source: str, row: int) -> "Candidate":
        """Make a candidate of one facet of one source."""
        return cls(facet, rank, source, (source,), (facet,), (row,))

    @property
    def standing(self) -> tuple[int, str, str, int]:
        """Its place among others: best rank, then source, facet and row."""
        return self.rank, self.source, self.facet, self.rows[0]

    @property
    def precedence(self) -> tuple[bool, tuple[int, str, str, int]]:
        """What decides which of several represents them: FM-LLM's before FM-LOG's, then as they stand."""
        return self.source != _WORDED_BY, self.standing


class Merge(NamedTuple):
    """Two facets of one question that were merged, or that a veto kept apart.

    Attributes:
        group: Number of the question.
        kept: The facet that stays.
        other: The facet merged into it; for ``vetoed`` one that stays too.
        method: ``exact``, ``semantic`` or ``vetoed``.
        cosine: Of the two; None for ``exact``.
        words: The words that keep them apart, for ``vetoed``.
    """

    group: int
    kept: Candidate
    other: Candidate
    method: Literal["exact", "semantic", "vetoed"]
    cosine: float | None = None
    words: str | None = None


def fuse(
    groups: Sequence[Sequence[Candidate]], encode: Encode, threshold: float | None
) -> tuple[list[list[Candidate]], list[Merge]]:
    """Merge the facets of each question that ask for the same thing.

    The outcome does not depend on the order within a group, and fusing what came out changes nothing: a candidate
    counts with all its members.

    Args:
        groups: Per question, its candidates.
        encode: Sentence encoder for the facets' normal forms. Every distinct one of the questions that need it is
            encoded once, all questions together.
        threshold: Least cosine that every two facets of a merged candidate have; None merges equal normal forms only.

    Returns:
        Per question, the candidates left, best first; and every merge and veto.
    """
    merges: list[Merge] = []
    members = {member for group in groups for candidate in group for member in candidate.members}
    normal = {member: normalise_facet(member) for member in members}
    exact = [list(_merge_equal(number, group, normal, merges)) for number, group in enumerate(groups)]
    if threshold is None:
        return exact, merges
    forms = [[_forms(candidate, normal) for candidate in group] for group in exact]
    # A question with one facet has nothing to compare.
    texts = sorted({form for group in forms if len(group) > 1 for each in group for form in each}, key=_by_length)
    place = {text: number for number, text in enumerate(texts)}
    vectors = _encoded(texts, encode)
    fused = []
    for number, (group, of_group) in enumerate(zip(exact, forms, strict=True)):
        if len(group) < 2:
            fused.append(group)
            continue
        cosines = _cosines(vectors, [[place[form] for form in each] for each in of_group])
        fused.append(_merge_alike(number, group, cosines, threshold, merges))
    return fused, merges


def _merge_equal(
    number: int, group: Sequence[Candidate], normal: Mapping[str, str], merges: list[Merge]
) -> Iterator[Candidate]:
    """Merge candidates that share a normal form, best first."""
    sharing: dict[str, list[Candidate]] = {}
    for candidate in sorted(group, key=lambda each: each.standing):
        forms = _forms(candidate, normal)
        # Several where a candidate with members meets candidates that are equal to some of them.
        known = {id(sharing[form]): sharing[form] for form in forms if form in sharing}
        joined = [each for cluster in known.values() for each in cluster] + [candidate]
        for form in {form for each in joined for form in _forms(each, normal)}:
            sharing[form] = joined
    clusters = {id(cluster): cluster for cluster in sharing.values()}
    ordered = [sorted(cluster, key=lambda each: each.precedence) for cluster in clusters.values()]
    for first, *others in sorted(ordered, key=lambda cluster: _joined(cluster).standing):
        merges += [Merge(number, first, other, "exact") for other in others]
        yield _joined([first, *others])


def _merge_alike(
    number: int, group: list[Candidate], cosines: "np.ndarray", threshold: float, merges: list[Merge]
) -> list[Candidate]:
    """Merge by complete linkage what reaches the threshold and is not vetoed."""
    import numpy as np

    pairs = np.argwhere(np.triu(cosines >= threshold, 1))
    if not len(pairs):
        return group
    distances = np.where(cosines >= threshold, 1 - cosines, _APART)
    for one, other in pairs:
        if words := _veto(group[one], group[other]):
            distances[one, other] = distances[other, one] = _APART
            merges.append(Merge(number, group[one], group[other], "vetoed", float(cosines[one, other]), words))
    clusters: dict[int, list[int]] = {}
    for at, label in enumerate(_complete_linkage(distances)):
        clusters.setdefault(label, []).append(at)
    fused = []
    for places in clusters.values():
        first, *others = sorted(places, key=lambda at: group[at].precedence)
        merges += [
            Merge(number, group[first], group[other], "semantic", float(cosines[first, other])) for other in others
        ]
        fused.append(_joined([group[first], *(group[other] for other in others)]))
    return sorted(fused, key=lambda each: each.standing)


def _complete_linkage(distances: "np.ndarray") -> list[int]:
    """Cluster so that no two of a cluster are apart; among equals the order decides, which is that of the ranks."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), method="complete")
    return [int(label) for label in fcluster(tree, _APART - 0.5, criterion="distance")]


def _cosines(vectors: "np.ndarray", places: list[list[int]]) -> "np.ndarray":
    """Give the least cosine between any two forms of each two candidates, array [candidates, candidates].

    Four decimal places: the last bits of a vector depend on what else was encoded with it.
    """
    import numpy as np

    own = vectors[[place for each in places for place in each]]
    all_pairs = np.round(own @ own.T, 4).astype("float64")
    starts = np.cumsum([0, *(len(each) for each in places)])[:-1]
    least: np.ndarray = np.minimum.reduceat(np.minimum.reduceat(all_pairs, starts, axis=0), starts, axis=1)
    return least


def _encoded(texts: list[str], encode: Encode) -> "np.ndarray":
    import numpy as np

    chunks = []
    with tqdm(total=len(texts), desc="embedding facets", unit="facet", leave=False) as bar:
        for at in range(0, len(texts), _CHUNK):
            chunks.append(encode(texts[at : at + _CHUNK]))
            bar.update(len(texts[at : at + _CHUNK]))
    return np.concatenate(chunks) if chunks else np.zeros((0, 1), dtype="float32")


def _veto(one: Candidate, other: Candidate) -> str | None:
    found = (veto(member, against) for member in one.members for against in other.members)
    return next((words for words in found if words), None)


def _forms(candidate: Candidate, normal: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted({normal[member] for member in candidate.members}))


def _joined(cluster: list[Candidate]) -> Candidate:
    """Make one candidate of several; the first represents them."""
    if len(cluster) == 1:
        return cluster[0]
    members = dict.fromkeys(member for each in cluster for member in each.members)
    return Candidate(
        cluster[0].facet,
        min(each.rank for each in cluster),
        cluster[0].source,
        tuple(sorted({source for each in cluster for source in each.sources})),
        tuple(members),
        tuple(row for each in cluster for row in each.rows),
    )


def _by_length(text: str) -> tuple[int, str]:
    return len(text), text
