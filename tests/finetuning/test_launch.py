"""Trainings that are killed and go on, are not done twice, and run in several processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning import launch as launching
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.dpo import PreferencePair, train_dpo
from clarilm_kedro.finetuning.jobs import JobFolder
from clarilm_kedro.finetuning.launch import LaunchOptions, command
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.sft import SftRow, train_sft
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from finetuning.conftest import CLEAR, VAGUE, keep, weights

KILLED_AT = (2, 5, 9)


@pytest.fixture(scope="module")
def options() -> SftOptions:
    # Dropout, so that the random numbers have to go on where they stopped.
    return SftOptions(
        seed=3,
        learning_rate=1e-2,
        epochs=4,
        batch_size=4,
        micro_batch_size=2,
        max_length=256,
        lora_dropout=0.1,
        group_by_length=True,
    )


@pytest.fixture(scope="module")
def pairs() -> list[PreferencePair]:
    ask, answer = completion(True, "What for?"), completion(False, "It is a tower.")
    asked = [PreferencePair(clarification_prompt(question), ask, answer) for question in VAGUE]
    return asked + [PreferencePair(clarification_prompt(question), answer, ask) for question in CLEAR]


class Killed(BaseException):
    """What stands for the end of the process."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from clarilm_kedro.finetuning._watch import Watch

    def end(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.update(1)
        if state.global_step == step:
            raise Killed

    monkeypatch.setattr(Watch, "on_step_end", end)


def equal(one: TrainedAdapter, other: TrainedAdapter) -> bool:
    import torch

    assert one.path is not None
    assert other.path is not None
    first, second = weights(one.path), weights(other.path)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("step", "grouped"), list(zip(KILLED_AT, (True, False, False), strict=True)))
def test_a_killed_sft_ends_as_an_uninterrupted_one(
    step: int,
    grouped: bool,
    tiny: BaseModelSpec,
    rows: list[SftRow],
    options: SftOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = options.model_copy(update={"group_by_length": grouped})
    whole = train_sft(rows, tiny, options, launch=keep(tmp_path / "whole"))
    launch = LaunchOptions(work_dir=str(tmp_path / "killed"), checkpoint_steps=2)
    with monkeypatch.context() as patch:
        kill_at(step, patch)
        with pytest.raises(Killed):
            train_sft(rows, tiny, options, launch=launch)
    resumed = train_sft(rows, tiny, options, launch=launch)
    # The step at which the process ends is not saved any more.
    expected = (step - 1) // 2 * 2
    assert resumed.report["resumed_from"] == (f"checkpoint-{expected}" if expected else None)
    assert equal(whole, resumed)
    curves = [[(point["step"], point["loss"]) for point in each.report["curve"]] for each in (whole, resumed)]
    assert curves[0] == curves[1]
    assert resumed.report["tokens"] == whole.report["tokens"]


@pytest.mark.parametrize(("source", "grouped"), [("chosen", True), ("sft_rows", False)])
def test_a_killed_dpo_ends_as_an_uninterrupted_one(
    source: Any,
    grouped: bool,
    tiny: BaseModelSpec,
    rows: list[SftRow],
    pairs: list[PreferencePair],
    sft_adapter: TrainedAdapter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sft_adapter.path is not None
    options = DpoOptions(
        seed=3,
        learning_rate=5e-3,
        epochs=3,
        batch_size=4,
        micro_batch_size=2,
        max_length=256,
        supervised_source=source,
        supervised_share=0.5,
        group_by_length=grouped,
    )

    def train(where: str) -> TrainedAdapter:
        launch = LaunchOptions(work_dir=str(tmp_path / where), checkpoint_steps=2)
        assert sft_adapter.path is not None
        return train_dpo(pairs, tiny, sft_adapter.path, options, supervised=rows, launch=launch)

    whole = train("whole")
    with monkeypatch.context() as patch:
        kill_at(5, patch)
        with pytest.raises(Killed):
            train("killed")
    resumed = train("killed")
    assert resumed.report["resumed_from"] == "checkpoint-4"
    assert equal(whole, resumed)
    mixed = [point["supervised"] > 0 for point in whole.report["curve"]]
    assert any(mixed)
    assert not all(mixed)


@pytest.mark.slow
def test_a_real_kill_loses_nothing_that_was_saved(tiny: BaseModelSpec, rows: list[SftRow], tmp_path: Path) -> None:
    """SIGKILL to the worker process; what is left resumes to the same weights."""
    options = SftOptions(seed=3, learning_rate=1e-2, epochs=40, batch_size=4, micro_batch_size=2, max_length=256)
    whole = train_sft(rows, tiny, options, launch=keep(tmp_path / "whole"))
    launch = LaunchOptions(work_dir=str(tmp_path / "killed"), checkpoint_steps=20)
    assert whole.path is not None
    folder = JobFolder(tmp_path / "killed" / whole.path.parent.name)
    done = JobFolder(whole.path.parent)
    folder.path.mkdir(parents=True)
    (folder.path / "job.json").write_text(done.job().model_copy(update={"checkpoint_steps": 20}).model_dump_json())
    (folder.path / "rows.parquet").write_bytes(done.rows.read_bytes())
    worker = subprocess.Popen([sys.executable, "-m", "clarilm_kedro.finetuning.worker", str(folder.path)])
    # Two, so that one is whole; last_checkpoint would remove one that is still being written.
    while len(list(folder.checkpoints.glob("checkpoint-*/trainer_state.json"))) < 2 and worker.poll() is None:
        time.sleep(0.05)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert folder.result() is None
    resumed = train_sft(rows, tiny, options, launch=launch)
    assert resumed.report["resumed_from"] is not None
    assert equal(whole, resumed)


def test_what_was_trained_is_not_trained_again(
    tiny: BaseModelSpec, rows: list[SftRow], options: SftOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_sft(rows, tiny, options, launch=keep(tmp_path))

    def refuse(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(launching, "train", refuse)
    again = train_sft(rows[::-1], tiny, options, launch=keep(tmp_path))
    assert again.path == first.path
    assert again.report == first.report
    with pytest.raises(AssertionError, match="trained again"):
        train_sft(rows[1:], tiny, options, launch=keep(tmp_path))


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_twice_the_accumulation(
    tiny: BaseModelSpec, rows: list[SftRow], tmp_path: Path
) -> None:
    import torch

    # As many rows as fill every batch.
    options = SftOptions(seed=3, learning_rate=1e-3, epochs=2, batch_size=4, micro_batch_size=1, max_length=256)
    one = train_sft(rows[:8], tiny, options, launch=keep(tmp_path / "one"))
    launch = LaunchOptions(launcher="torchrun", processes=2, work_dir=str(tmp_path / "two"))
    two = train_sft(rows[:8], tiny, options, launch=launch)
    assert (one.report["accumulation"], two.report["accumulation"]) == (4, 2)
    assert two.report["processes"] == 2
    losses = [[point["loss"] for point in each.report["curve"]] for each in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert one.report["tokens"] == two.report["tokens"]
    assert one.path is not None
    assert two.path is not None
    first, second = weights(one.path), weights(two.path)
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


@pytest.mark.slow
def test_a_world_of_another_size_is_refused(tiny: BaseModelSpec, rows: list[SftRow], tmp_path: Path) -> None:
    """Accelerate on a CPU starts one process whatever it is told."""
    config = tmp_path / "two.yaml"
    config.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nuse_cpu: true\n")
    launch = LaunchOptions(
        launcher="accelerate", processes=2, accelerate_config=str(config), work_dir=str(tmp_path / "work")
    )
    options = SftOptions(epochs=1, batch_size=4, micro_batch_size=2, max_length=256)
    with pytest.raises(ClarilmError, match=r"planned for 2 process\(es\), and 1 came up"):
        train_sft(rows, tiny, options, launch=launch)
    assert not list(tmp_path.rglob("adapter_model.safetensors"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"launcher": "torchrun", "processes": 4}, ["--standalone", "--nproc-per-node=4"]),
        (
            {"launcher": "torchrun", "processes": 8, "machines": 2, "rendezvous": "head:29500"},
            ["--nnodes=2", "--rdzv-backend=c10d", "--rdzv-endpoint=head:29500", "--nproc-per-node=8"],
        ),
        (
            {
                "launcher": "accelerate",
                "processes": 8,
                "machines": 2,
                "rendezvous": "head:29500",
                "accelerate_config": "conf/cluster/fsdp2.yaml",
            },
            ["--num_processes=16", "--num_machines=2", "--main_process_ip=head", "--main_process_port=29500"],
        ),
    ],
)
def test_the_command_names_the_world(given: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    told = command(JobFolder(tmp_path), LaunchOptions(**given))
    assert [part for part in told if part in expected] == expected
    assert told[-1] == str(tmp_path)


@pytest.mark.parametrize(
    "given",
    [{"machines": 2}, {"launcher": "torchrun", "machines": 2}, {"launcher": "accelerate"}, {"accelerate_config": "x"}],
)
def test_options_that_do_not_fit_together_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"need|belongs"):
        LaunchOptions(**given)


def test_the_report_can_be_written(tiny: BaseModelSpec, rows: list[SftRow], options: SftOptions) -> None:
    json.dumps(train_sft(rows, tiny, options).report, allow_nan=False)
