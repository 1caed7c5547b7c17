"""Does SFT on IN3 learn necessity? The cleaned training split, several seeds, the test split beside TF-IDF.

`python benchmarks/in3_seeds.py PATH/train.jsonl PATH/test.jsonl --seeds 1 2 3 --work-dir DIR`. The rows, the trainer,
P(ask), the threshold (fitted on training rows held out by whole clusters) and the metrics are the project's own. Every
seed draws its own held-out rows; a training that was done before is taken from the work folder.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.calibration import fit_threshold
from clarilm_kedro.finetuning.decoding import ask_probabilities
from clarilm_kedro.finetuning.launch import LaunchOptions
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.sft import train_sft
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.metrics.baselines import BaselineOptions, fit_tf_idf
from clarilm_kedro.metrics.bootstrap import BootstrapOptions, sums_intervals
from clarilm_kedro.metrics.resampling import necessity_of, outcome_counts
from clarilm_kedro.pipelines.held_out import ClusterRule, LeakageOptions, collect_benchmark_questions
from clarilm_kedro.pipelines.ofs.examples import clean_in3_train
from clarilm_kedro.pipelines.ofs.schemas import SEED_QUESTIONS
from clarilm_kedro.pipelines.ofs.splits import draw_splits
from clarilm_kedro.pipelines.training.nodes import sample_to_ask_rate
from clarilm_kedro.pipelines.training.rows import select_in3_rows
from clarilm_kedro.pipelines.training.schemas import VariantOptions
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.deduplication import clusters
from clarilm_kedro.text.similarity import NearDuplicateRule, pairs_within
from machine import describe_machine

PACKAGES = ["torch", "transformers", "trl", "peft", "scikit-learn"]


class Scored(NamedTuple):
    """A system on the test split: area under the curve, and decisions at the threshold of the held-out rows."""

    auc: float
    f1_macro: float
    low: float
    high: float
    acc: float
    ask_rate: float
    held_out_auc: float


def main() -> None:
    """Print the tables as Markdown, a seed's row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--held-out", type=int, default=200, help="training rows that only fit the threshold")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--ask-rate", type=float, default=None, help="sample the training rows to this share that asks")
    parser.add_argument("--model", default="packaged:smollm2")
    parser.add_argument("--work-dir", type=Path, required=True, help="keeps base model, checkpoints and adapters")
    arguments = parser.parse_args()

    print(describe_machine(PACKAGES), flush=True)
    rows, cluster_of, tests, n_dropped = read(arguments.train, arguments.test)
    print(
        f"{len(rows)} training rows after cleaning ({n_dropped} dropped), {len(tests)} test rows; learning rate "
        f"{arguments.learning_rate:g}, epochs {arguments.epochs}, ask rate {arguments.ask_rate}\n"
    )
    print("| seed | system | trained on | AUC | macro F1 | acc | asks | held-out AUC | seconds |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    base = BaseModelSpec(source=arguments.model, cache_dir=arguments.work_dir / "base_models")
    launch = LaunchOptions(work_dir=str(arguments.work_dir / "work"), checkpoint_steps=25)
    found: dict[str, list[Scored]] = {}
    for seed in arguments.seeds:
        split = draw_splits(cluster_of, {"valid": arguments.held_out}, seed)
        of_split = rows["row_id"].map(split)
        train, held_out = rows[of_split == "train"], rows[of_split == "valid"]
        sampled = sample_to_ask_rate(train, arguments.ask_rate, seed)
        options = SftOptions(
            seed=seed,
            learning_rate=arguments.learning_rate,
            epochs=arguments.epochs,
            batch_size=8,
            micro_batch_size=2,
            max_length=256,
        )
        for system in ("tf-idf", "base", "sft-in3"):
            started = time.perf_counter()
            p_held_out, p_test = probabilities(system, base, launch, options, (train, sampled, held_out, tests))
            scored = score(p_held_out, held_out["asks"], p_test, tests["asks"])
            found.setdefault(system, []).append(scored)
            n = {"tf-idf": len(train), "base": 0, "sft-in3": len(sampled)}[system]
            print(line(seed, system, n, scored, time.perf_counter() - started), flush=True)
    print()
    for system, each in found.items():
        aucs, macros = [one.auc for one in each], [one.f1_macro for one in each]
        print(
            f"{system}: AUC {np.mean(aucs):.3f} (from {min(aucs):.3f} to {max(aucs):.3f}), "
            f"macro F1 {100 * np.mean(macros):.1f} (from {100 * min(macros):.1f} to {100 * max(macros):.1f}) "
            f"over {len(each)} seed(s)"
        )


def read(train: Path, test: Path) -> tuple[pd.DataFrame, dict[str, str], pd.DataFrame, int]:
    """Clean the training split and cluster it; give it, its clusters, the test rows, and how many rows were dropped."""
    leakage = LeakageOptions.model_validate({})
    questions = collect_benchmark_questions(read_records(str(test), "in3_test"), read_none("clamber"))
    clean, dropped, _ = clean_in3_train(
        read_records(str(train), "in3_train"),
        questions,
        table([], SEED_QUESTIONS),
        leakage,
        NearDuplicateRule.model_validate({}),
    )
    rows = select_in3_rows(clean, read_none("in3_train"), questions, VariantOptions())
    texts = list(rows["question"])
    rule = ClusterRule.model_validate({})
    cluster_of = dict(zip(rows["row_id"], clusters(texts, pairs_within(texts, rule)), strict=True))
    tests = [
        {"row_id": f"test-{at}", "question": record.data["task"].strip(), "asks": bool(record.data["vague"])}
        for at, record in enumerate(read_records(str(test), "in3_test").rows)
    ]
    return rows, cluster_of, pd.DataFrame(tests), len(dropped)


def read_none(name: str) -> Any:
    """Give an input that is not there: CLAMBER plays no part here."""
    from clarilm_kedro.logs.records import Records

    return Records(name)


def probabilities(
    system: str,
    base: BaseModelSpec,
    launch: LaunchOptions,
    options: SftOptions,
    parts: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> tuple[Sequence[float], Sequence[float]]:
    """P(ask) of a system on the held-out and on the test rows."""
    train, sampled, held_out, tests = parts
    if system == "tf-idf":
        model = fit_tf_idf(list(train["question"]), list(train["asks"]), BaselineOptions.model_validate({}))
        assert model is not None
        return tuple(model.ask_probabilities(list(part["question"])) for part in (held_out, tests))  # type: ignore[return-value]
    adapter = None
    if system == "sft-in3":
        examples = [
            (clarification_prompt(row["question"]), completion(row["asks"], row["text"])) for row in records(sampled)
        ]
        adapter = train_sft(examples, base, options, launch=launch, run_name="in3_seeds").path
    return tuple(ask_probabilities(base, adapter, list(part["question"])) for part in (held_out, tests))  # type: ignore[return-value]


def score(p_held_out: Sequence[float], held_out: pd.Series, p_test: Sequence[float], tests: pd.Series) -> Scored:
    """Fit the threshold on the held-out rows, and score the test rows."""
    fitted = fit_threshold(p_held_out, list(held_out))
    needs, asked = tests.to_numpy(), np.asarray(p_test) >= fitted.threshold
    drawn = BootstrapOptions.model_validate({})
    counts = outcome_counts(needs, asked[:, None], np.ones_like(asked)[:, None])
    (macro,) = sums_intervals(counts, lambda sums, n: necessity_of(sums, "f1_macro")[..., None], drawn)
    of_test, of_held_out = fit_threshold(p_test, list(tests)).auc, fitted.auc
    assert of_test is not None
    assert of_held_out is not None
    acc = float((needs == asked).mean())
    return Scored(of_test, macro.estimate, macro.low, macro.high, acc, float(asked.mean()), of_held_out)


def line(seed: int, system: str, n: int, each: Scored, seconds: float) -> str:
    """Write a row of the table."""
    macro = f"{100 * each.f1_macro:.1f} [{100 * each.low:.1f}, {100 * each.high:.1f}]"
    return (
        f"| {seed} | {system} | {n} | {each.auc:.3f} | {macro} | {100 * each.acc:.1f} | {100 * each.ask_rate:.1f} "
        f"| {each.held_out_auc:.3f} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
