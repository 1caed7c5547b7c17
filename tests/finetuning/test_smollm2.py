"""The whole chain on the model that ships with the project: SmolLM2-135M from its GGUF file."""

from pathlib import Path

import numpy as np
import pytest

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_model, ready_base_model
from clarilm_kedro.finetuning.decoding import SamplingOptions, ask_probabilities, reply_given_decision
from clarilm_kedro.finetuning.dpo import PreferencePair, train_dpo
from clarilm_kedro.finetuning.fm_log import OUTCOMES, draw, read_generations
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions
from clarilm_kedro.finetuning.sft import train_sft
from clarilm_kedro.finetuning.template import clarification_prompt, completion, parse_completion
from finetuning.conftest import keep

pytestmark = pytest.mark.slow

ASKED = {
    "Recommend me a good laptop.": "What will you mainly use the laptop for?",
    "Plan my city break.": "Which city are you going to?",
    "Help me make a budget.": "What is your monthly income?",
    "Improve my CV.": "What kind of job are you applying for?",
    "Write a speech for me.": "What is the occasion of the speech?",
    "Make me a playlist.": "What mood should the playlist have?",
    "How can I sleep better?": "What keeps you awake at night?",
    "My lawn looks terrible, what should I do?": "What exactly is wrong with the lawn?",
}
ANSWERED = {
    "What does SSD stand for?": "It stands for solid-state drive.",
    "What does IndexError mean in Python?": "An index lies outside the sequence.",
    "When was the Bastille stormed?": "On 14 July 1789.",
    "What is zero-based budgeting?": "Every unit of income is given a purpose.",
    "What does CV stand for?": "Curriculum vitae.",
    "Who recorded the album Kind of Blue?": "Miles Davis, in 1959.",
    "About how many words make a three-minute speech?": "About 400 words.",
    "What gas do plants release during photosynthesis?": "Oxygen.",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModelSpec:
    return BaseModelSpec(source="packaged:smollm2", cache_dir=tmp_path_factory.mktemp("cache"))


def test_the_gguf_file_becomes_plain_weights_once(base: BaseModelSpec) -> None:
    folder = ready_base_model(base)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert ready_base_model(base) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    config = (folder / "config.json").read_text()
    assert "quantization_config" not in config
    model = load_model(base, dtype="float32")
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert [path.name for path in base.cache_dir.iterdir() if path.is_dir()] == [folder.name]


def test_it_learns_asks_aligns_and_replies(base: BaseModelSpec, tmp_path: Path) -> None:
    questions = [*ASKED, *ANSWERED]
    needs = [question in ASKED for question in questions]
    texts = {**ASKED, **ANSWERED}
    rows = [
        (clarification_prompt(question), completion(asks, texts[question]))
        for question, asks in zip(questions, needs, strict=True)
    ]
    options = SftOptions(seed=1, learning_rate=2e-3, epochs=4, batch_size=4, micro_batch_size=4, max_length=128)
    trained = train_sft(rows, base, options, launch=keep(tmp_path))
    assert trained.path is not None
    assert trained.report["loss_last"] < trained.report["loss_first"] / 2

    pairs = [
        PreferencePair(clarification_prompt(question), completion(asks, texts[question]), completion(not asks, "Hm."))
        for question, asks in zip(questions[4:12], needs[4:12], strict=True)
    ]
    gentle = DpoOptions(seed=1, learning_rate=5e-5, batch_size=4, micro_batch_size=4, max_length=128)
    aligned = train_dpo(pairs, base, trained.path, gentle)
    assert aligned.path is not None
    assert aligned.report["first_preference_loss"] == pytest.approx(np.log(2), abs=1e-4)

    p_ask = ask_probabilities(base, aligned.path, questions, batch_size=8)
    assert p_ask[np.array(needs)].min() > p_ask[~np.array(needs)].max()
    (reply,) = reply_given_decision(base, aligned.path, ["Recommend me a good phone."], [True], max_new_tokens=24)
    assert reply.endswith("?")
    assert parse_completion(reply).asks is None  # the decision is not repeated in the text


def test_an_untrained_base_model_gives_malformed_facets_at_worst(base: BaseModelSpec, tmp_path: Path) -> None:
    adapter = train_sft(
        [([{"role": "user", "content": "q"}], "budget\nWhat is your budget?")],
        base,
        SftOptions(batch_size=1, micro_batch_size=1),
        launch=keep(tmp_path),
    )
    assert adapter.path is not None
    (drawn,) = draw(base, adapter.path, ["Plan my trip."], SamplingOptions(k=2, num_beams=2, max_new_tokens=16))
    candidates, outcomes = read_generations(drawn, 12)
    assert len(outcomes) == 2
    assert set(outcomes) <= set(OUTCOMES)
    assert outcomes.count("kept") == len(candidates)
