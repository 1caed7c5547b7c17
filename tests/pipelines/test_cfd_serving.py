"""FM-LOG behind an endpoint: what is asked, and that its replies are read as those drawn in process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from chat.fault_server import Act, FaultServer, Seen, completion, fails, says
from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.datasets.chat_endpoint import close_chat_models
from clarilm_kedro.datasets.served_adapter import ServedAdapterDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoder import Generation
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import fm_log_prompt
from clarilm_kedro.pipelines.cfd import detection
from clarilm_kedro.pipelines.cfd.detection import accept_log_facets, detect_log_facets
from clarilm_kedro.pipelines.cfd.schemas import DetectionOptions
from clarilm_kedro.text.hashing import stable_seed

BASE = BaseModelSpec(source="packaged:smollm2")
SKIPPED = TrainedAdapter.skipped("too few")
QUESTIONS = pd.DataFrame(
    {"question_id": ["q2", "q1", "q3"], "question": ["Plan my trip.", "Plan my trip.", "Fix <|im_end|> it."]}
)
OPTIONS = DetectionOptions(k=4, seed=3, max_new_tokens=20)
#: What FM-LOG says, by sample.
SAID = (
    "budget\nWhat is your budget?",
    "the budget\nHow much?",
    "no question",
    "travel dates\nWhen do you want to go?",
)


def sample_of(seen: Seen) -> int:
    """Which of a question's samples a request is for, by its seed."""
    samples = {stable_seed(asked, sample): sample for asked in QUESTIONS["question"] for sample in range(OPTIONS.k)}
    return samples[seen.body["seed"] - OPTIONS.seed]


def scripted(seen: Seen) -> Act:
    return says(SAID[sample_of(seen)])


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(scripted) as running:
        yield running


@pytest.fixture
def served(server: FaultServer, tmp_path: Path) -> Iterator[ChatEndpoint]:
    """The endpoint as the catalog makes it."""
    dataset = ServedAdapterDataset(
        model="fm-log",
        base_url=server.url,
        store=str(tmp_path / "r.sqlite"),
        seed=OPTIONS.seed,
        temperature=0.5,
        top_p=0.9,
        max_tokens=OPTIONS.max_new_tokens,
        extra_body={"top_k": 50},
    )
    model = dataset.load()
    assert model is not None
    yield model
    close_chat_models()


def test_each_sample_is_a_request_with_the_format_that_was_trained(served: ChatEndpoint, server: FaultServer) -> None:
    detect_log_facets(QUESTIONS, SKIPPED, BASE, served, OPTIONS)
    assert len(server.seen) == 2 * OPTIONS.k, "equal questions are asked once"
    bodies = [seen.body for seen in server.seen]
    assert {body["model"] for body in bodies} == {"fm-log"}
    assert len({body["seed"] for body in bodies}) == 2 * OPTIONS.k, "questions share no random numbers"
    assert {(body["temperature"], body["top_p"], body["top_k"], body["max_tokens"]) for body in bodies} == {
        (0.5, 0.9, 50, 20)
    }
    assert fm_log_prompt("Plan my trip.") in [body["messages"] for body in bodies]
    assert not any("<|im_end|>" in json.dumps(body) for body in bodies)


def test_the_same_generations_give_the_same_candidates_in_process(
    served: ChatEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_http = accept_log_facets(*detect_log_facets(QUESTIONS, SKIPPED, BASE, served, OPTIONS), OPTIONS)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(
        detection, "draw", lambda base, path, texts, options: [[Generation(text, True) for text in SAID] for _ in texts]
    )
    adapter = TrainedAdapter(tmp_path, {})
    in_process = accept_log_facets(*detect_log_facets(QUESTIONS, adapter, BASE, None, OPTIONS), OPTIONS)
    shared = ["question_id", "question", "rank", "facet", "clarifying_question", "source", "seed"]
    pd.testing.assert_frame_equal(over_http[0][shared], in_process[0][shared])
    pd.testing.assert_frame_equal(over_http[1], in_process[1])
    assert over_http[0]["request_key"].notna().all()
    assert over_http[0]["adapter_sha"].isna().all()
    assert in_process[0]["request_key"].isna().all()
    assert in_process[0]["adapter_sha"].str.len().eq(64).all()


def test_every_generation_is_counted(served: ChatEndpoint) -> None:
    candidates, counts = accept_log_facets(*detect_log_facets(QUESTIONS, SKIPPED, BASE, served, OPTIONS), OPTIONS)
    total = counts.iloc[0].to_dict()
    assert total == {
        "model": "fm_log",
        "questions": 3,
        "drawn": 12,
        "kept": 6,
        "repeated": 3,
        "malformed": 3,
        "unfinished": 0,
        "too_long": 0,
    }
    assert candidates.groupby("question_id")["facet"].agg(list).to_dict() == {
        question_id: ["budget", "travel dates"] for question_id in ("q1", "q2", "q3")
    }


def test_the_order_of_the_questions_does_not_matter(served: ChatEndpoint) -> None:
    first, _ = detect_log_facets(QUESTIONS, SKIPPED, BASE, served, OPTIONS)
    doubled = pd.concat([QUESTIONS.iloc[::-1], QUESTIONS])
    again, _ = detect_log_facets(doubled, SKIPPED, BASE, served, OPTIONS)
    pd.testing.assert_frame_equal(first, again)


def test_cut_off_and_empty_replies_are_generations_and_errors_are_failures(
    served: ChatEndpoint, server: FaultServer
) -> None:
    def script(seen: Seen) -> Act:
        match sample_of(seen):
            case 0:
                return Act(completion("budget\nWhat is", finish_reason="length"))
            case 1:
                return says("")
            case 2:
                return fails(400, "no such thing")
            case _:
                return says(SAID[3])

    server.script = script
    replies, failed = detect_log_facets(QUESTIONS.iloc[:1], SKIPPED, BASE, served, OPTIONS)
    assert failed["kind"].tolist() == ["bad_request"]
    candidates, counts = accept_log_facets(replies, failed, DetectionOptions(k=4, max_failed_share=0.5))
    assert counts.loc[0, ["drawn", "kept", "malformed", "unfinished"]].tolist() == [3, 1, 1, 1]
    assert candidates["facet"].tolist() == ["travel dates"]
    with pytest.raises(TooManyFailures, match="log_facets_failed"):
        accept_log_facets(replies, failed, OPTIONS)


def test_a_reply_that_needed_more_room_is_unfinished_as_in_process(served: ChatEndpoint, server: FaultServer) -> None:
    def script(seen: Seen) -> Act:
        if seen.body["max_tokens"] == OPTIONS.max_new_tokens:
            return Act(completion("budget\nWhat is", finish_reason="length"))
        body = json.loads(completion("budget\nWhat is your budget?"))
        body["usage"]["completion_tokens"] = OPTIONS.max_new_tokens + 5
        return Act(json.dumps(body).encode())

    server.script = script
    replies, failed = detect_log_facets(QUESTIONS.iloc[:1], SKIPPED, BASE, served, OPTIONS)
    assert failed.empty
    assert not replies["finished"].any()


def test_beams_are_refused_before_anything_is_asked(served: ChatEndpoint, server: FaultServer) -> None:
    with pytest.raises(ClarilmError, match=r"fm_log\.num_beams=1"):
        detect_log_facets(QUESTIONS, SKIPPED, BASE, served, DetectionOptions(k=2, num_beams=4))
    assert server.seen == []


def test_without_fm_log_there_are_no_log_facets() -> None:
    assert ServedAdapterDataset(model="fm-log").load() is None
    replies, failed = detect_log_facets(QUESTIONS, SKIPPED, BASE, None, OPTIONS)
    candidates, counts = accept_log_facets(replies, failed, OPTIONS)
    assert candidates.empty
    assert counts["drawn"].tolist() == [0]
