"""Trainings whose base weights are spread over processes: the configuration files, and two ranks on a CPU."""

import os
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
from clarilm_kedro.finetuning.sharding import gathered_adapter
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from finetuning.conftest import CLEAR, VAGUE, keep, weights

CONF = Path(__file__).parents[2] / "conf" / "cluster"
CONFIGS = {"fsdp2": CONF / "fsdp2.yaml", "zero3": CONF / "zero3.yaml"}
TWO_MACHINES = {"launcher": "accelerate", "processes": 4, "machines": 2, "rendezvous": "head:29500"}


def parsed(name: str, tmp_path: Path) -> Any:
    """What accelerate makes of our command line and the file."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    told = command(JobFolder(tmp_path), LaunchOptions(**TWO_MACHINES, accelerate_config=str(CONFIGS[name])))
    arguments = launch_command_parser().parse_args(told[told.index("accelerate.commands.launch") + 1 :])
    return _validate_launch_command(arguments)[0]


@pytest.mark.parametrize("name", CONFIGS)
def test_accelerate_reads_the_configuration_and_our_command(name: str, tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(CONFIGS[name]))
    assert config.distributed_type == {"fsdp2": "FSDP", "zero3": "DEEPSPEED"}[name]
    arguments = parsed(name, tmp_path)
    assert (arguments.use_fsdp, arguments.use_deepspeed) == (name == "fsdp2", name == "zero3")
    assert (arguments.num_processes, arguments.num_machines, arguments.rdzv_backend) == (8, 2, "c10d")
    assert (arguments.main_process_ip, arguments.main_process_port) == ("head", 29500)
    assert (arguments.training_script, arguments.training_script_args) == (launching._WORKER, [str(tmp_path)])


def test_what_fsdp2_is_told(tmp_path: Path) -> None:
    from accelerate.utils.launch import prepare_multi_gpu_env

    told = prepare_multi_gpu_env(parsed("fsdp2", tmp_path))
    assert told["FSDP_VERSION"] == "2"
    assert told["FSDP_AUTO_WRAP_POLICY"] == "TRANSFORMER_BASED_WRAP"
    assert told["FSDP_STATE_DICT_TYPE"] == "SHARDED_STATE_DICT"
    assert told["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "true"
    assert told["FSDP_RESHARD_AFTER_FORWARD"] == "true"
    # Each base model says its number format itself.
    assert told["ACCELERATE_MIXED_PRECISION"] == "no"


def test_what_zero3_is_told(tmp_path: Path) -> None:
    told = parsed("zero3", tmp_path)
    assert (told.zero_stage, told.zero3_init_flag, told.zero3_save_16bit_model) == (3, True, True)
    assert told.deepspeed_multinode_launcher == "standard"
    assert told.mixed_precision == "no"


def test_a_configuration_that_is_not_there_is_named(tiny: BaseModelSpec, rows: list[SftRow], tmp_path: Path) -> None:
    launch = LaunchOptions(launcher="accelerate", processes=2, accelerate_config="no.yaml", work_dir=str(tmp_path))
    with pytest.raises(ClarilmError, match=r"accelerate_config 'no\.yaml' cannot be read \(No such file"):
        train_sft(rows, tiny, SftOptions(max_length=256, batch_size=4, micro_batch_size=2), launch=launch)
    assert not list(tmp_path.iterdir())


def test_an_adapter_that_is_not_spread_is_gathered_as_it_is(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    import torch
    from peft import PeftModel

    from clarilm_kedro.finetuning.base_model import load_model

    found = gathered_adapter(PeftModel.from_pretrained(load_model(tiny), str(sft_adapter.path)))
    assert sft_adapter.path is not None
    saved = weights(sft_adapter.path)
    assert {name.replace(".default.", "."): each.shape for name, each in found.items()} == {
        name: each.shape for name, each in saved.items()
    }
    assert all(torch.equal(each, saved[name.replace(".default.", ".")]) for name, each in found.items())


def near(one: TrainedAdapter, other: TrainedAdapter, atol: float = 1e-4) -> bool:
    import torch

    assert one.path is not None
    assert other.path is not None
    first, second = weights(one.path), weights(other.path)
    return first.keys() == second.keys() and all(torch.allclose(first[name], second[name], atol=atol) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_spread_weights_learn_what_whole_ones_do(
    name: str, tiny: BaseModelSpec, rows: list[SftRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ranks on a CPU against one process; SFT is ended at its fifth step and goes on, DPO follows."""
    if name == "zero3":
        pytest.importorskip("deepspeed")
        monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.setattr(launching, "_WORKER", "finetuning.sharded_on_cpu")
    launch = LaunchOptions(
        launcher="accelerate",
        processes=2,
        accelerate_config=str(CONFIGS[name]),
        work_dir=str(tmp_path / "two"),
        checkpoint_steps=3,
    )
    options = SftOptions(seed=3, learning_rate=1e-2, epochs=4, batch_size=4, micro_batch_size=1, max_length=256)
    one = train_sft(rows[:8], tiny, options, launch=keep(tmp_path / "one"))
    with monkeypatch.context() as patch:
        patch.setenv("END_AT", "5")
        with pytest.raises(ClarilmError, match="goes on from the last checkpoint"):
            train_sft(rows[:8], tiny, options, launch=launch)
    two = train_sft(rows[:8], tiny, options, launch=launch)
    assert two.report["resumed_from"] == "checkpoint-3"
    assert two.report["trainable_parameters"] == one.report["trainable_parameters"]
    assert [point["loss"] for point in two.report["curve"]] == pytest.approx(
        [point["loss"] for point in one.report["curve"]], rel=1e-4
    )
    assert near(one, two)
    assert one.path is not None
    aligning = DpoOptions(seed=3, learning_rate=5e-3, epochs=1, batch_size=4, micro_batch_size=1, max_length=256)
    whole = train_dpo(pairs(), tiny, one.path, aligning, launch=keep(tmp_path / "one"))
    spread = train_dpo(pairs(), tiny, one.path, aligning, launch=launch)
    assert spread.report["first_preference_loss"] == pytest.approx(whole.report["first_preference_loss"], abs=1e-6)
    assert near(whole, spread)


def pairs() -> list[PreferencePair]:
    ask, answer = completion(True, "What for?"), completion(False, "It is a tower.")
    asked = [PreferencePair(clarification_prompt(question), ask, answer) for question in VAGUE[:4]]
    return asked + [PreferencePair(clarification_prompt(question), answer, ask) for question in CLEAR[:4]]
