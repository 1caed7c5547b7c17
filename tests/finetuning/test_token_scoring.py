"""The ways to compute a token's log-probability, against the model's own logits on one row at a time."""

from typing import Any

import pytest

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_model

PROMPTS = ([5, 6, 7], [8, 9, 10, 11, 12, 13], [14])
CHOSEN = ([20, 21], [22], [23, 24, 25, 26, 27])
REJECTED = ([30, 31, 32, 33], [34, 35], [36])


def batch() -> dict[str, Any]:
    """The six rows of three pairs as TRL's collator gives them: chosen replies first, padded on the right."""
    import torch

    from clarilm_kedro.finetuning._scoring import IGNORED

    rows = [(prompt, reply) for replies in (CHOSEN, REJECTED) for prompt, reply in zip(PROMPTS, replies, strict=True)]
    made: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for prompt, reply in rows:
        rest = 12 - len(prompt) - len(reply)
        made["input_ids"].append(prompt + reply + [2] * rest)
        made["attention_mask"].append([1] * (12 - rest) + [0] * rest)
        made["labels"].append([IGNORED] * len(prompt) + reply + [IGNORED] * rest)
    return {name: torch.tensor(each) for name, each in made.items()}


def by_hand(model: Any, rows: dict[str, Any]) -> Any:
    """Log-probabilities [rows, length - 1] from each row's own logits, unpadded."""
    import torch

    found = torch.zeros(rows["input_ids"][:, 1:].shape)
    for at, (ids, kept, labels) in enumerate(zip(*rows.values(), strict=True)):
        n = int(kept.sum())
        logits = model(input_ids=ids[None, :n]).logits[0, :-1]
        scores = logits.log_softmax(dim=-1).gather(1, ids[1:n, None])[:, 0]
        found[at, : n - 1] = scores * (labels[1:n] >= 0)
    return found


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("way", ["padded", "padding_free", "shared_prompts"])
def test_every_way_gives_what_single_rows_give(way: str, attention: str, tiny: BaseModelSpec) -> None:
    import torch

    from clarilm_kedro.finetuning import _scoring

    model, rows = load_model(tiny, attention=attention), batch()
    settings = {"additive": attention == "eager"} if way == "shared_prompts" else {}
    scoring = getattr(_scoring, way)(**rows, **settings)
    scores = _scoring.token_log_probs(model, scoring)
    expected = by_hand(model, rows)
    assert torch.equal(scoring.scored, rows["labels"][:, 1:] >= 0)
    assert torch.allclose(scores, expected, atol=1e-5)
    weights = torch.arange(1.0, 7)[:, None]  # a mistake in one row is not to be made good by another
    parameters = list(model.parameters())
    ours, theirs = (torch.autograd.grad((each * weights).sum(), parameters) for each in (scores, expected))
    assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in zip(ours, theirs, strict=True))


def test_a_shared_prompt_is_run_once(tiny: BaseModelSpec) -> None:
    from clarilm_kedro.finetuning._scoring import shared_prompts

    scoring = shared_prompts(**batch(), additive=False)
    assert scoring.kept.sum(dim=1).tolist() == [
        len(prompt) + len(chosen) + len(rejected)
        for prompt, chosen, rejected in zip(PROMPTS, CHOSEN, REJECTED, strict=True)
    ]


def test_only_tokens_to_learn_meet_the_output_head(tiny: BaseModelSpec) -> None:
    from clarilm_kedro.finetuning._scoring import padded, token_log_probs

    model = load_model(tiny)
    seen = []
    model.lm_head.register_forward_hook(lambda _, __, logits: seen.append(tuple(logits.shape[:2])))
    token_log_probs(model, padded(**batch()))
    assert seen == [(1, sum(map(len, (*CHOSEN, *REJECTED))))]
    model(input_ids=batch()["input_ids"])
    assert seen[-1] == (6, 12)  # and nothing is left of it afterwards


def test_a_compiled_model_scores_alike(tiny: BaseModelSpec) -> None:
    import torch

    from clarilm_kedro.finetuning._scoring import padded, token_log_probs

    model, rows = load_model(tiny), batch()
    compiled = torch.compile(model, backend="eager")
    assert torch.allclose(token_log_probs(compiled, padded(**rows)), by_hand(model, rows), atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_folded_layers_compute_what_peft_does(dropout: float, tiny: BaseModelSpec) -> None:
    import torch

    plain, folded = (adapted(tiny, dropout, folded=each) for each in (False, True))
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-4) for one, other in zip(plain, folded, strict=True))


def test_folded_layers_are_as_precise_in_bfloat16(tiny: BaseModelSpec) -> None:
    exact = adapted(tiny, 0.0, folded=False)[0]
    low = tiny.model_copy(update={"dtype": "bfloat16"})
    errors = [float((adapted(low, 0.0, folded=each)[0] - exact).norm().detach()) for each in (False, True)]
    assert 0 < errors[1] < 1.2 * errors[0]


def adapted(spec: BaseModelSpec, dropout: float, *, folded: bool) -> list[Any]:
    """Logits of a model with a random adapter, and the gradients of its weights."""
    import torch
    from peft import LoraConfig, get_peft_model

    from clarilm_kedro.finetuning._lora import fold_scales

    torch.manual_seed(0)
    lora = LoraConfig(r=4, lora_alpha=12, lora_dropout=dropout, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(load_model(spec), lora)
    if folded:
        fold_scales(model)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=spec.dtype == "bfloat16"):
        logits = model(input_ids=batch()["input_ids"]).logits
    trained = [each for each in model.parameters() if each.requires_grad]
    return [logits, *torch.autograd.grad(logits.float().logsumexp(dim=-1).sum(), trained)]
