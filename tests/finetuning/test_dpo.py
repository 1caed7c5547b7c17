import json
import math
from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
from clarilm_kedro.finetuning.building import build_dpo_trainer
from clarilm_kedro.finetuning.dpo import PreferencePair, encode_pairs, train_dpo
from clarilm_kedro.finetuning.jobs import Job, JobFolder
from clarilm_kedro.finetuning.options import DpoOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from finetuning.conftest import CLEAR, VAGUE, keep, weights


@pytest.fixture(scope="module")
def pairs() -> list[PreferencePair]:
    ask, answer = completion(True, "What will you mainly use it for?"), completion(False, "It is a tower.")
    asked = [PreferencePair(clarification_prompt(question), ask, answer) for question in VAGUE]
    answered = [PreferencePair(clarification_prompt(question), answer, ask) for question in CLEAR]
    return [*asked, *answered]


@pytest.fixture(scope="module")
def options() -> DpoOptions:
    return DpoOptions(seed=3, learning_rate=5e-3, epochs=4, batch_size=4, micro_batch_size=2, max_length=256)


@pytest.fixture(scope="module")
def aligned(
    tiny: BaseModelSpec,
    sft_adapter: TrainedAdapter,
    pairs: list[PreferencePair],
    options: DpoOptions,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainedAdapter:
    assert sft_adapter.path is not None
    return train_dpo(pairs, tiny, sft_adapter.path, options, launch=keep(tmp_path_factory.mktemp("dpo")))


def make_trainer(
    tiny: BaseModelSpec, adapter: Path, pairs: list[PreferencePair], options: DpoOptions, tmp_path: Path
) -> Any:
    job = Job(method="dpo", run_name="dpo", base=tiny, options=options.model_dump(mode="json"), start=str(adapter))
    folder = JobFolder(tmp_path / "job")
    folder.prepare(job, encode_pairs(load_tokenizer(tiny), pairs, options)[0])
    trainer = build_dpo_trainer(job, folder)[1]
    trainer.start_clock()
    return trainer


def test_dpo_starts_at_the_sft_model(aligned: TrainedAdapter, tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    assert aligned.report["first_preference_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert aligned.report["margin_first"] == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_first_loss_is_ln_2_in_both_formats(
    dtype: str,
    tiny: BaseModelSpec,
    sft_adapter: TrainedAdapter,
    pairs: list[PreferencePair],
    options: DpoOptions,
) -> None:
    assert sft_adapter.path is not None
    once = options.model_copy(update={"epochs": 1})
    trained = train_dpo(pairs, tiny.model_copy(update={"dtype": dtype}), sft_adapter.path, once)
    assert trained.report["first_preference_loss"] == pytest.approx(math.log(2), abs=1e-4)


def test_pairs_without_padding_learn_what_padded_ones_do(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, pairs: list[PreferencePair], options: DpoOptions
) -> None:
    assert sft_adapter.path is not None
    once = options.model_copy(update={"epochs": 1})
    free = once.model_copy(update={"padding_free": True})
    curves = [
        [(point["loss"], point["kl"], point["margin"]) for point in report["curve"]]
        for report in (train_dpo(pairs, tiny, sft_adapter.path, each).report for each in (once, free))
    ]
    for padded, flat in zip(*curves, strict=True):
        assert padded == pytest.approx(flat, rel=1e-3, abs=1e-4)


def test_preferences_are_learnt(aligned: TrainedAdapter, pairs: list[PreferencePair]) -> None:
    report = aligned.report
    assert report["margin_last"] > 0.5
    assert report["accuracy_last"] == 1.0
    assert report["pairs"] == len(pairs)
    assert report["steps"] == 4 * 3  # 4 + 4 + 3 pairs an epoch
    assert {"preference", "supervised", "kl", "margin", "accuracy"} <= set(report["curve"][0])
    assert report["curve"][0]["kl"] == pytest.approx(0, abs=1e-3)
    json.dumps(report)


def test_the_adapter_alone_is_saved(aligned: TrainedAdapter, sft_adapter: TrainedAdapter, tiny: BaseModelSpec) -> None:
    folder = aligned.path
    assert folder is not None
    assert sft_adapter.path is not None
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "base_model.json",
    ]
    assert set(weights(folder)) == set(weights(sft_adapter.path))
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == tiny.source


def test_only_the_policy_moves(
    tiny: BaseModelSpec,
    sft_adapter: TrainedAdapter,
    pairs: list[PreferencePair],
    options: DpoOptions,
    tmp_path: Path,
) -> None:
    assert sft_adapter.path is not None
    trainer = make_trainer(tiny, sft_adapter.path, pairs, options, tmp_path)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        assert bool((before[name] == parameter).all()) == (".default." not in name), name
        assert parameter.requires_grad == (".default." in name), name


def test_our_loss_is_trls(
    tiny: BaseModelSpec,
    sft_adapter: TrainedAdapter,
    pairs: list[PreferencePair],
    options: DpoOptions,
    tmp_path: Path,
) -> None:
    """Against TRL's own computation of the sigmoid and sft losses, for a policy that has left its reference."""
    import torch
    from trl import DPOTrainer

    assert sft_adapter.path is not None
    plain = options.model_copy(update={"kl_coef": 0.0, "supervised_weight": 0.3})
    trainer = make_trainer(tiny, sft_adapter.path, pairs, plain, tmp_path)
    torch.manual_seed(0)
    for name, parameter in trainer.model.named_parameters():
        if ".default." in name:
            parameter.data.add_(0.02 * torch.randn_like(parameter))
    trainer.first_preference_loss = 0.0  # seen: this policy is meant to be elsewhere
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    ours = trainer.compute_loss(trainer.model, dict(batch)).detach()
    trainer.loss_types, trainer.loss_weights = ["sigmoid", "sft"], [1.0, 0.3]
    theirs = DPOTrainer._compute_loss(trainer, trainer.model, dict(batch), False).detach()
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)
    assert abs(float(ours)) > 1e-2


def test_the_kl_term_grows_with_the_distance_from_the_reference() -> None:
    import torch

    from clarilm_kedro.finetuning._trainers import preference_loss

    reference = torch.tensor([[-1.0, -2.0, 0.0], [-1.0, -1.0, -1.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    settings = {"beta": 0.1, "supervised_weight": 0.2, "kl_coef": 0.5}
    same = preference_loss(reference, reference, mask, **settings)
    assert float(same.preference) == pytest.approx(math.log(2))
    assert float(same.kl) == 0.0
    assert float(same.supervised) == pytest.approx(1.5)
    assert float(same.total) == pytest.approx(math.log(2) + 0.2 * 1.5)
    policy = reference + torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    moved = preference_loss(policy, reference, mask, **settings)
    assert float(moved.kl) == pytest.approx(math.exp(-0.5) - 1 + 0.5)
    assert float(moved.margin) == pytest.approx(0.1)
    assert float(moved.preference) == pytest.approx(-math.log(1 / (1 + math.exp(-0.1))))
    assert float(moved.accuracy) == 1.0


def test_a_policy_that_does_not_start_at_its_reference_is_an_error(
    tiny: BaseModelSpec,
    sft_adapter: TrainedAdapter,
    pairs: list[PreferencePair],
    options: DpoOptions,
    tmp_path: Path,
) -> None:
    assert sft_adapter.path is not None
    trainer = make_trainer(tiny, sft_adapter.path, pairs, options, tmp_path)
    for name, parameter in trainer.model.named_parameters():
        if ".ref." in name:
            parameter.data.zero_()  # the base model, as where the SFT adapter is ignored
    with pytest.raises(ClarilmError, match=r"DPO's first loss is .* and not ln 2"):
        trainer.train()


def test_equal_seeds_give_equal_adapters_whatever_the_order_of_pairs(
    tiny: BaseModelSpec,
    sft_adapter: TrainedAdapter,
    pairs: list[PreferencePair],
    options: DpoOptions,
    aligned: TrainedAdapter,
    tmp_path: Path,
) -> None:
    import torch

    assert sft_adapter.path is not None
    assert aligned.path is not None
    again = train_dpo(pairs[::-1], tiny, sft_adapter.path, options, launch=keep(tmp_path))
    assert again.path is not None
    first, second = weights(aligned.path), weights(again.path)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_pairs_over_the_limit_are_counted(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, pairs: list[PreferencePair], options: DpoOptions
) -> None:
    assert sft_adapter.path is not None
    long = PreferencePair(clarification_prompt("q"), completion(True, "word " * 400), completion(False, "x"))
    once = options.model_copy(update={"epochs": 1})
    report = train_dpo([*pairs, long], tiny, sft_adapter.path, once).report
    assert (report["pairs"], report["pairs_over_length"]) == (len(pairs), 1)


def test_too_few_pairs_stop_or_are_recorded(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, pairs: list[PreferencePair], options: DpoOptions
) -> None:
    assert sft_adapter.path is not None
    with pytest.raises(ClarilmError, match="There are 0 preference pairs, and at least 1 are needed"):
        train_dpo([], tiny, sft_adapter.path, options)
    tight = options.model_copy(update={"max_length": 16})
    skipped = train_dpo(pairs, tiny, sft_adapter.path, tight, min_examples=5, on_too_few="skip")
    assert skipped.path is None
    assert "(11 more are longer than max_length)" in skipped.report["reason"]


def test_an_adapter_of_another_base_model_is_refused(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, pairs: list[PreferencePair], options: DpoOptions
) -> None:
    assert sft_adapter.path is not None
    other = tiny.model_copy(update={"source": "packaged:smollm2"})
    with pytest.raises(ClarilmError, match=r"was trained on .* and base_model.source is packaged:smollm2"):
        train_dpo(pairs, other, sft_adapter.path, options)


def test_the_base_model_as_reference_gives_another_first_loss(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, pairs: list[PreferencePair], options: DpoOptions
) -> None:
    """As LLaMA-Factory trains from an adapter: the reference is the base model, and the first loss is not ln 2."""
    assert sft_adapter.path is not None
    base = options.model_copy(update={"epochs": 1, "reference": "base"})
    report = train_dpo(pairs, tiny, sft_adapter.path, base).report
    assert report["first_preference_loss"] is None
    assert abs(report["curve"][0]["preference"] - math.log(2)) > 0.01


def test_supervised_rows_must_be_there(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, pairs: list[PreferencePair], options: DpoOptions
) -> None:
    assert sft_adapter.path is not None
    rows = options.model_copy(update={"supervised_source": "sft_rows"})
    with pytest.raises(ClarilmError, match="no row of sft_train that fits max_length"):
        train_dpo(pairs, tiny, sft_adapter.path, rows)


def test_dpo_without_an_adapter_says_what_to_do(
    tiny: BaseModelSpec, pairs: list[PreferencePair], options: DpoOptions, tmp_path: Path
) -> None:
    with pytest.raises(ClarilmError, match="train clarilm_sft_adapter first"):
        train_dpo(pairs, tiny, tmp_path, options)


def test_the_policy_starts_with_its_adapter_trainable(
    tiny: BaseModelSpec,
    sft_adapter: TrainedAdapter,
    pairs: list[PreferencePair],
    options: DpoOptions,
    tmp_path: Path,
) -> None:
    assert sft_adapter.path is not None
    policy = make_trainer(tiny, sft_adapter.path, pairs, options, tmp_path).model
    trainable = {name for name, p in policy.named_parameters() if p.requires_grad}
    assert trainable
    assert all(".lora_" in name for name in trainable)
