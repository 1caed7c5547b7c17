"""Trainings that cannot end well: each stops with a sentence, and no half of an adapter stays behind."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_model
from clarilm_kedro.finetuning.decoding import ask_probabilities
from clarilm_kedro.finetuning.jobs import Job, JobFolder
from clarilm_kedro.finetuning.launch import LaunchOptions
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.running import save_adapter
from clarilm_kedro.finetuning.sft import SftRow, train_sft
from clarilm_kedro.finetuning.sharding import gathered_adapter
from clarilm_kedro.finetuning.worker import train
from finetuning.conftest import weights
from finetuning.tiny import save_tiny_model


def nothing_half_done(folder: Path) -> bool:
    """Whether neither an adapter nor the beginnings of one lie outside of checkpoints."""
    return not [path for path in folder.rglob("*adapter*") if "checkpoints" not in path.parts]


@pytest.fixture
def every_step(tmp_path: Path) -> LaunchOptions:
    return LaunchOptions(work_dir=str(tmp_path / "work"), checkpoint_steps=1)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond a size: what a full disk does, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_diverging_training_keeps_its_last_good_checkpoint(
    tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], every_step: LaunchOptions
) -> None:
    options = SftOptions(**{**quick, "learning_rate": 1e30, "max_grad_norm": 1e30})
    with pytest.raises(ClarilmError, match=r"The loss became (nan|inf) at step \d+\. Lower learning_rate"):
        train_sft(rows, tiny, options, launch=every_step)
    (path,) = Path(str(every_step.work_dir)).iterdir()
    kept = JobFolder(path).last_checkpoint()
    assert kept is not None
    assert all(each.isfinite().all() for each in weights(kept).values())
    assert nothing_half_done(path)
    assert JobFolder(path).result() is None


def test_weights_that_are_no_numbers_do_not_become_a_checkpoint(
    tiny: BaseModelSpec,
    rows: list[SftRow],
    quick: dict[str, Any],
    every_step: LaunchOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loss of the third step is fine, its gradient is not: the root of zero has an infinite one."""
    from clarilm_kedro.finetuning._trainers import ClarilmSFTTrainer

    computed = ClarilmSFTTrainer.compute_loss

    def third(self: Any, *given: Any, **named: Any) -> Any:
        loss = computed(self, *given, **named)
        return loss if self.state.global_step < 2 else loss + (loss * 0).sqrt()

    monkeypatch.setattr(ClarilmSFTTrainer, "compute_loss", third)
    with pytest.raises(ClarilmError, match=r"weights are no longer finite after step 3.* Lower learning_rate"):
        train_sft(rows, tiny, SftOptions(**quick), launch=every_step)
    (path,) = Path(str(every_step.work_dir)).iterdir()
    kept = JobFolder(path).last_checkpoint()
    assert kept is not None
    assert kept.name == "checkpoint-2"
    assert all(each.isfinite().all() for each in weights(kept).values())
    assert nothing_half_done(path)


def test_a_broken_base_model_is_told_from_a_diverging_training(
    rows: list[SftRow], quick: dict[str, Any], tmp_path: Path, every_step: LaunchOptions
) -> None:
    spec = BaseModelSpec(source=str(save_tiny_model(tmp_path / "broken")), dtype="float32")
    model = load_model(spec)
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = float("nan")
    model.save_pretrained(spec.source)
    with pytest.raises(ClarilmError, match=r"nan at step 1\. Before the first update this comes from the base model"):
        train_sft(rows, spec, SftOptions(**quick), launch=every_step)
    assert nothing_half_done(Path(str(every_step.work_dir)))


def test_a_base_without_a_chat_template_is_refused_before_anything_is_written(
    rows: list[SftRow], quick: dict[str, Any], tmp_path: Path, every_step: LaunchOptions
) -> None:
    bare = BaseModelSpec(source=str(save_tiny_model(tmp_path / "bare", chat_template=None)), chat_template="model")
    with pytest.raises(ClarilmError, match=r"brings no chat template\. Set base_model\.chat_template"):
        train_sft(rows, bare, SftOptions(**quick), launch=every_step)
    assert not Path(str(every_step.work_dir)).exists()


def test_an_adapter_of_another_base_model_does_not_answer(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    """The other one has the same shape, so that the adapter would fit it."""
    other = tiny.model_copy(update={"source": str(save_tiny_model(tmp_path / "other"))})
    assert len(ask_probabilities(other, sft_adapter.path, ["Plan my trip."])) == 1  # a copy is no other model
    model = load_model(other)
    model.get_input_embeddings().weight.data.add_(1)
    model.save_pretrained(other.source)
    with pytest.raises(ClarilmError, match=r"was trained on .* and base_model\.source is .*other"):
        ask_probabilities(other, sft_adapter.path, ["Plan my trip."])


def test_another_number_of_processes_is_refused(tiny: BaseModelSpec, tmp_path: Path) -> None:
    options = SftOptions(batch_size=4, micro_batch_size=2).model_dump(mode="json")
    folder = JobFolder(tmp_path / "job")
    ids = [{"prompt_ids": [5, 6], "completion_ids": [7, 2]}] * 4
    folder.prepare(Job(method="sft", run_name="sft", base=tiny, options=options, processes=2), ids)
    with pytest.raises(ClarilmError, match=r"planned for 2 process\(es\), and 1 came up"):
        train(folder, None)
    assert nothing_half_done(folder.path)


@pytest.mark.parametrize(
    ("size", "what"),
    [(300, "the rows, by pyarrow"), (20_000, "the adapter, by safetensors"), (50_000, "the optimizer, by torch")],
)
def test_no_room_is_a_sentence_and_the_next_run_goes_on(
    size: int, what: str, tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], every_step: LaunchOptions
) -> None:
    options = SftOptions(**{**quick, "epochs": 1})
    with files_up_to(size), pytest.raises(ClarilmError, match=r"sft: no room is left in .*training\.launch\.work_dir"):
        train_sft(rows, tiny, options, launch=every_step)
    work = Path(str(every_step.work_dir))
    assert nothing_half_done(work)
    assert train_sft(rows, tiny, options, launch=every_step).report["status"] == "trained"


def test_a_disk_that_fills_while_the_adapter_is_written_leaves_the_old_one(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    from peft import PeftModel

    assert sft_adapter.path is not None
    folder = tmp_path / "adapter"
    shutil.copytree(sft_adapter.path, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = PeftModel.from_pretrained(load_model(tiny), str(folder))
    with files_up_to(20_000), pytest.raises(Exception, match="os error 27"):
        save_adapter(model, gathered_adapter(model), tiny, folder, None)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
