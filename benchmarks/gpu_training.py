"""Tokens per second, MFU and peak memory of LoRA SFT and DPO of LLaMA-3-8B on one GPU, with the project's own trainers.

The weights are random and the token ids too: speed depends on neither. Every combination of micro-batch, gradient
checkpointing, variant (padded, padding-free with each attention at hand, compiled) is a row of the table; what does not
fit the memory is a row that says so. Each runs ``--warmup`` steps unmeasured and ``--steps`` measured ones.

    python benchmarks/gpu_training.py                           # without a GPU every row says "not measured"
    python benchmarks/gpu_training.py --methods sft --micro-batches 4 8 --variants padded padding-free/flash
    python benchmarks/gpu_training.py --tiny                    # the same code on a CPU, with a model of two layers

Tokens are without padding; DPO's count both replies of a pair. MFU is explained in finetuning/flops.py. Rows are 50 to
100 % of ``--length`` long, half of it prompt; the paper's are some 250 tokens.
"""

import argparse
import itertools
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from clarilm_kedro.finetuning.base_model import BaseModelSpec, device
from clarilm_kedro.finetuning.building import build_dpo_trainer, build_sft_trainer
from clarilm_kedro.finetuning.jobs import Job, JobFolder, Rows
from clarilm_kedro.finetuning.memory import release_memory
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions, TrainingOptions
from machine import describe_machine

#: Meta-Llama-3-8B's config.json, as far as it says how large the model is.
LLAMA_3_8B = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
}
TINY = {**LLAMA_3_8B, "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2}
TINY |= {"num_attention_heads": 4, "num_key_value_heads": 2}
#: Variant -> training options.
VARIANTS: dict[str, dict[str, Any]] = {
    "padded": {},
    "padding-free/sdpa": {"padding_free": True, "attention": "sdpa"},
    "padding-free/flash": {"padding_free": True, "attention": "flash_attention_2"},
    "padded/compile": {"torch_compile": True},
}
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    method: Literal["sft", "dpo"]
    micro_batch: int
    checkpointing: bool
    variant: str

    def options(self, length: int) -> TrainingOptions:
        """Write it as the project's training options; a step is one micro-batch."""
        given = {
            "batch_size": self.micro_batch,
            "micro_batch_size": self.micro_batch,
            "gradient_checkpointing": self.checkpointing,
            "max_length": length,
            **VARIANTS[self.variant],
        }
        return SftOptions(**given) if self.method == "sft" else DpoOptions(**given)


@dataclass(frozen=True)
class Outcome:
    """What was measured, or why not."""

    tokens_per_second: float | None = None
    mfu: float | None = None
    memory: float | None = None
    note: str = ""

    def cells(self) -> list[str]:
        """Give the cells of the table."""
        speed = "" if self.tokens_per_second is None else f"{self.tokens_per_second:,.0f}"
        share = "" if self.mfu is None else f"{self.mfu:.1%}"
        memory = "" if self.memory is None else f"{self.memory:.1f}"
        return [speed, share, memory, self.note]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every setting and print the table as it grows."""
    given = _parser().parse_args(arguments)
    length = given.length or (48 if given.tiny else 512)
    print(_where(), "\n")
    what = "a random model of two layers" if given.tiny else "LLaMA-3-8B, random weights"
    print(f"{what}; LoRA rank 8; rows of {length // 2} to {length} tokens; {given.steps} steps after {given.warmup}.\n")
    print("| method | variant | micro-batch | checkpointing | tokens/s | MFU | peak GB | |")
    print("|---|---|---:|---|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        for setting in _settings(given):
            outcome = _missing(setting, given.tiny) or measure(
                setting, Path(folder), TINY if given.tiny else LLAMA_3_8B, length, given.warmup, given.steps
            )
            checkpointing = "on" if setting.checkpointing else "off"
            cells = [setting.method, setting.variant, str(setting.micro_batch), checkpointing, *outcome.cells()]
            print(f"| {' | '.join(cells)} |", flush=True)


def measure(setting: Setting, folder: Path, config: dict[str, Any], length: int, warmup: int, steps: int) -> Outcome:
    """Train a few steps as the worker does, and say how fast they were.

    Args:
        setting: The row.
        folder: For the base model's description, the rows and the checkpoint.
        config: Of the base model.
        length: Of the longest rows, in tokens.
        warmup: Steps that are not measured.
        steps: Steps that are.

    Returns:
        Figures of this process's device; out of memory is a note.
    """
    import torch

    base = _described(folder / "base", config)
    rows = _rows(setting.method, (warmup + steps) * setting.micro_batch, length, config["vocab_size"])
    job = Job(
        method=setting.method,
        run_name="benchmark",
        base=base,
        options=setting.options(length).model_dump(mode="json"),
        start=str(_start(folder / "start", base)) if setting.method == "dpo" else None,
        checkpoint_steps=10**6,
    )
    job_folder = JobFolder(Path(tempfile.mkdtemp(dir=folder)))
    job_folder.prepare(job, rows)
    release_memory()
    if device() == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        return _measured(job, job_folder, warmup)
    except torch.OutOfMemoryError:
        return Outcome(note="out of memory")
    finally:
        release_memory()


def _measured(job: Job, folder: JobFolder, warmup: int) -> Outcome:
    from transformers import PrinterCallback, TrainerCallback

    from clarilm_kedro.finetuning.worker import peak_memory_gb

    marks: list[tuple[float, int, float]] = []

    class Marks(TrainerCallback):
        """Notes when a step ended and what had been done by then."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            _synchronise()
            marks.append((time.perf_counter(), trainer.seen_tokens, trainer.seen_flops))

    build = build_sft_trainer if job.method == "sft" else build_dpo_trainer
    _, trainer = build(job, folder, _random_model(job))
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Marks())
    trainer.start_clock()
    trainer.train()
    (began, tokens_before, flops_before), (ended, tokens, flops) = marks[warmup - 1], marks[-1]
    seconds = ended - began
    mfu = (flops - flops_before) / seconds / trainer.peak if trainer.peak else None
    return Outcome((tokens - tokens_before) / seconds, mfu, peak_memory_gb())


def _settings(given: argparse.Namespace) -> Iterator[Setting]:
    micro_batches = given.micro_batches or ([1, 2] if given.tiny else [1, 2, 4, 8, 16])
    # Compiling takes a CPU minutes for every length of rows.
    variants = given.variants or [name for name in VARIANTS if not given.tiny or name != "padded/compile"]
    for method, variant, micro, checkpointing in itertools.product(
        given.methods, variants, micro_batches, (False, True)
    ):
        yield Setting(method, micro, checkpointing, variant)


def _missing(setting: Setting, tiny: bool) -> Outcome | None:
    """Say what a setting needs and does not find here."""
    if device() == "cpu" and not tiny:
        return Outcome(note="not measured: no GPU")
    if setting.variant == "padding-free/flash" and (device() == "cpu" or find_spec("flash_attn") is None):
        return Outcome(note="not measured: needs a GPU and flash-attn")
    return None


def _described(folder: Path, config: dict[str, Any]) -> BaseModelSpec:
    """Write a base model's folder without weights: the configuration, and a tokenizer that no text ever meets."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    if not folder.exists():
        LlamaConfig(**config, bos_token_id=0, eos_token_id=1).save_pretrained(folder)
        words = Tokenizer(models.WordLevel({"<bos>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
        PreTrainedTokenizerFast(
            tokenizer_object=words, bos_token="<bos>", eos_token="<eos>", pad_token="<eos>", unk_token="<unk>"
        ).save_pretrained(folder)
    return BaseModelSpec(source=str(folder), chat_template="plain")


def _random_model(job: Job) -> Any:
    """Make the base model on the device; nothing of its size is read or written."""
    import torch
    from transformers import AutoModelForCausalLM

    from clarilm_kedro.finetuning.base_model import load_config, resolve_dtype
    from clarilm_kedro.finetuning.running import attention

    options = SftOptions(**job.options) if job.method == "sft" else DpoOptions(**job.options)
    with torch.device(device()):
        return AutoModelForCausalLM.from_config(
            load_config(job.base),
            dtype=getattr(torch, resolve_dtype(job.base)),
            attn_implementation=attention(options, job.base),
        )


def _start(folder: Path, base: BaseModelSpec) -> Path:
    """Write a fresh adapter for DPO to start from."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from clarilm_kedro.finetuning.base_model import load_config

    if not folder.exists():
        lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        with torch.device("meta"):
            model = get_peft_model(AutoModelForCausalLM.from_config(load_config(base)), lora)
        weights = {
            name: torch.zeros(each.shape) if ".lora_B." in name else torch.randn(each.shape) / 64
            for name, each in model.named_parameters()
            if ".lora_" in name
        }
        model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)
    return folder


def _rows(method: str, n: int, length: int, vocabulary: int) -> Rows:
    """Draw token ids: prompts of half the length, replies that make rows 50 to 100 % of it."""
    draw = random.Random(0)

    def ids(n: int) -> list[int]:
        return [draw.randrange(3, vocabulary) for _ in range(n)]

    def reply() -> list[int]:
        return ids(draw.randint(1, length - length // 2))

    if method == "sft":
        return [{"prompt_ids": ids(length // 2), "completion_ids": reply()} for _ in range(n)]
    return [{"prompt_ids": ids(length // 2), "chosen_ids": reply(), "rejected_ids": reply()} for _ in range(n)]


def _synchronise() -> None:
    import torch

    if device() == "cuda":
        torch.cuda.synchronize()


def _where() -> str:
    import torch

    gpu = "no GPU"
    if device() == "cuda":
        gpu = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return f"{gpu}; {describe_machine([*PACKAGES, *(['flash-attn'] if find_spec('flash_attn') else [])])}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a model of two layers, on whatever is here")
    parser.add_argument("--methods", nargs="+", choices=["sft", "dpo"], default=["sft", "dpo"])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS))
    parser.add_argument("--micro-batches", nargs="+", type=int)
    parser.add_argument("--length", type=int, help="tokens of the longest rows")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    return parser


if __name__ == "__main__":
    main()
