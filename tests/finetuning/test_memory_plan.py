from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.memory_plan import ModelShape, model_shape, plan_memory, plan_training
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions

LLAMA_3_8B = ModelShape(hidden=4096, intermediate=14336, layers=32, key_value=1024, vocabulary=128256, tied=False)
LLAMA_2_7B = ModelShape(hidden=4096, intermediate=11008, layers=32, key_value=4096, vocabulary=32000, tied=False)


def sft(shape: ModelShape, **changes: Any) -> Any:
    options = SftOptions(**{"micro_batch_size": 8, "batch_size": 32, "max_length": 1024, **changes})
    return plan_memory("sft", shape, options, method="sft", dtype="bfloat16", rank=8)


def test_the_published_numbers_of_weights_come_out() -> None:
    assert LLAMA_3_8B.parameters == 8_030_261_248  # the model card's 8.03 billion
    assert LLAMA_3_8B.adapter_parameters(8) == 20_971_520
    assert LLAMA_2_7B.parameters == 6_738_415_616


def test_the_tiny_model_is_counted_as_torch_counts_it(tiny: BaseModelSpec) -> None:
    from clarilm_kedro.finetuning.base_model import load_model

    assert model_shape(tiny).parameters == sum(each.numel() for each in load_model(tiny).parameters())


def test_a_gguf_file_is_planned_without_writing_anything(tmp_path: Path) -> None:
    spec = BaseModelSpec(source="packaged:smollm2", cache_dir=tmp_path / "cache")
    assert model_shape(spec).parameters == 134_515_008  # the model card's 135 million
    assert not spec.cache_dir.exists()


def test_llama_2_7b_is_near_what_was_published() -> None:
    """LLaMA-Factory's wiki: LoRA rank 8 on all layers, batch 4, length 1,024, checkpointing: 17 to 18 GB."""
    plan = sft(LLAMA_2_7B, micro_batch_size=4, batch_size=4, gradient_checkpointing=True)
    assert plan.weights == pytest.approx(13.5, abs=0.1)
    assert 16 < plan.total - plan.headroom < 19.5


def test_checkpointing_and_shorter_rows_need_less() -> None:
    plain = sft(LLAMA_3_8B)
    assert sft(LLAMA_3_8B, gradient_checkpointing=True).total < plain.total
    assert sft(LLAMA_3_8B, max_length=512).activations == pytest.approx(plain.activations / 2)
    assert plain.weights == pytest.approx(16.06, abs=0.01)


def test_dpo_runs_two_replies_and_keeps_a_copy() -> None:
    options = DpoOptions(micro_batch_size=4, batch_size=16, max_length=1024)
    dpo = plan_memory("dpo", LLAMA_3_8B, options, method="dpo", dtype="bfloat16", rank=8)
    one = sft(LLAMA_3_8B, micro_batch_size=4)
    assert dpo.adapter == pytest.approx(2 * one.adapter)
    assert dpo.activations == pytest.approx(2 * one.activations)


def test_what_does_not_fit_is_an_error_that_says_what_helps(tiny: BaseModelSpec) -> None:
    with pytest.raises(ClarilmError, match=r"needs about .* GB on each device .* Lower micro_batch_size"):
        plan_training("clarilm_sft", tiny, SftOptions(), method="sft", available=0.001).check()
    plan_training("clarilm_sft", tiny, SftOptions(), method="sft").check()


def test_sharded_weights_are_divided() -> None:
    options = SftOptions()
    whole, quarter = (
        plan_memory("sft", LLAMA_3_8B, options, method="sft", dtype="bfloat16", rank=8, shards=shards)
        for shards in (1, 4)
    )
    assert quarter.weights == pytest.approx(whole.weights / 4)
