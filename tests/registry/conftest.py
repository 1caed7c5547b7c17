"""A tiny assistant: a random base model and a random adapter on it."""

from pathlib import Path

import pytest

from clarilm_kedro.finetuning.assistant import AssistantSpec
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from finetuning.tiny import save_tiny_model


def save_random_adapter(base: Path, folder: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_assistant(tmp_path_factory: pytest.TempPathFactory) -> AssistantSpec:
    folder = tmp_path_factory.mktemp("tiny_assistant")
    base = save_tiny_model(folder / "base")
    adapter = save_random_adapter(base, folder / "adapter")
    return AssistantSpec(BaseModelSpec(source=str(base), dtype="float32"), adapter, 0.25)
