"""Facet fusion: what is merged at which threshold, with and without vetoes, and how long a large run takes.

``facet_pairs.csv`` holds pairs of facets written to be hard: different ones that share nearly all words, and
paraphrases that share few. Natural pairs are the details of one IN3 task, which are different by construction:
`python benchmarks/facet_fusion.py --in3 PATH/train.jsonl PATH/test.jsonl`. With `--questions N` that many questions
are fused whose facets are drawn from the sample world and the pairs, and the rates are printed.
"""

import argparse
import csv
import itertools
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from clarilm_kedro.text.embedding import get_embedder
from clarilm_kedro.text.facets import Candidate, fuse
from clarilm_kedro.text.normalise import normalise_facet
from machine import describe_machine

THRESHOLDS = (0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90)
ROOT = Path(__file__).parents[1]
Pair = tuple[str, str]


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in3", nargs="*", type=Path, default=[], help="IN3 files")
    parser.add_argument("--questions", type=int, default=0, help="questions of the run that is timed")
    parser.add_argument("--model", default="packaged:minilm")
    arguments = parser.parse_args()
    encode = get_embedder(arguments.model).encode
    print(describe_machine(["torch", "sentence-transformers", "scipy"]), "\n")
    print("| pairs | vetoes |", " | ".join(f"{threshold:.2f}" for threshold in THRESHOLDS), "|")
    print("|---|---|" + "---:|" * len(THRESHOLDS))
    hand = written_pairs()
    tables = {f"hand-written, {relation}": pairs for relation, pairs in hand.items()}
    if arguments.in3:
        tables["IN3, details of one task"] = in3_pairs(arguments.in3, "description")
        tables["IN3, the questions that ask for them"] = in3_pairs(arguments.in3, "inquiry")
    for name, pairs in tables.items():
        without, vetoed = merged(pairs, encode)
        for label, found in (("without", without), ("with", vetoed)):
            share = [f"{n} ({n / len(pairs):.2%})" if len(pairs) > 100 else str(n) for n in found]
            print(f"| {name} ({len(pairs):,}) | {label} |", " | ".join(share), "|")
    if arguments.questions:
        print("\n" + timed(arguments.questions, arguments.model))


def written_pairs() -> dict[str, list[Pair]]:
    """Read the hand-written pairs by relation."""
    pairs: dict[str, list[Pair]] = {}
    with (ROOT / "benchmarks" / "facet_pairs.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pairs.setdefault(row["relation"], []).append((row["facet"], row["other"]))
    return pairs


def in3_pairs(paths: Sequence[Path], field: str) -> list[Pair]:
    """List all pairs of details of one task, by one of their texts."""
    lines = [line.strip() for path in paths for line in path.read_text(encoding="utf-8").split("\n")]
    tasks = [json.loads(line)["missing_details"] for line in lines if line]
    return [(one[field], other[field]) for details in tasks for one, other in itertools.combinations(details, 2)]


def merged(pairs: Sequence[Pair], encode: object) -> tuple[list[int], list[int]]:
    """Count the pairs merged at each threshold: by normal form and cosine alone, and by fusion."""
    groups = [[Candidate.of(text, 0, "llm", row) for row, text in enumerate(pair)] for pair in pairs]
    forms = [tuple(map(normalise_facet, pair)) for pair in pairs]
    texts = sorted({form for pair in forms for form in pair})
    vectors = dict(zip(texts, encode(texts), strict=True))  # type: ignore[operator]
    cosines = np.array([np.round(vectors[one] @ vectors[other], 4) for one, other in forms])

    def known(wanted: list[str]) -> np.ndarray:
        return np.stack([vectors[text] for text in wanted])

    vetoed = [sum(len(group) == 1 for group in fuse(groups, known, threshold)[0]) for threshold in THRESHOLDS]
    return [int((cosines >= threshold).sum()) for threshold in THRESHOLDS], vetoed


def timed(n_questions: int, model: str) -> str:
    """Fuse questions of 20 facets of a model and 5 of FM-LOG each, and say how much of a core it took."""
    facets = sorted({facet for pairs in written_pairs().values() for pair in pairs for facet in pair} | world_facets())
    things = ["trip", "essay", "laptop", "recipe", "garden", "contract", "workout", "website", "gift", "course"]
    draw = random.Random(0)
    groups = [
        [
            Candidate.of(
                f"{draw.choice(facets)} of the {draw.choice(things)} {draw.randrange(n_questions)}", rank, source, row
            )
            if draw.random() < 0.5
            else Candidate.of(draw.choice(facets), rank, source, row)
            for row, (source, rank) in enumerate([("llm", at) for at in range(20)] + [("log", at) for at in range(5)])
        ]
        for _ in range(n_questions)
    ]
    embedder, spent, encoded = get_embedder(model), 0.0, 0

    def encode(texts: list[str]) -> np.ndarray:
        nonlocal spent, encoded
        began = time.process_time()
        vectors = embedder.encode(texts)
        spent, encoded = spent + time.process_time() - began, encoded + len(texts)
        return vectors

    began = time.process_time()
    fused, merges = fuse(groups, encode, 0.90)
    other = time.process_time() - began - spent
    return (
        f"{n_questions:,} questions, {sum(map(len, groups)):,} facets, {sum(map(len, fused)):,} left, {len(merges):,} "
        f"merges and vetoes: {encoded:,} texts encoded in {spent:.1f} CPU seconds ({encoded / spent:.0f} a second), "
        f"everything else {other:.1f} ({1e6 * other / n_questions:.0f} µs a question)."
    )


def world_facets() -> set[str]:
    """Collect the facets of the sample world."""
    found: set[str] = set()
    for path in sorted((ROOT / "data" / "01_raw" / "sample" / "world").glob("*.yaml")):
        for intent in yaml.safe_load(path.read_text(encoding="utf-8")):
            found |= {facet["facet"] for facet in intent.get("facets", [])}
    return found


if __name__ == "__main__":
    main()
