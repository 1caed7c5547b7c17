"""One training by one program, as a process of its own (see ``training.py``).

``python benchmarks/training_programs.py PROGRAM TASK`` reads a :class:`Task` as JSON, trains, and leaves the adapter
and the curve in the task's folder. Only the steps are measured; loading and tokenizing are start-up. LLaMA-Factory
runs in its own environment, so nothing of the project is imported before it is known which program runs.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import step

LORA = {"r": 8, "alpha": 16}
MOST_TOKENS = 1024


@dataclass(frozen=True)
class Task:
    """What is to be trained.

    Attributes:
        method: ``sft`` or ``dpo``.
        base: Folder of the base model.
        rows: Folder with rows.json, and with dataset_info.json for LLaMA-Factory.
        out: Where the adapter and ``curve.json`` go.
        batch: Rows or pairs per optimizer step.
        micro: Rows or pairs per forward pass.
        learning_rate: At the peak; cosine to zero.
        bfloat16: Weights in it; the adapter stays float32.
        start: Adapter that DPO starts from and is held to.
        defaults: Each program's own: where it says how, the task does not.
    """

    method: str
    base: str
    rows: str
    out: str
    batch: int
    micro: int
    learning_rate: float
    bfloat16: bool = False
    start: str | None = None
    defaults: bool = False


def ours(task: Task) -> None:
    """Train as the project's worker does, progress bar and curve included."""
    from transformers import PrinterCallback

    from clarilm_kedro.finetuning._watch import Watch
    from clarilm_kedro.finetuning.base_model import BaseModelSpec
    from clarilm_kedro.finetuning.building import build_dpo_trainer, build_sft_trainer
    from clarilm_kedro.finetuning.jobs import Job, JobFolder
    from clarilm_kedro.finetuning.options import DpoOptions, SftOptions
    from clarilm_kedro.finetuning.running import save_adapter
    from clarilm_kedro.finetuning.sharding import gathered_adapter

    given = {"batch_size": task.batch, "micro_batch_size": task.micro, "learning_rate": task.learning_rate}
    given |= {"max_length": MOST_TOKENS}
    if task.method == "dpo":  # the plain loss, which is all that LLaMA-Factory has in common
        options = DpoOptions(**given, supervised_weight=0.0, kl_coef=0.0).model_dump(mode="json")
    else:
        options = SftOptions(**given).model_dump(mode="json")
    base = BaseModelSpec(source=task.base, dtype="bfloat16" if task.bfloat16 else "float32")
    job = Job(method=task.method, run_name=task.method, base=base, options=options, start=task.start)
    folder = JobFolder(Path(task.out) / "job")
    folder.prepare(job, encoded_rows(task))
    _, trainer = (build_dpo_trainer if task.method == "dpo" else build_sft_trainer)(job, folder)
    watch = Watch(task.method, lambda point, at: None)
    watch.start(trainer)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    trainer.add_callback(_measured(task))
    trainer.train()
    model = trainer.accelerator.unwrap_model(trainer.model)
    save_adapter(model, gathered_adapter(model), base, Path(task.out) / "adapter", None)


def plain(task: Task) -> None:
    """Train with transformers' Trainer and PEFT, as their documentation has it; SFT alone."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, set_seed

    set_seed(0)
    dtype = torch.bfloat16 if task.bfloat16 else torch.float32
    lora = LoraConfig(r=LORA["r"], lora_alpha=LORA["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(task.base, dtype=dtype), lora)
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    rows = [
        {
            "input_ids": row["prompt_ids"] + row["completion_ids"],
            "attention_mask": [1] * (len(row["prompt_ids"]) + len(row["completion_ids"])),
            "labels": [-100] * len(row["prompt_ids"]) + row["completion_ids"],
        }
        for row in encoded_rows(task)
    ]
    collator = DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8)
    trainer: Any = Trainer(
        model=model, args=_hf_arguments(task), train_dataset=rows, data_collator=collator, callbacks=[_measured(task)]
    )
    trainer.train()
    model.save_pretrained(str(Path(task.out) / "adapter"))


def trl(task: Task) -> None:
    """Train with TRL's DPOTrainer, the reference a frozen copy of the start adapter; DPO alone."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from datasets import Dataset

    base = AutoModelForCausalLM.from_pretrained(task.base, dtype=torch.bfloat16 if task.bfloat16 else torch.float32)
    model = PeftModel.from_pretrained(base, str(task.start), is_trainable=True)
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    pairs = [
        {
            "prompt": [{"role": "system", "content": row["system"]}, {"role": "user", "content": row["question"]}],
            **{side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")},
        }
        for row in _rows(task)
    ]
    settings = DPOConfig(**_hf_settings(task), max_length=MOST_TOKENS, beta=0.1)
    trainer: Any = DPOTrainer(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
        callbacks=[_measured(task)],
    )
    trainer.train()
    model.save_pretrained(str(Path(task.out) / "adapter"), selected_adapters=["default"])


def llama_factory(task: Task) -> None:
    """Train with LLaMA-Factory's own entry point.

    Equal settings switch its gradient checkpointing off; its reference is a second model with the SFT adapter merged
    into it, which is how it can be told what the paper says.
    """
    from llamafactory.train.tuner import run_exp

    given: dict[str, Any] = {
        "stage": task.method,
        "do_train": True,
        "model_name_or_path": task.base,
        "template": "chatml",
        "dataset_dir": task.rows,
        "dataset": "rows",
        "cutoff_len": MOST_TOKENS,
        "finetuning_type": "lora",
        "lora_rank": LORA["r"],
        "lora_alpha": LORA["alpha"],
        "lora_target": "all",
        "output_dir": str(Path(task.out) / "adapter"),
        **_schedule(task),
        "report_to": "none",
    }
    if not task.defaults:
        given |= {"disable_gradient_checkpointing": True, "dataloader_pin_memory": False}
    if task.method == "dpo":
        given |= {"adapter_name_or_path": task.start, "pref_beta": 0.1, "pref_loss": "sigmoid"}
        given |= {"ref_model": task.base, "ref_model_adapters": task.start}
    run_exp(given, callbacks=[_measured(task)])


def encoded_rows(task: Task) -> list[dict[str, list[int]]]:
    """Token ids of the rows, as the project makes them."""
    from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
    from clarilm_kedro.finetuning.encoding import encode

    tokenizer = load_tokenizer(BaseModelSpec(source=task.base))
    names = (
        {"reply": "completion_ids"} if task.method == "sft" else {"chosen": "chosen_ids", "rejected": "rejected_ids"}
    )
    encoded = []
    for row in _rows(task):
        prompt = [{"role": "system", "content": row["system"]}, {"role": "user", "content": row["question"]}]
        replies = {name: encode(tokenizer, prompt, row[side]) for side, name in names.items()}
        encoded.append(
            {"prompt_ids": next(iter(replies.values())).prompt}
            | {name: reply.completion for name, reply in replies.items()}
        )
    return encoded


def _rows(task: Task) -> list[dict[str, str]]:
    return list(json.loads((Path(task.rows) / "rows.json").read_text(encoding="utf-8")))


def _hf_arguments(task: Task) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(**_hf_settings(task))


def _schedule(task: Task) -> dict[str, Any]:
    """What both libraries call the same."""
    return {
        "per_device_train_batch_size": task.micro,
        "gradient_accumulation_steps": task.batch // task.micro,
        "learning_rate": task.learning_rate,
        "lr_scheduler_type": "cosine",
        "num_train_epochs": 1,
        "seed": 0,
        "logging_steps": 1,
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": task.bfloat16,
    }


def _hf_settings(task: Task) -> dict[str, Any]:
    return {
        "output_dir": str(Path(task.out) / "checkpoints"),
        **_schedule(task),
        "report_to": [],
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
    }


def _measured(task: Task) -> Any:
    """A callback that measures from the first step to the last and writes the curve."""
    from transformers import TrainerCallback

    class Measured(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._step = step("train")
            self._step.__enter__()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._step.__exit__(None, None, None)
            losses = [point["loss"] for point in state.log_history if "loss" in point]
            (Path(task.out) / "curve.json").write_text(json.dumps(losses), encoding="utf-8")

    return Measured()


PROGRAMS: dict[str, Callable[[Task], None]] = {
    "ours": ours,
    "LLaMA-Factory": llama_factory,
    "transformers Trainer": plain,
    "TRL DPOTrainer": trl,
}


if __name__ == "__main__":
    program, source = sys.argv[1], Path(sys.argv[2])
    PROGRAMS[program](Task(**json.loads(source.read_text(encoding="utf-8"))))
