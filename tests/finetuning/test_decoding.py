from typing import Any

import numpy as np
import pytest

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_for_inference
from clarilm_kedro.finetuning.decoder import Draw, _drawing
from clarilm_kedro.finetuning.decoding import (
    SamplingOptions,
    ask_probabilities,
    replies_given_decision,
    reply_given_decision,
    sample_candidates,
    sample_generations,
)
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import clarification_prompt
from finetuning.conftest import CLEAR, VAGUE

QUESTIONS = [*VAGUE, *CLEAR]
PROMPTS = [clarification_prompt(question) for question in QUESTIONS]
DRAWS: dict[str, Any] = {"seed": 1, "k": 3, "temperature": 1.0, "max_new_tokens": 12, "batch_size": 4}


def test_p_ask_separates_what_was_trained_apart(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    p = ask_probabilities(tiny, sft_adapter.path, QUESTIONS, batch_size=4)
    assert p.shape == (11,)
    assert p[: len(VAGUE)].min() > 0.9
    assert p[len(VAGUE) :].max() < 0.1


def test_p_ask_is_the_softmax_over_yes_and_no(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    """By hand: likelihoods of both whole decision lines, one question at a time."""
    import torch

    model, tokenizer = load_for_inference(tiny, sft_adapter.path)
    found = ask_probabilities(tiny, sft_adapter.path, QUESTIONS[:4], batch_size=3)
    for question, p in zip(QUESTIONS, found, strict=False):
        prompt = tokenizer.apply_chat_template(
            clarification_prompt(question), tokenize=False, add_generation_prompt=True
        )
        tails = [tokenizer(f"Need Clarification: {word}\n")["input_ids"] for word in ("Yes", "No")]
        shared = next(at for at, (a, b) in enumerate(zip(*tails, strict=False)) if a != b)
        ids = torch.tensor([tokenizer(prompt)["input_ids"] + tails[0][:shared]])
        with torch.inference_mode():
            logits = model(ids).logits[0, -1]
        yes, no = float(logits[tails[0][shared]]), float(logits[tails[1][shared]])
        assert p == pytest.approx(1 / (1 + np.exp(no - yes)), abs=1e-4)


def test_p_ask_depends_neither_on_batches_nor_on_order(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    one = ask_probabilities(tiny, sft_adapter.path, QUESTIONS, batch_size=1)
    many = ask_probabilities(tiny, sft_adapter.path, QUESTIONS[::-1], batch_size=16)[::-1]
    assert np.allclose(one, many, atol=1e-4)


def test_replies_follow_the_decision_they_are_given(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    asks = [True] * len(VAGUE) + [False] * len(CLEAR)
    replies = reply_given_decision(tiny, sft_adapter.path, QUESTIONS, asks, max_new_tokens=40, batch_size=4)
    assert replies[0] == "What will you mainly use it for?"
    assert replies[-1] == "It stands for solid state drive."
    backwards = reply_given_decision(
        tiny, sft_adapter.path, QUESTIONS[::-1], asks[::-1], max_new_tokens=40, batch_size=3
    )
    assert backwards[::-1] == replies
    assert reply_given_decision(tiny, sft_adapter.path, [QUESTIONS[0]], [True], max_new_tokens=2)[0] != replies[0]


def test_draws_are_those_of_the_seed(tiny: BaseModelSpec) -> None:
    first = sample_candidates(tiny, None, PROMPTS, SamplingOptions(**DRAWS))
    assert first == sample_candidates(tiny, None, PROMPTS[::-1], SamplingOptions(**DRAWS))[::-1]
    assert first != sample_candidates(tiny, None, PROMPTS, SamplingOptions(**{**DRAWS, "seed": 2}))
    assert [len(row) for row in first] == [3] * len(PROMPTS)
    assert len(set(first[0])) > 1


def test_drawing_leaves_the_callers_random_numbers_alone(tiny: BaseModelSpec) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    sample_candidates(tiny, None, PROMPTS[:1], SamplingOptions(**DRAWS))
    assert torch.equal(torch.rand(1), expected)


def test_beams_give_k_candidates_each(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    options = SamplingOptions(**{**DRAWS, "num_beams": 4})
    drawn = sample_candidates(tiny, sft_adapter.path, PROMPTS[:3], options)
    assert [len(row) for row in drawn] == [3, 3, 3]
    assert drawn == sample_candidates(tiny, sft_adapter.path, PROMPTS[:3], options)
    with pytest.raises(ValueError, match="num_beams 2 must be 1 or at least k = 3"):
        SamplingOptions(k=3, num_beams=2)


def test_a_text_that_did_not_end_is_marked(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    cold = {**DRAWS, "temperature": 0.01}
    ended = sample_generations(tiny, sft_adapter.path, PROMPTS[:2], SamplingOptions(**{**cold, "max_new_tokens": 60}))
    assert all(drawn.finished for row in ended for drawn in row)
    assert ended[0][0].text == "Need Clarification: Yes\nWhat will you mainly use it for?"
    cut = sample_generations(tiny, sft_adapter.path, PROMPTS[:2], SamplingOptions(**{**cold, "max_new_tokens": 3}))
    assert not any(drawn.finished for row in cut for drawn in row)


def test_nothing_in_nothing_out(tiny: BaseModelSpec) -> None:
    assert sample_candidates(tiny, None, [], SamplingOptions()) == []
    assert ask_probabilities(tiny, None, []).shape == (0,)
    assert reply_given_decision(tiny, None, [], []) == []


def test_drawn_replies_depend_on_seed_and_prompt_only(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> None:
    asks = [number % 2 == 0 for number in range(len(PROMPTS))]
    drawn: dict[tuple[int, int], list[str]] = {
        (seed, size): replies_given_decision(
            tiny,
            sft_adapter.path,
            PROMPTS,
            asks,
            max_new_tokens=12,
            batch_size=size,
            draw=Draw(temperature=2.0, top_p=0.95, seeds=[seed] * len(PROMPTS)),
        )
        for seed, size in ((0, 1), (0, 4), (0, 16), (1, 4))
    }
    assert drawn[0, 1] == drawn[0, 4] == drawn[0, 16] != drawn[1, 4]
    (alone,) = replies_given_decision(
        tiny, sft_adapter.path, PROMPTS[3:4], asks[3:4], max_new_tokens=12, draw=Draw(2.0, 0.95, [0])
    )
    assert alone == drawn[0, 4][3]
    greedy = replies_given_decision(tiny, sft_adapter.path, PROMPTS, asks, max_new_tokens=12)
    cold = replies_given_decision(
        tiny, sft_adapter.path, PROMPTS, asks, max_new_tokens=12, draw=Draw(0.01, 0.5, [0] * len(PROMPTS))
    )
    assert cold == greedy != drawn[0, 4]


def test_a_draw_follows_temperature_and_top_p() -> None:
    """Squares of the probabilities at temperature 1/2; of these the first two hold 0.9, so the others never come."""
    import torch

    n = 4000
    draw = Draw(temperature=0.5, top_p=0.9, seeds=[1] * n)
    noise = _drawing(draw, range(n), [[number] for number in range(n)], torch.device("cpu"))
    scores = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().repeat(n, 1)
    chosen = noise(torch.zeros(n, 1, dtype=torch.long), scores).argmax(dim=1)
    shares = (torch.bincount(chosen, minlength=4) / n).tolist()
    assert shares == pytest.approx([0.25 / 0.34, 0.09 / 0.34, 0.0, 0.0], abs=0.025)
    assert shares[2:] == [0.0, 0.0]
