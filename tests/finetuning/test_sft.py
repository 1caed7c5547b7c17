import logging
from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
from clarilm_kedro.finetuning.building import build_sft_trainer
from clarilm_kedro.finetuning.jobs import Job, JobFolder
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.sft import SftRow, encode_rows, train_sft
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from finetuning.conftest import keep, weights


@pytest.fixture
def short(quick: dict[str, Any]) -> SftOptions:
    return SftOptions(**{**quick, "epochs": 1})


def prepared(tiny: BaseModelSpec, rows: list[SftRow], options: SftOptions, path: Path) -> tuple[Job, JobFolder]:
    job = Job(method="sft", run_name="sft", base=tiny, options=options.model_dump(mode="json"))
    folder = JobFolder(path)
    encoded, _ = encode_rows(load_tokenizer(tiny), rows, options)
    folder.prepare(job, [{"prompt_ids": row.prompt, "completion_ids": row.completion} for row in encoded])
    return job, folder


def test_training_learns_the_replies(sft_adapter: TrainedAdapter, rows: list[SftRow]) -> None:
    report = sft_adapter.report
    assert report["status"] == "trained"
    assert report["loss_last"] < report["loss_first"] / 4
    assert report["rows"] == len(rows)
    assert len(report["curve"]) == report["steps"]
    assert report["options"]["learning_rate"] == 2e-2
    assert {"loss", "learning_rate", "tokens_per_second"} <= set(report["curve"][0])


def test_only_the_low_rank_weights_are_saved(sft_adapter: TrainedAdapter) -> None:
    folder = sft_adapter.path
    assert folder is not None
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "base_model.json",
    ]
    assert sorted(path.name for path in folder.parent.iterdir()) == [
        "adapter",
        "job.json",
        "result.json",
        "rows.parquet",
    ]
    assert all(".lora_A." in name or ".lora_B." in name for name in weights(folder))
    assert len(weights(folder)) == 2 * 7 * 2  # A and B of seven linear layers in each of two blocks


def test_equal_seeds_give_equal_adapters_whatever_the_order_of_rows(
    tiny: BaseModelSpec, rows: list[SftRow], short: SftOptions, tmp_path: Path
) -> None:
    import torch

    def trained(name: str, given: list[SftRow], options: SftOptions) -> dict[str, Any]:
        (tmp_path / name).mkdir()
        path = train_sft(given, tiny, options, launch=keep(tmp_path / name)).path
        assert path is not None
        return weights(path)

    first = trained("first", rows, short)
    again = trained("again", rows[::-1], short)
    other = trained("other", rows, short.model_copy(update={"seed": 4}))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_last_partial_batch_is_learnt_too(tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any]) -> None:
    options = SftOptions(**{**quick, "epochs": 2, "batch_size": 4, "micro_batch_size": 2})
    trained = train_sft(rows, tiny, options)
    encoded, _ = encode_rows(load_tokenizer(tiny), rows, options)
    assert len(rows) == 11
    assert trained.report["steps"] == 2 * 3  # 4 + 4 + 3 rows an epoch
    assert trained.report["tokens"] == 2 * sum(row.length for row in encoded)
    assert trained.report["accumulation"] == 2


def test_accumulated_batches_learn_what_whole_ones_do(
    tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], tmp_path: Path
) -> None:
    import torch

    found = []
    for micro in (2, 4):
        (tmp_path / str(micro)).mkdir()
        options = SftOptions(**{**quick, "epochs": 1, "micro_batch_size": micro})
        trained = train_sft(rows, tiny, options, launch=keep(tmp_path / str(micro)))
        assert trained.path is not None
        found.append((trained.report["loss_first"], weights(trained.path)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    assert all(torch.allclose(found[0][1][name], found[1][1][name], atol=2e-3) for name in found[0][1])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_rows_without_padding_learn_what_padded_ones_do(
    attention: str, tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], tmp_path: Path
) -> None:
    import torch

    padded, free = (
        train_sft(
            rows,
            tiny,
            SftOptions(**{**quick, "epochs": 2, "learning_rate": 1e-3, "attention": attention, "padding_free": each}),
            launch=keep(tmp_path / str(each)),
        )
        for each in (False, True)
    )
    losses = [[point["loss"] for point in each.report["curve"]] for each in (padded, free)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert padded.report["tokens"] == free.report["tokens"]
    assert padded.path is not None
    assert free.path is not None
    one, other = weights(padded.path), weights(free.path)
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)


def test_the_first_loss_is_the_mean_over_reply_tokens(
    tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any]
) -> None:
    """By hand, with the base model's own loss: prompts do not count, the end of turn does."""
    import torch

    from clarilm_kedro.finetuning.base_model import load_model

    options = SftOptions(**{**quick, "epochs": 1, "batch_size": 16, "micro_batch_size": 16})
    model = load_model(tiny)
    total, n = 0.0, 0
    for row in encode_rows(load_tokenizer(tiny), rows, options)[0]:
        ids = torch.tensor([row.prompt + row.completion])
        labels = torch.tensor([[-100] * len(row.prompt) + row.completion])
        with torch.inference_mode():
            total += float(model(input_ids=ids, labels=labels).loss) * len(row.completion)
        n += len(row.completion)
    assert train_sft(rows, tiny, options).report["loss_first"] == pytest.approx(total / n, rel=1e-3)


def test_gradients_reach_the_adapter_and_nothing_else(
    tiny: BaseModelSpec, rows: list[SftRow], short: SftOptions, tmp_path: Path
) -> None:
    _, trainer = build_sft_trainer(*prepared(tiny, rows, short, tmp_path))
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        assert parameter.requires_grad == (".lora_" in name), name
        assert (before[name] == parameter).all() == (".lora_" not in name), name


def test_rows_over_the_limit_are_counted(
    tiny: BaseModelSpec, rows: list[SftRow], short: SftOptions, caplog: pytest.LogCaptureFixture
) -> None:
    long = (clarification_prompt("word " * 400), completion(True, "Which?"))
    with caplog.at_level(logging.WARNING):
        trained = train_sft([*rows, long], tiny, short)
    assert (trained.report["rows"], trained.report["rows_over_length"]) == (len(rows), 1)
    assert "1 of 12 rows exceed 256 tokens" in caplog.text


def test_too_few_rows_stop_or_are_recorded(tiny: BaseModelSpec, rows: list[SftRow], short: SftOptions) -> None:
    long = (clarification_prompt("word " * 400), completion(True, "Which?"))
    with pytest.raises(ClarilmError, match="There are 0 rows to train on, and at least 1 are needed"):
        train_sft([], tiny, short)
    with pytest.raises(ClarilmError, match=r"There are 0 rows to train on \(1 more are longer than max_length\)"):
        train_sft([long], tiny, short)
    skipped = train_sft(rows, tiny, short, min_examples=12, on_too_few="skip")
    assert skipped.path is None
    assert skipped.report == {
        "status": "skipped",
        "reason": "There are 11 rows to train on, and at least 12 are needed.",
    }
    assert train_sft([], tiny, short, min_examples=0, on_too_few="skip").report["status"] == "skipped"


def test_a_broken_loss_stops_training(
    tiny: BaseModelSpec, rows: list[SftRow], quick: dict[str, Any], tmp_path: Path
) -> None:
    options = SftOptions(**{**quick, "learning_rate": 1e30, "max_grad_norm": 1e30})
    with pytest.raises(ClarilmError, match=r"The loss became (nan|inf) at step \d+. Lower learning_rate"):
        train_sft(rows, tiny, options, launch=keep(tmp_path))
    (folder,) = tmp_path.iterdir()
    assert not (folder / "adapter").exists()
    assert not (folder / "result.json").exists()


def test_bfloat16_weights_are_trained_with_a_float32_adapter(
    tiny: BaseModelSpec, rows: list[SftRow], short: SftOptions, sft_adapter: TrainedAdapter
) -> None:
    import torch

    trained = train_sft(rows, tiny.model_copy(update={"dtype": "bfloat16"}), short)
    assert trained.path is not None
    assert {tensor.dtype for tensor in weights(trained.path).values()} == {torch.float32}
    assert trained.report["dtype"] == "bfloat16"
    assert trained.report["loss_first"] == pytest.approx(sft_adapter.report["loss_first"], rel=0.05)


def test_rows_of_a_step_go_by_length_and_are_those_of_the_random_order() -> None:
    import torch

    from clarilm_kedro.finetuning._resumable import SortedWithinSteps

    lengths = [(7 * at) % 11 for at in range(10)]
    orders: list[list[int]] = []
    sampler = SortedWithinSteps(lengths, step=4, seed=3, epoch=lambda: len(orders))
    for epoch in range(2):
        order = list(sampler)
        random = torch.randperm(10, generator=torch.Generator().manual_seed(3 + epoch)).tolist()
        for start in (0, 4, 8):
            step = order[start : start + 4]
            assert set(step) == set(random[start : start + 4])
            by_length = sorted((lengths[at] for at in step), reverse=True)
            assert [lengths[at] for at in step] == (by_length if len(step) == 4 else [lengths[at] for at in random[8:]])
        orders.append(order)
    assert orders[0] != orders[1]
