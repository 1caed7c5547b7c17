from pathlib import Path

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.assistant import Assistant, AssistantOptions, AssistantReply, AssistantSpec, Decision
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoding import ask_probabilities, reply_given_decision
from clarilm_kedro.finetuning.reply_cache import ReplyCache
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import clarification_prompt, completion
from finetuning.conftest import CLEAR, VAGUE

QUESTIONS = [VAGUE[0], CLEAR[0], VAGUE[1]]


@pytest.fixture(scope="module")
def spec(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> AssistantSpec:
    return AssistantSpec(tiny, sft_adapter.path)


@pytest.fixture(scope="module")
def assistant(spec: AssistantSpec) -> Assistant:
    return Assistant(spec, AssistantOptions(max_new_tokens=24, batch_size=2))


def test_it_decides_and_replies_as_the_evaluation_does(assistant: Assistant, spec: AssistantSpec) -> None:
    replies = assistant.reply(QUESTIONS)
    p_ask = ask_probabilities(spec.base_model, spec.adapter, QUESTIONS)
    asks = [reply.decision.asks for reply in replies if reply.decision]
    assert asks == [True, False, True]
    assert [reply.decision.p_ask for reply in replies if reply.decision] == pytest.approx(list(p_ask), abs=1e-5)
    expected = reply_given_decision(spec.base_model, spec.adapter, QUESTIONS, asks, max_new_tokens=24)
    assert [reply.text for reply in replies] == expected


def test_the_threshold_decides(assistant: Assistant) -> None:
    always, never = (assistant.reply(QUESTIONS, threshold) for threshold in (0.0, 1.0))
    assert all(reply.decision == Decision(True, reply.decision.p_ask, 0.0) for reply in always if reply.decision)
    assert not any(reply.decision.asks for reply in never if reply.decision)


@pytest.mark.parametrize(("bad", "said"), [("  ", "is empty"), ("x" * 100_000, "is too long: .* holds")])
def test_a_question_that_cannot_be_put_costs_itself_only(assistant: Assistant, bad: str, said: str) -> None:
    replies = assistant.reply([QUESTIONS[0], bad])
    assert replies[0] == assistant.reply(QUESTIONS[:1])[0]
    assert (replies[1].decision, replies[1].text) == (None, "")
    with pytest.raises(ClarilmError, match=said):
        raise ClarilmError(replies[1].error)


def test_no_question_no_reply(assistant: Assistant) -> None:
    assert assistant.reply([]) == []


def test_a_streamed_reply_is_the_same_one(assistant: Assistant) -> None:
    pieces: list[str] = []
    whole = assistant.stream(clarification_prompt(QUESTIONS[0]), True, pieces.append)
    assert whole == "".join(pieces).strip() == assistant.reply([QUESTIONS[0]], 0.0)[0].text
    assert len(pieces) > 1


def test_a_conversation_remembers_its_turns(assistant: Assistant) -> None:
    told: list[Decision] = []
    conversation = assistant.converse()
    first = conversation.say(VAGUE[0], told.append, lambda _: None)
    with pytest.raises(ClarilmError, match="empty"):
        conversation.say(" ", told.append, lambda _: None)
    conversation.say("For games.", told.append, lambda _: None)
    before = [
        {"role": "user", "content": VAGUE[0]},
        {"role": "assistant", "content": completion(told[0].asks, first)},
    ]
    assert told[1] == assistant.decide(clarification_prompt("For games.", before))
    assert told[1].p_ask != assistant.decide(clarification_prompt("For games.")).p_ask


def test_an_interrupted_turn_is_not_remembered(assistant: Assistant) -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    told: list[Decision] = []
    conversation = assistant.converse()
    with pytest.raises(KeyboardInterrupt):
        conversation.say(VAGUE[0], told.append, stop)
    conversation.say(VAGUE[0], told.append, lambda _: None)
    assert told[0] == told[1]


def test_replies_are_found_again_under_what_made_them_only(tmp_path: Path) -> None:
    replies = {"q": AssistantReply(Decision(True, 0.75, 0.5), "Which?"), "": AssistantReply(None, error="Empty.")}
    ReplyCache(tmp_path / "replies.sqlite").put("how", replies)
    cache = ReplyCache(tmp_path / "replies.sqlite")
    assert cache.get("how", ["q", "", "other"]) == replies
    assert cache.get("another", ["q"]) == {}
