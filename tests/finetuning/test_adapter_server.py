"""llama.cpp on an exported adapter says what transformers says, and is gone afterwards."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.servers import stop_servers
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Message
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapter_server import AdapterServer, AdapterServerOptions
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
from clarilm_kedro.finetuning.decoding import SamplingOptions, reply_given_decision, sample_generations
from clarilm_kedro.finetuning.encoding import render_prompt, token_ids
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import clarification_prompt, decision
from clarilm_kedro.pipelines.evaluation.serving import served_replies
from clarilm_kedro.pipelines.stages import as_messages
from finetuning.conftest import CLEAR, VAGUE

pytest.importorskip("xllamacpp")

QUESTIONS = [*VAGUE, *CLEAR, "Is it  25 or 1,250 euros?\n\n\tWhich  one – the “old” one? 日本"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AdapterServer]:
    paths = {name: tmp_path / name for name in ("folder", "log_file", "store")}
    yield AdapterServer(AdapterServerOptions(weights="f32", slots=2, n_ctx=512, threads=2, **paths))
    stop_servers()


def requests(questions: list[str]) -> list[ChatRequest]:
    return [ChatRequest(question, as_messages(clarification_prompt(question)), whole=False) for question in questions]


def said(model: ChatEndpoint, questions: list[str]) -> dict[str, ChatResult]:
    return {result.row_id: result for result in model.complete(requests(questions), stage="s")}


def alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(url.replace("/v1", "/health"), timeout=5):
            return True
    except urllib.error.URLError:
        return False


def test_greedy_texts_are_those_of_transformers(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, server: AdapterServer
) -> None:
    cold = SamplingOptions(k=1, temperature=1e-6, max_new_tokens=24)
    drawn = sample_generations(tiny, sft_adapter.path, [clarification_prompt(each) for each in QUESTIONS], cold)
    with server.greedy(tiny, sft_adapter.path, 24) as model:
        found = said(model, QUESTIONS)
    assert [found[question].text for question in QUESTIONS] == [row[0].text for row in drawn]
    assert [found[question].finish_reason == "stop" for question in QUESTIONS] == [row[0].finished for row in drawn]


def test_replies_with_a_given_decision_are_those_of_transformers(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, server: AdapterServer
) -> None:
    asks = [True] * len(VAGUE) + [False] * (len(QUESTIONS) - len(VAGUE))
    expected = reply_given_decision(tiny, sft_adapter.path, QUESTIONS, asks, max_new_tokens=12)
    with server.greedy(tiny, sft_adapter.path, 12) as model:
        assert served_replies([clarification_prompt(question) for question in QUESTIONS], asks, model) == expected


def test_a_prompt_has_the_tokens_it_was_trained_with(tiny: BaseModelSpec, server: AdapterServer) -> None:
    tokenizer = load_tokenizer(tiny)
    with server.greedy(tiny, None, 1) as model:
        results = said(model, QUESTIONS)
    for question in QUESTIONS:
        prompt = token_ids(tokenizer, render_prompt(tokenizer, clarification_prompt(question)))
        assert results[question].prompt_tokens == len(prompt)


def test_draws_are_of_the_seed_and_sampled_as_asked(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, server: AdapterServer
) -> None:
    hot = SamplingOptions(seed=5, k=1, temperature=3.0, top_k=40, top_p=1.0, max_new_tokens=8)
    rows = [ChatRequest(str(n), (Message("user", "Plan my trip."),), sample_index=n, whole=False) for n in range(6)]
    with server.sampling(tiny, None, hot) as model:
        assert model.options.extra_body == {"samplers": ["temperature", "top_k", "top_p"], "top_k": 40}
        texts = {result.text for result in model.complete(rows, stage="s")}
    assert len(texts) == 6
    with server.sampling(tiny, sft_adapter.path, hot.model_copy(update={"top_k": 1, "max_new_tokens": 24})) as model:
        (only,) = said(model, QUESTIONS[:1]).values()
    assert only.text.startswith(decision(True))


def test_replies_are_drawn_by_their_seed(tiny: BaseModelSpec, server: AdapterServer) -> None:
    prompts, asks = [clarification_prompt(question) for question in QUESTIONS], [True] * len(QUESTIONS)
    with server.drawing(tiny, None, 8, temperature=3.0, top_p=0.95) as model:
        assert model.options.extra_body == {"samplers": ["temperature", "top_p"]}
        first, other, again = (served_replies(prompts, asks, model, seeds=[seed] * len(prompts)) for seed in (0, 1, 0))
    assert first == again != other


def test_the_server_starts_late_and_ends_with_the_block_also_by_an_error(
    tiny: BaseModelSpec, server: AdapterServer
) -> None:
    opened: list[ChatEndpoint] = []
    server = AdapterServer(server.options, opened.append)
    with server.greedy(tiny, None, 4) as model:
        assert not server.options.log_file.exists()
        said(model, QUESTIONS[:1])
        (url,) = model.addresses()
        assert alive(url)
    assert not alive(url)
    assert opened == [model]
    with pytest.raises(KeyboardInterrupt), server.greedy(tiny, None, 5) as model:  # noqa: PT012
        said(model, QUESTIONS[:1])
        (url,) = model.addresses()
        raise KeyboardInterrupt
    assert not alive(url)
    server.options.log_file.unlink()
    with server.greedy(tiny, None, 4) as model:
        (stored,) = said(model, QUESTIONS[:1]).values()
    assert stored.source == "store"
    assert not server.options.log_file.exists(), "what is stored needs no server"


def test_beams_are_refused_before_anything_is_written(tiny: BaseModelSpec, server: AdapterServer) -> None:
    with (
        pytest.raises(ClarilmError, match=r"num_beams to 1"),
        server.sampling(tiny, None, SamplingOptions(num_beams=5)),
    ):
        pass
    assert not server.options.folder.exists()


@pytest.mark.slow
def test_smollm2_says_in_llama_cpp_what_it_says_in_transformers(tmp_path: Path, server: AdapterServer) -> None:
    """In float32; a token of which two are as likely may go either way, hence nearly all."""
    base = BaseModelSpec(source="packaged:smollm2", dtype="float32", cache_dir=tmp_path / "cache")
    questions = [
        "Recommend me a good laptop.",
        "Plan my city break.",
        "What does SSD stand for?",
        "How can I sleep better?",
        "When was the Bastille stormed?",
        "My lawn looks terrible, what should I do?",
        "What's 4 percent of 50,000 dollars?",
        "Who wrote  Pride and Prejudice in 1813?",
    ]
    asks = [number % 2 == 0 for number in range(len(questions))]
    expected = reply_given_decision(base, None, questions, asks, max_new_tokens=24)
    with server.greedy(base, None, 24) as model:
        found = served_replies([clarification_prompt(question) for question in questions], asks, model)
    assert sum(a == b for a, b in zip(found, expected, strict=True)) >= len(questions) - 1
