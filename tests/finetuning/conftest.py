"""Trained once for all tests of this folder: a tiny base model and an SFT adapter on it."""

from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.launch import LaunchOptions
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.sft import SftRow, train_sft
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from finetuning.tiny import save_tiny_model

VAGUE = ["Recommend me a laptop.", "Plan my trip.", "Help me with it.", "Write a speech.", "Fix my code.", "Which one?"]
CLEAR = ["What does SSD stand for?", "How tall is the tower?", "Who wrote it in 1917?", "Is 4 even?", "What is 2 + 2?"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModelSpec:
    folder = save_tiny_model(tmp_path_factory.mktemp("tiny"))
    return BaseModelSpec(source=str(folder), dtype="float32")


@pytest.fixture(scope="session")
def rows() -> list[SftRow]:
    asked = [(clarification_prompt(q), completion(True, "What will you mainly use it for?")) for q in VAGUE]
    answered = [(clarification_prompt(q), completion(False, "It stands for solid state drive.")) for q in CLEAR]
    return [*asked, *answered]


@pytest.fixture(scope="session")
def quick() -> dict[str, Any]:
    """Options for SftOptions that make the tiny model learn within a second or two."""
    return {"seed": 3, "learning_rate": 2e-2, "epochs": 40, "batch_size": 4, "micro_batch_size": 4, "max_length": 256}


@pytest.fixture(scope="session")
def sft_adapter(
    tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> TrainedAdapter:
    return train_sft(rows, tiny, SftOptions(**quick), launch=keep(tmp_path_factory.mktemp("sft")))


def keep(folder: Path) -> LaunchOptions:
    """Train in this process, and keep what came of it in a folder."""
    return LaunchOptions(work_dir=str(folder))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")
