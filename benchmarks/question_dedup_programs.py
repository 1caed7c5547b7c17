"""One way to find near-duplicates, on a file of questions, as a process of its own (see ``question_dedup.py``).

``python benchmarks/question_dedup_programs.py PROGRAM QUESTIONS PAIRS`` reads a JSON list of questions and writes the
pairs found, as a JSON list of positions. Peers get the same character 5-grams of the same normal forms, 128
permutations and the threshold 0.6, and are run as their documentation has it: what their index returns is the answer.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from clarilm_kedro.text.minhash import shingles
from clarilm_kedro.text.normalise import normalise_question
from measure import step

Pairs = list[tuple[int, int]]
THRESHOLD = 0.6
PERMUTATIONS = 128
#: The last so many questions stand in for the test sets where a program compares two lists.
TESTS = 5_000


def lexical(questions: list[str]) -> Pairs:
    """Give our pairs at the threshold, without embeddings."""
    from clarilm_kedro.text.similarity import NearDuplicateRule, pairs_within

    found = pairs_within(questions, NearDuplicateRule(jaccard=THRESHOLD, cosine=None, band_from=THRESHOLD))
    return list(zip(found["left"].tolist(), found["right"].tolist(), strict=True))


def deduplication(questions: list[str]) -> Pairs:
    """Drop near-duplicates as ``ofs`` does: a pair is a dropped question and the one it repeats."""
    from clarilm_kedro.text.deduplication import find_duplicates
    from clarilm_kedro.text.similarity import NearDuplicateRule

    return [(each.at, each.of) for each in find_duplicates(questions, NearDuplicateRule())]


def cluster_pairs(questions: list[str]) -> Pairs:
    """Find the pairs that make the clusters of ``ofs``."""
    from clarilm_kedro.pipelines.held_out import ClusterRule
    from clarilm_kedro.text.similarity import pairs_within

    found = pairs_within(questions, ClusterRule())
    return list(zip(found["left"].tolist(), found["right"].tolist(), strict=True))


def guard_band(questions: list[str]) -> Pairs:
    """Compare with test questions as the leak guard does by default: embeddings for the band only."""
    return _guard(questions, 0.4)


def guard_everything(questions: list[str]) -> Pairs:
    """Compare with test questions, every question embedded."""
    return _guard(questions, 0.0)


def _guard(questions: list[str], band_from: float) -> Pairs:
    from clarilm_kedro.text.similarity import NearDuplicateRule, pairs_between

    rule = NearDuplicateRule(jaccard=THRESHOLD, cosine=0.8, band_from=band_from)
    found = pairs_between(questions[:-TESTS], questions[-TESTS:], rule)
    return list(zip(found["left"].tolist(), found["right"].tolist(), strict=True))


def datasketch_lsh(questions: list[str]) -> Pairs:
    """Give what datasketch's own index returns."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    found = []
    for at, question in enumerate(questions):
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in shingles(normalise_question(question))])
        found += [(other, at) for other in index.query(sketch)]
        index.insert(at, sketch)
    return found


def rensa_lsh(questions: list[str]) -> Pairs:
    """Give what rensa's index returns, with 32 bands."""
    from rensa import RMinHash, RMinHashLSH

    sets = [sorted(shingles(normalise_question(question))) for question in questions]
    sketches = RMinHash.from_token_sets(sets, PERMUTATIONS, 42)
    index = RMinHashLSH(THRESHOLD, PERMUTATIONS, 32)
    index.insert_many(sketches)
    return [(other, at) for at, others in enumerate(index.query_all(sketches)) for other in others if other < at]


PROGRAMS: dict[str, Callable[[list[str]], Pairs]] = {
    "lexical": lexical,
    "deduplication": deduplication,
    "clusters": cluster_pairs,
    "guard, band": guard_band,
    "guard, everything": guard_everything,
    "datasketch MinHashLSH": datasketch_lsh,
    "rensa": rensa_lsh,
}


if __name__ == "__main__":
    program, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    given = json.loads(source.read_text(encoding="utf-8"))
    with step(program):
        pairs = PROGRAMS[program](given)
    target.write_text(json.dumps(pairs), encoding="utf-8")
