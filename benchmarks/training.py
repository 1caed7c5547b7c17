"""What SFT and DPO cost: ours, LLaMA-Factory, transformers' plain Trainer (SFT) and TRL's DPOTrainer (DPO).

Every program trains SmolLM2-135M on the same rows in the same order, in a process of its own, the programs in turns.
That they learn the same is checked: at equal settings the losses of every step have to agree to 1e-3. LLaMA-Factory
gets a virtual environment made here from pinned versions; its reference for DPO is the SFT model, as ours.

Then ours and LLaMA-Factory train with their own defaults on rows whose lengths differ, and both adapters are held
against rows that neither saw. Only the steps are measured.

    python benchmarks/training.py --venvs ~/.cache/benchmarks
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clarilm_kedro.finetuning.base_model import BaseModelSpec, ready_base_model, resolve_dtype
from machine import describe_machine
from measure import Step, measure
from peers import install_peer
from training_programs import Task
from training_rows import make_pairs, make_rows, write_rows

HERE = Path(__file__).parent
LOCK = HERE / "training_llamafactory.lock"
OURS, THEIRS = "ours", "LLaMA-Factory"
BATCHED = f"{THEIRS}, 8 rows a pass"  # its examples have 1, transformers' own default is 8
PEERS = {"sft": (OURS, THEIRS, "transformers Trainer"), "dpo": (OURS, THEIRS, "TRL DPOTrainer")}
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
SHORT, MIXED = (1, 2), (1, 2, 4, 8, 16)  # sentences of an answer
TOLERANCE = 1e-3
RATE = {"sft": 1e-3, "dpo": 1e-4}


@dataclass(frozen=True)
class Run:
    """A training as measured.

    Attributes:
        step: What it took.
        curve: Loss of every step.
        adapter: Where its adapter lies.
    """

    step: Step
    curve: list[float]
    adapter: Path


def install(venvs: Path) -> str:
    """Make LLaMA-Factory's virtual environment, 2 GB, and give its interpreter.

    It imports torchaudio without using it for text, and that package has no build for this torch on a CPU; an empty
    module stands in for it.
    """
    python = install_peer(venvs / "llamafactory", LOCK, "--no-deps")
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    (packages / "torchaudio.py").touch()
    return str(python)


def run(program: str, task: Task, python: str) -> Run:
    """Train once.

    Args:
        program: Its name.
        task: What is to be trained; its folder is made anew.
        python: The interpreter of LLaMA-Factory.

    Returns:
        What was measured.
    """
    out = Path(task.out)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "task.json").write_text(json.dumps(asdict(task)), encoding="utf-8")
    name = program.partition(",")[0]
    interpreter = python if name == THEIRS else sys.executable
    _, step = measure(HERE / "training_programs.py", name, str(out / "task.json"), python=interpreter)
    found = Run(step, json.loads((out / "curve.json").read_text(encoding="utf-8")), out / "adapter")
    print(f"  {program}: {step.wall:.1f} s, {step.cpu:.1f} s of CPU, last loss {found.curve[-1]:.4f}", flush=True)
    return found


def in_turns(tasks: dict[str, Task], runs: int, python: str) -> dict[str, list[Run]]:
    """Train with every program several times, one after the other in turns."""
    found: dict[str, list[Run]] = {program: [] for program in tasks}
    for _ in range(runs):
        for program, task in tasks.items():
            found[program].append(run(program, task, python))
    return found


def check_losses(found: dict[str, list[Run]]) -> float:
    """Compare the curves of all programs.

    Args:
        found: What :func:`in_turns` gave.

    Returns:
        The largest difference of two losses of one step.

    Raises:
        SystemExit: It is more than ``TOLERANCE``, or a program made another number of steps.
    """
    curves = {program: each[0].curve for program, each in found.items()}
    if len({len(curve) for curve in curves.values()}) > 1:
        raise SystemExit(f"numbers of steps differ: { {name: len(each) for name, each in curves.items()} }")
    most = max(max(losses) - min(losses) for losses in zip(*curves.values(), strict=True))
    if most > TOLERANCE:
        raise SystemExit(f"losses differ by {most:.4f}, so the settings are not equal: {curves}")
    return most


def held_out_loss(base: str, adapter: Path, rows: Path) -> float:
    """Mean negative log-likelihood of the replies' tokens, in float32."""
    import torch
    from torch.nn.functional import cross_entropy

    from clarilm_kedro.finetuning.base_model import load_for_inference
    from training_programs import encoded_rows

    model, _ = load_for_inference(BaseModelSpec(source=base, dtype="float32"), adapter)
    total, n = 0.0, 0
    for row in encoded_rows(Task("sft", base, str(rows), "", 1, 1, 0.0)):
        ids, reply = torch.tensor([row["prompt_ids"] + row["completion_ids"]]), len(row["completion_ids"])
        with torch.inference_mode():
            logits = model(input_ids=ids, logits_to_keep=reply + 1).logits[0, :-1]
        total += float(cross_entropy(logits, ids[0, -reply:], reduction="sum"))
        n += reply
    return total / n


def table(found: dict[str, list[Run]], rows: int, losses: dict[str, float]) -> Iterator[str]:
    """Put measurements into Markdown, medians over the runs.

    Args:
        found: What :func:`in_turns` gave.
        rows: Rows or pairs of a run.
        losses: A loss by program.

    Yields:
        Lines.
    """
    yield "| program | samples/s | CPU s | CPU s, all runs | peak MB | loss | times LLaMA-Factory by CPU |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    cpu = {program: statistics.median(each.step.cpu for each in runs) for program, runs in found.items()}
    for program, runs in found.items():
        speed = rows / statistics.median(each.step.wall for each in runs)
        peak = statistics.median(each.step.peak for each in runs) / 1e6
        every = ", ".join(f"{each.step.cpu:.1f}" for each in runs)
        cells = f"{speed:.2f} | {cpu[program]:.1f} | {every} | {peak:,.0f} | {losses[program]:.4f}"
        yield f"| {program} | {cells} | {cpu[THEIRS] / cpu[program]:.2f} |"


def main() -> None:
    """Install LLaMA-Factory, measure, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--venvs", type=Path, required=True, help="folder for LLaMA-Factory's virtual environment, kept"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each program")
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps of a run")
    parser.add_argument("--only", nargs="*", choices=("sft", "dpo", "defaults"), default=("sft", "dpo", "defaults"))
    given = parser.parse_args()
    python = install(given.venvs)
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    print(describe_machine(PACKAGES) + f"; load {os.getloadavg()[0]:.1f}; medians of {given.runs}")
    print("LLaMA-Factory: " + ", ".join(_pins("llamafactory", *PACKAGES)))
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        root = Path(name)
        os.environ["HF_HOME"] = str(root / "cache")
        base = str(ready_base_model(BaseModelSpec(source="packaged:smollm2")).absolute())
        if "sft" in given.only or "dpo" in given.only:
            equal_settings(given.only, root, base, given.steps, given.runs, python)
        if "defaults" in given.only:
            own_defaults(root, base, given.steps, given.runs, python)


def equal_settings(methods: Sequence[str], root: Path, base: str, steps: int, runs: int, python: str) -> None:
    """Measure SFT and DPO with everything equal, and print a table of each."""
    start = None
    for method, batch in (("sft", 8), ("dpo", 4)):
        rows = make_rows(batch * steps, SHORT)
        write_rows(rows if method == "sft" else make_pairs(rows), root / method / "rows")
        task = Task(method, base, str(root / method / "rows"), "", batch, batch, RATE[method], start=start)
        if method == "sft":
            start = str(run(OURS, replace(task, out=str(root / "start")), python).adapter)
        if method in methods:
            outs = {each: replace(task, out=str(root / method / each)) for each in PEERS[method]}
            found = in_turns(outs, runs, python)
            most = check_losses(found)
            print(f"\n{method.upper()}, {steps} steps of {batch}, float32; losses differ by {most:.1e} at most\n")
            _say(table(found, batch * steps, {each: runs[0].curve[-1] for each, runs in found.items()}))


def own_defaults(root: Path, base: str, steps: int, runs: int, python: str) -> None:
    """Measure SFT with each program's defaults on rows of mixed length, and print a table with held-out losses.

    Ours sorts a step's eight rows by length, two per forward pass, and takes bfloat16 where the processor has it;
    LLaMA-Factory is as its examples for LoRA have it, bfloat16, gradient checkpointing, one row per forward pass, and
    once more with eight.
    """
    rows = make_rows(8 * steps + 64, MIXED)
    write_rows(rows[64:], root / "mixed")
    write_rows(rows[:64], root / "held_out")
    spec = BaseModelSpec(source=base)
    task = Task("sft", base, str(root / "mixed"), "", 8, 2, RATE["sft"], defaults=True)
    tasks = {
        OURS: replace(task, out=str(root / "ours"), bfloat16=resolve_dtype(spec) == "bfloat16"),
        THEIRS: replace(task, out=str(root / "theirs"), bfloat16=True, micro=1),
        BATCHED: replace(task, out=str(root / "batched"), bfloat16=True, micro=8),
    }
    found = in_turns(tasks, runs, python)
    losses = {program: held_out_loss(base, each[-1].adapter, root / "held_out") for program, each in found.items()}
    print(f"\nSFT, {steps} steps of 8, own defaults, answers of {MIXED} sentences; losses are held-out ones\n")
    _say(table(found, 8 * steps, losses))


def _pins(*names: str) -> list[str]:
    pins = [line.strip() for line in LOCK.read_text(encoding="utf-8").splitlines()]
    return [pin.replace("==", " ") for pin in pins if pin.split("==")[0] in names]


def _say(lines: Iterator[str]) -> None:
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
