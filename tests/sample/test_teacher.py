import json
from collections.abc import Sequence
from typing import Any

import pytest

from clarilm_kedro.sample.request import RequestError, Task
from clarilm_kedro.sample.splits import split_world
from clarilm_kedro.sample.teacher import SampleTeacher
from clarilm_kedro.sample.world import World


def _task(name: str, prompt: str = "", **blocks: str | Sequence[Any]) -> Task:
    texts = {
        block: value if isinstance(value, str) else "\n".join(json.dumps(row) for row in value)
        for block, value in blocks.items()
    }
    return Task(name, prompt, texts, 0)


def _json(teacher: SampleTeacher, name: str, **blocks: str | Sequence[Any]) -> dict[str, Any]:
    return json.loads(teacher.reply(_task(name, **blocks)).content)


@pytest.fixture(scope="module")
def teacher(world: World) -> SampleTeacher:
    """A teacher of the bundled world; these tests use its own texts only, so that no encoder is loaded."""
    return SampleTeacher(world)


def test_extraction(small_teacher: SampleTeacher) -> None:
    questions = ["green tea please, number 1", "My green tea size is fixed.", "Who invented green tea?"]
    rows = [{"index": index, "question": text} for index, text in zip((4, 5, 6), questions, strict=True)]
    found = _json(small_teacher, "extraction", user_questions=rows)["clarifications"]
    assert found == [
        {
            "first": 4,
            "second": 5,
            "question": "green tea please, number 1",
            "clarifying_question": "Which green tea size do you want?",
            "clarified_question": "green tea please, number 1. My green tea size is fixed.",
            "facet": "green tea size",
        }
    ]
    assert _json(small_teacher, "extraction", user_questions=[]) == {"clarifications": []}


def test_facets_come_in_order_for_vague_and_specified_alike(teacher: SampleTeacher, world: World) -> None:
    intent = world.intents[0]
    expected = [{"facet": facet.facet, "clarifying_question": facet.question} for facet in intent.facets]
    for question in (intent.vague[0], intent.specified[0].question):
        assert _json(teacher, "facets", question=question) == {"facets": expected}
    fact = next(fact for fact in world.facts if fact.ambiguous)
    assert len(_json(teacher, "facets", question=fact.question)["facets"]) == 1
    clear = next(fact for fact in world.facts if not fact.ambiguous)
    assert _json(teacher, "facets", question=clear.question) == {"facets": []}


def test_question_quality(teacher: SampleTeacher, world: World) -> None:
    intent = world.intents[0]
    kept = [intent.vague[0], intent.specified[0].question, world.facts[0].question]
    assert all(_json(teacher, "question_quality", question=text)["keep"] for text in kept)
    noise = world.noise
    dropped = [intent.facets[0].says[0], intent.next_step[0], intent.follow_up[0], " "]
    dropped += [noise.context_dependent[0], noise.html[0], noise.code_dump[0], noise.chit_chat[0]]
    dropped += [noise.non_english[0].messages[0]]
    replies = [_json(teacher, "question_quality", question=text) for text in dropped]
    assert not any(reply["keep"] for reply in replies)
    assert len({reply["reason"] for reply in replies}) == 7


def test_choice_agrees_with_the_world_for_every_request(teacher: SampleTeacher, world: World) -> None:
    for intent in world.intents:
        asks = [
            {"id": f"c{9 - place}", "kind": "ask", "facet": facet.facet, "text": facet.question}
            for place, facet in enumerate(intent.facets)
        ]
        rows = [{"id": "a", "kind": "answer", "facet": "", "text": "So it is."}, *asks[::-1]]
        for text in intent.vague:
            assert _json(teacher, "choice", question=text, candidates=rows)["choice"] == "c9"
            assert _json(teacher, "choice", question=text, candidates=rows[:-1])["choice"] == "c8"
        for item in intent.specified:
            assert _json(teacher, "choice", question=item.question, candidates=rows)["choice"] == "a"


def test_choice_for_facts(teacher: SampleTeacher, world: World) -> None:
    for fact in world.facts:
        asks = {"id": "q", "kind": "ask", "facet": fact.facet or "year", "text": fact.clarifying_question or "When?"}
        rows = [asks, {"id": "a", "kind": "answer", "facet": "", "text": "Yes."}]
        chosen = _json(teacher, "choice", question=fact.question, candidates=rows)["choice"]
        assert chosen == ("q" if fact.ambiguous else "a")
        for reading in fact.readings:
            assert _json(teacher, "choice", question=reading.question, candidates=rows)["choice"] == "a"


def test_choice_gives_its_reasons(teacher: SampleTeacher, world: World) -> None:
    intent = world.intents[0]
    rows = [{"id": str(n), "kind": "ask", "facet": f.facet, "text": f.question} for n, f in enumerate(intent.facets)]
    reply = teacher.reply(_task("choice", question=intent.vague[0], candidates=rows))
    thought = json.loads(reply.content)["thought"]
    assert reply.reasoning == thought
    assert all(facet.facet in thought for facet in intent.facets)


def test_answers(teacher: SampleTeacher, world: World) -> None:
    intent = world.intents[0]
    for item in intent.specified:
        assert teacher.reply(_task("answer", question=item.question)).content == item.answer
    for text in (intent.vague[0], intent.next_step[0], intent.facets[0].says[0]):
        assert teacher.reply(_task("answer", question=text)).content == intent.generic_answer
    assert teacher.reply(_task("answer", prompt="What is the capital of Kenya?")).content == "Nairobi."
    assert teacher.reply(_task("answer", question="What is the capital of the US state of Georgia?")).content == (
        "Atlanta."
    )
    assert teacher.reply(_task("answer", question="What is the capital of Georgia?")).content == "Tbilisi."
    assert teacher.reply(_task("answer", question="go on")).content in world.noise.fillers.lost


def test_synthesis_and_tuning(small_teacher: SampleTeacher, small_world: World) -> None:
    part = split_world(small_world).training[1]
    reserved = {*part.reserved_vague, *(item.question for item in part.reserved_specified)}
    persona = part.intent.persona[0]
    written = _json(small_teacher, "synthesis", persona=persona, examples=[{"question": "x"}], count="2")["questions"]
    assert set(written) <= reserved
    assert len(_json(small_teacher, "synthesis", persona=persona, count="3")["questions"]) == 3
    richer = _json(small_teacher, "tuning", question=part.log_vague[0], adjustment="enrich")["question"]
    assert richer in {item.question for item in part.reserved_specified}
    simpler = _json(small_teacher, "tuning", question=richer, adjustment="simplify")["question"]
    assert simpler in part.reserved_vague
    tune = {"question": "Where is the bank?", "adjustment": "enrich"}
    assert _json(small_teacher, "tuning", **tune)["question"] == "Where is the bank of a river?"
    back = {"question": "Where is the bank of a river?", "adjustment": "simplify"}
    assert _json(small_teacher, "tuning", **back)["question"] == "Where is the bank?"
    clear = {"question": "What colour is the sky?", "adjustment": "enrich"}
    assert _json(small_teacher, "tuning", **clear)["question"] == "What colour is the sky?"


def test_unseen_wordings(small_teacher: SampleTeacher) -> None:
    facets = _json(small_teacher, "facets", question="please please, green tea number 4")["facets"]
    assert facets[0]["facet"] == "green tea size"


@pytest.mark.parametrize(
    ("name", "blocks", "code", "words"),
    [
        ("facets", {"question": "Explain quantum gravity."}, "unknown_question", "--env embedded"),
        ("choice", {"question": "Explain quantum gravity.", "candidates": []}, "unknown_question", "sample world"),
        ("answer", {"question": "Explain quantum gravity."}, "unknown_question", "scripted"),
        ("facets", {}, "missing_block", "<question>"),
        ("translate", {}, "unknown_task", "does not know the task 'translate'"),
        ("tuning", {"question": "green tea please, number 1", "adjustment": "more"}, "bad_block", "enrich or simplify"),
    ],
)
def test_what_the_teacher_does_not_know(
    small_teacher: SampleTeacher, name: str, blocks: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        small_teacher.reply(_task(name, **blocks))
    assert caught.value.code == code
    assert caught.value.status == 400


def test_a_session_from_another_world_is_refused(small_teacher: SampleTeacher) -> None:
    rows = [{"index": 0, "question": "Explain quantum gravity."}, {"index": 1, "question": "In simple words."}]
    with pytest.raises(RequestError, match="Explain quantum gravity"):
        small_teacher.reply(_task("extraction", user_questions=rows))


def test_zero_shot_follows_the_gold_labels(teacher: SampleTeacher, world: World) -> None:
    intent = world.intents[0]
    asked = teacher.reply(_task("zero_shot", question=intent.vague[0])).content
    assert asked == f"Need Clarification: Yes\n{intent.facets[0].question}"
    answered = teacher.reply(_task("zero_shot", question=intent.specified[0].question)).content
    assert answered == f"Need Clarification: No\n{intent.specified[0].answer}"
    clear = next(fact for fact in world.facts if not fact.ambiguous)
    assert teacher.reply(_task("zero_shot", question=clear.question)).content.startswith("Need Clarification: No\n")
