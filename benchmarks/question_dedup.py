"""How long near-duplicates of questions take, how much memory, how that grows, and what is missed.

Programs, each in a process of its own:

- lexical: our pairs of a Jaccard similarity of character 5-grams of at least 0.6, each verified;
- datasketch MinHashLSH, and rensa where ``--peers`` names the Python of an environment that has it: the same job as
  their indices do it;
- deduplication: what ``ofs`` runs over Q^G (similarity 0.8, or 0.6 and cosine 0.95);
- clusters: the pairs that splits are made of (similarity 0.6, or 0.4 and cosine 0.9);
- guard: 5,000 test questions against the others, with embeddings for the band or for everything.

On 5,000 questions the first three are compared with brute force, which looks at every pair.

    python benchmarks/question_dedup.py --sizes 15500 31000 62000 124000 --peers PATH/bin/python
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from clarilm_kedro.text.minhash import shingles
from clarilm_kedro.text.normalise import normalise_question
from machine import describe_machine
from measure import START_UP, measure
from question_corpus import make_questions, published_questions
from question_dedup_programs import PROGRAMS, THRESHOLD

SCRIPT = Path(__file__).parent / "question_dedup_programs.py"
CHECKED = 5_000
COMPARED = ("lexical", "datasketch MinHashLSH", "rensa")


def run(program: str, questions: Sequence[str], folder: Path, peers: str | None) -> tuple[str, set[tuple[int, int]]]:
    """Run a program.

    Returns:
        Seconds of wall clock and of CPU and the peak memory as cells of a table, and the pairs.
    """
    source, target = folder / "questions.json", folder / "pairs.json"
    source.write_text(json.dumps(questions), encoding="utf-8")
    python = peers if program == "rensa" and peers else sys.executable
    (done,) = (
        each for each in measure(SCRIPT, program, str(source), str(target), python=python) if each.name != START_UP
    )
    pairs = {(min(pair), max(pair)) for pair in json.loads(target.read_text(encoding="utf-8"))}
    return f"{done.wall:.1f} | {done.cpu:.1f} | {done.peak / 1e6:.0f}", pairs


def brute_force(questions: Sequence[str]) -> set[tuple[int, int]]:
    """Find every pair at the threshold by looking at all of them."""
    import numpy as np
    from scipy.sparse import triu
    from sklearn.feature_extraction.text import CountVectorizer

    forms = [normalise_question(question) for question in questions]
    matrix = CountVectorizer(analyzer=shingles, binary=True, dtype=np.int32).fit_transform(forms)
    sizes = np.diff(matrix.indptr)
    shared = triu(matrix @ matrix.T, k=1).tocoo()
    similar = shared.data / (sizes[shared.row] + sizes[shared.col] - shared.data) >= THRESHOLD
    return set(zip(shared.row[similar].tolist(), shared.col[similar].tolist(), strict=True))


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[15_500, 31_000, 62_000, 124_000])
    parser.add_argument("--programs", nargs="*", default=list(PROGRAMS), choices=PROGRAMS)
    parser.add_argument("--peers", help="a Python that has rensa, numpy, pydantic and psutil")
    parser.add_argument("--no-check", action="store_true", help="leave the comparison with brute force out")
    given = parser.parse_args()
    programs = [each for each in given.programs if each != "rensa" or given.peers]
    base, name = published_questions()
    packages = ["datasketch", "scikit-learn", "scipy", "sentence-transformers", "torch"]
    say(describe_machine(packages) + f"; load {os.getloadavg()[0]:.1f}")
    say(f"Questions made of {len(base)} published ones: {name}.\n")
    with tempfile.TemporaryDirectory() as folder:
        if not given.no_check:
            check([each for each in programs if each in COMPARED], Path(folder), given.peers)
        say("| questions | program | wall s | CPU s | peak MB | pairs | load |\n|---:|---|---:|---:|---:|---:|---:|")
        for size in given.sizes:
            questions = make_questions(size)
            for program in programs:
                cells, pairs = run(program, questions, Path(folder), given.peers)
                say(f"| {size:,} | {program} | {cells} | {len(pairs):,} | {os.getloadavg()[0]:.1f} |")


def check(programs: Sequence[str], folder: Path, peers: str | None) -> None:
    """Compare programs with brute force, and print how many of their pairs are true and what they miss."""
    questions = make_questions(CHECKED)
    truth = brute_force(questions)
    say(f"{CHECKED} questions, {len(truth)} pairs by brute force.\n")
    say("| program | pairs reported | not true | found | share found |\n|---|---:|---:|---:|---:|")
    for program in programs:
        _, pairs = run(program, questions, folder, peers)
        found = len(pairs & truth)
        say(f"| {program} | {len(pairs)} | {len(pairs - truth)} | {found} | {found / len(truth):.2%} |")
    say("")


def say(text: str) -> None:
    """Print at once: a measurement may be stopped."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
