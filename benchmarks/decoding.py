"""FM-LOG's candidates on a CPU: transformers and llama.cpp side by side, speed and recall.

Draws k = 5 candidates for 200 questions of the sample world with the adapter of a sample run, each way in a process of
its own, and compares the facets with the world's gold facets. Seconds contain the loading of the model or the start of
the server, not the export to GGUF, which is done once and stands beside them. The sample run trains FM-LOG for one
epoch, after which most of its generations are malformed; five make recall worth comparing.

    kedro run --pipeline=cfd --params "fm_log.epochs=5"
    python benchmarks/decoding.py
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
from clarilm_kedro.finetuning.decoder import Generation
from clarilm_kedro.finetuning.encoding import token_ids
from clarilm_kedro.finetuning.fm_log import OUTCOMES, read_generations
from clarilm_kedro.metrics.bootstrap import BootstrapOptions
from clarilm_kedro.metrics.facet_recall import FacetLists, FacetMatching, mean_recalls
from clarilm_kedro.text.hashing import stable_order
from decoding_programs import DRAW, EXPORT, LLAMA_CPP, TRANSFORMERS
from machine import describe_machine
from measure import measure

ROOT = Path(__file__).parents[1]
GOLD = ROOT / "data" / "01_raw" / "sample" / "gold" / "facets.jsonl"
SCRIPT = Path(__file__).parent / "decoding_programs.py"
# The paper's (section 4.5).
SAMPLING = {"seed": 7, "k": 5, "temperature": 0.5, "top_k": 50, "top_p": 0.9, "max_new_tokens": 48, "batch_size": 16}
FACET_WORDS = 12


def gold_facets(limit: int) -> dict[str, tuple[str, ...]]:
    """Read questions of the sample world with the facets that matter; a draw by hash."""
    rows = [json.loads(line) for line in GOLD.read_text(encoding="utf-8").splitlines()]
    chosen = stable_order({row["question"]: tuple(row["facets"]) for row in rows}.items(), 7, lambda item: item[0])
    return dict(chosen[:limit])


def quality(drawn: list[list[Generation]], gold: dict[str, tuple[str, ...]]) -> str:
    """Give the outcomes of the generations and facet recall at 5 as cells of a table."""
    read = [read_generations([Generation(*each) for each in row], FACET_WORDS) for row in drawn]
    counts = Counter(outcome for _, outcomes in read for outcome in outcomes)
    lists = [
        FacetLists(facets, tuple(candidate.facet for candidate in found))
        for facets, (found, _) in zip(gold.values(), read, strict=True)
    ]
    recalls = mean_recalls(lists, FacetMatching(ks=(5,)), BootstrapOptions())
    cells = [f"{each.interval.estimate:.3f} ({each.interval.low:.3f} to {each.interval.high:.3f})" for each in recalls]
    return " | ".join([*(str(counts[outcome]) for outcome in OUTCOMES), *cells])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path, default=ROOT / "data" / "06_models" / "fm_log")
    parser.add_argument("--base", default="packaged:smollm2")
    parser.add_argument("--cache", type=Path, default=ROOT / "data" / "06_models" / "base_models")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--ways", nargs="*", default=[*TRANSFORMERS, *LLAMA_CPP], choices=[*TRANSFORMERS, *LLAMA_CPP])
    given = parser.parse_args()
    gold = gold_facets(given.questions)
    tokenizer = load_tokenizer(BaseModelSpec(source=given.base, cache_dir=given.cache))
    print(describe_machine(["torch", "transformers", "xllamacpp", "gguf"]) + f"; load {os.getloadavg()[0]:.1f}\n")
    names = [
        "way",
        "s",
        "CPU s",
        "tokens",
        "tokens/s",
        "tokens per CPU s",
        "peak MB",
        "export s",
        *OUTCOMES,
        "recall@5 exact",
        "cosine",
    ]
    print("|", " | ".join(names), "|\n|---|" + "---:|" * (len(names) - 1), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        task, target = Path(folder) / "task.json", Path(folder) / "drawn.json"
        options = {"base": given.base, "cache": str(given.cache), "adapter": str(given.adapter), "slots": given.slots}
        task.write_text(json.dumps({**options, "questions": list(gold), "sampling": SAMPLING}), encoding="utf-8")
        for way in given.ways:
            steps = {each.name: each for each in measure(SCRIPT, way, str(task), str(target))}
            drawn = json.loads(target.read_text(encoding="utf-8"))
            # With the end token where there is one.
            tokens = sum(len(token_ids(tokenizer, text)) + ended for row in drawn for text, ended in row)
            done, export = steps[DRAW], steps.get(EXPORT)
            speed = f"{done.wall:.1f} | {done.cpu:.1f} | {tokens:,} | {tokens / done.wall:.0f} | {done.peak / 1e6:.0f}"
            print(
                f"| {way} | {speed} | {f'{export.wall:.1f}' if export else ''} | {quality(drawn, gold)} |", flush=True
            )


if __name__ == "__main__":
    main()
