"""The benchmark of GPU training, run on a CPU with a tiny model: the same code, other sizes."""

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "gpu_training", raising=False)
    import gpu_training

    return gpu_training


def table(printed: str) -> list[dict[str, str]]:
    names = ["method", "variant", "micro", "checkpointing", "speed", "mfu", "memory", "note"]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in printed.splitlines()]
    return [dict(zip(names, each, strict=True)) for each in cells if each[0] in {"sft", "dpo"}]


def test_the_tiny_run_measures_both_methods(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    variants = ["padded", "padding-free/sdpa", "padding-free/flash"]
    benchmark.main(["--tiny", "--variants", *variants, "--micro-batches", "2", "--warmup", "1", "--steps", "2"])
    printed = capsys.readouterr().out
    rows = table(printed)
    assert len(rows) == 2 * len(variants) * 2
    for row in rows:
        measured = row["variant"] != "padding-free/flash"
        assert bool(row["speed"]) == measured
        assert bool(row["note"]) != measured
        assert not row["mfu"]
    assert "transformers 5" in printed


def test_without_a_gpu_the_rows_say_so(
    benchmark: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "device", lambda: "cpu")
    benchmark.main([])
    rows = table(capsys.readouterr().out)
    assert {row["note"] for row in rows} == {"not measured: no GPU"}
    assert {row["micro"] for row in rows} == {"1", "2", "4", "8", "16"}
    assert {row["variant"] for row in rows} == set(benchmark.VARIANTS)


def test_what_does_not_fit_is_a_row(
    benchmark: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(benchmark, "_random_model", full)
    benchmark.main(["--tiny", "--methods", "sft", "--variants", "padded", "--micro-batches", "1"])
    assert [row["note"] for row in table(capsys.readouterr().out)] == ["out of memory"] * 2


def test_the_model_is_llama_3_8b(benchmark: Any, tmp_path: Path) -> None:
    from clarilm_kedro.finetuning.memory_plan import model_shape

    assert model_shape(benchmark._described(tmp_path / "base", benchmark.LLAMA_3_8B)).parameters == 8_030_261_248
