from pathlib import Path

import pytest

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_model
from clarilm_kedro.finetuning.flops import Batch, TrainingFlops, device_peak, peak_flops
from clarilm_kedro.finetuning.memory_plan import ModelShape, model_shape

LLAMA_3_8B = ModelShape(hidden=4096, intermediate=14336, layers=32, key_value=1024, vocabulary=128256, tied=False)


def test_a_frozen_base_takes_four_flops_per_weight_and_token() -> None:
    """By hand: 7.50e9 weights in matrices (all but the embedding), 21 million of the adapter, 1,024 positions."""
    batch = Batch(tokens=8 * 1024, squares=8 * 1024**2, scored=8 * 1024)
    matrices = LLAMA_3_8B.parameters - 128256 * 4096 - (2 * 32 + 1) * 4096
    adapter = LLAMA_3_8B.adapter_parameters(8)
    counted = TrainingFlops(LLAMA_3_8B, adapter)
    per_token = 4 * matrices + 6 * adapter + 12 * 32 * 4096 * 1024
    assert counted.training(batch) == pytest.approx(8 * 1024 * per_token)
    assert counted.training(batch) / batch.tokens == pytest.approx(3.18e10, rel=0.01)
    assert counted.reference(batch, adapter=True) == pytest.approx(
        8 * 1024 * (2 * matrices + 2 * adapter + 4 * 32 * 4096 * 1024)
    )
    assert counted.reference(batch, adapter=False) < counted.reference(batch, adapter=True)


@pytest.mark.parametrize("scored", [20, 64])
def test_the_count_is_what_torch_counts(scored: int, tiny: BaseModelSpec) -> None:
    """Torch's own counter over a real forward and backward pass; the first block needs no gradient of its input."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.utils.flop_counter import FlopCounterMode

    from clarilm_kedro.finetuning._trainers import IGNORED, token_log_probs

    model = get_peft_model(
        load_model(tiny, attention="eager"), LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    ids = torch.randint(3, 200, (4, 65))
    labels = ids.clone()
    labels[:, : 65 - scored] = IGNORED
    with FlopCounterMode(display=False) as torchs:
        scores, mask = token_log_probs(model, ids, torch.ones_like(ids), labels)
        (-scores.sum()).backward()
    shape = model_shape(tiny)
    counted = TrainingFlops(shape, sum(p.numel() for p in model.parameters() if p.requires_grad))
    ours = counted.training(Batch(tokens=4 * 65, squares=4 * 65**2, scored=int(mask.sum())))
    first_inputs = 2 * 4 * 65 * (32 * (32 + 16 + 16) + 3 * 32 * 8)  # q, k, v of the first block and their adapter's A
    assert torchs.get_total_flops() == pytest.approx(ours - first_inputs, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L40S", 362.05),
        ("NVIDIA L4", 121.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A10G", None),
        ("Tesla V100-SXM2-32GB", None),
    ],
)
def test_peaks_are_those_of_the_named_device(name: str, tflops: float | None) -> None:
    assert peak_flops(name) == (tflops and tflops * 1e12)


def test_mfu_is_null_where_the_peak_is_not_known(
    sft_adapter: "object", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    report = sft_adapter.report  # type: ignore[attr-defined]
    assert (report["mfu"] is None) == (not torch.cuda.is_available())
    assert report["tflops_per_second"] > 0
    assert device_peak("float32") is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    assert device_peak("bfloat16") == 989.4e12
