"""Replies with a given decision over the served path: what is asked, what is read, what ends the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chat.fault_server import Act, FaultServer, Seen, completion, fails, says
from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.template import clarification_prompt
from clarilm_kedro.pipelines.evaluation import prediction
from clarilm_kedro.pipelines.evaluation.prediction import predict_with_model
from clarilm_kedro.pipelines.evaluation.schemas import DecodingOptions
from clarilm_kedro.pipelines.evaluation.serving import served_replies

QUESTIONS = ["Plan my trip.", "What is 2 + 2?", "Say nothing."]
PROMPTS = [clarification_prompt(question) for question in QUESTIONS]
ASKS = [True, False, False]


def scripted(seen: Seen) -> Act:
    asked, begun = seen.body["messages"][1]["content"], seen.last
    if asked == QUESTIONS[0]:  # given back whole, and cut off
        return Act(completion(f"{begun}Where do you", finish_reason="length"))
    return says("It is 4." if asked == QUESTIONS[1] else "")


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[tuple[FaultServer, ChatEndpoint]]:
    with FaultServer(scripted) as server:
        options = ChatEndpointOptions(model="m", base_url=server.url, store=tmp_path / "r.sqlite", max_tokens=8)
        model = ChatEndpoint(options, first_pause=0.01)
        yield server, model
        model.close()


def test_a_reply_is_begun_with_its_decision_and_read_without_it(endpoint: tuple[FaultServer, ChatEndpoint]) -> None:
    server, model = endpoint
    assert served_replies(PROMPTS, ASKS, model) == ["Where do you", "It is 4.", ""]
    bodies = {seen.body["messages"][1]["content"]: seen.body for seen in server.seen}
    begun = {"role": "assistant", "content": "Need Clarification: Yes\n"}
    assert bodies[QUESTIONS[0]]["messages"] == [*clarification_prompt(QUESTIONS[0]), begun]
    assert bodies[QUESTIONS[1]]["messages"][-1]["content"] == "Need Clarification: No\n"
    assert len(server.seen) == 3, "a reply that was cut off is one, and not asked for again"


def test_a_call_that_fails_ends_the_run(endpoint: tuple[FaultServer, ChatEndpoint]) -> None:
    server, model = endpoint
    server.script = lambda seen: fails(400, "too long") if seen.last.endswith("No\n") else scripted(seen)
    with pytest.raises(ClarilmError, match=r"2 of 3 replies could not be had from 'm'.*too long.*decoding\.engine"):
        served_replies(PROMPTS, ASKS, model)


def test_the_decision_is_made_in_process_and_the_text_comes_from_the_server(
    endpoint: tuple[FaultServer, ChatEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        @contextmanager
        def greedy(self, base: BaseModelSpec, adapter: Path | None, max_new_tokens: int) -> Iterator[ChatEndpoint]:
            assert (base.source, adapter, max_new_tokens) == ("b", Path("a"), 8)
            yield endpoint[1]

    monkeypatch.setattr(prediction, "ask_probabilities_of", lambda *_: np.array([0.7, 0.2, 0.1]))
    items = pd.DataFrame({"benchmark": "b", "item_id": ["1", "2", "3"], "question": QUESTIONS})
    found = predict_with_model(
        system="clarilm",
        base_model=BaseModelSpec(source="b"),
        adapter=Path("a"),
        threshold=0.5,
        benchmarks=items,
        options=DecodingOptions(max_new_tokens=8),
        adapter_server=Server(),  # type: ignore[arg-type]
    )
    assert found["asked"].tolist() == ASKS
    assert found["text"].iloc[0] == "Where do you"
