"""A tiny assistant: a random base model and a random adapter on it."""

import pytest

from clarilm_kedro.finetuning.assistant import AssistantSpec
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from finetuning.tiny import save_random_adapter, save_tiny_model


@pytest.fixture(scope="module")
def tiny_assistant(tmp_path_factory: pytest.TempPathFactory) -> AssistantSpec:
    folder = tmp_path_factory.mktemp("tiny_assistant")
    base = save_tiny_model(folder / "base")
    adapter = save_random_adapter(base, folder / "adapter")
    return AssistantSpec(BaseModelSpec(source=str(base), dtype="float32"), adapter, 0.25)
