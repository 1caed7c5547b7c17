import json
from collections.abc import Callable

import pytest
from small_world import WordEmbedder

from clarilm_kedro.sample.judging import judge
from clarilm_kedro.sample.matching import Vectors
from clarilm_kedro.sample.request import RequestError, Task
from clarilm_kedro.sample.teacher import SampleTeacher

FACETS = [("bike size", "Which bike size do you want?"), ("bike colour", "Which bike colour do you want?")]
SIZE, COLOUR = (question for _, question in FACETS)
SWAP = {"A": "B", "B": "A", "tie": "tie"}


def _judge(needs: bool, reply_a: str, reply_b: str) -> str:
    return judge(Vectors(WordEmbedder()), needs, FACETS, reply_a, reply_b)[0]


@pytest.mark.parametrize(
    ("needs", "reply_a", "reply_b", "verdict"),
    [
        (True, SIZE, "Take the blue one.", "A"),
        (True, SIZE, "", "A"),
        (False, SIZE, "Take the blue one.", "B"),
        (False, "", "Take the blue one.", "B"),
        (True, COLOUR, SIZE, "B"),
        (True, "What size of bike do you want?", COLOUR, "A"),
        (True, "Could you say more?", COLOUR, "B"),
        (True, COLOUR, COLOUR.lower(), "tie"),
        (True, "Take the blue one.", "Take any bike at all, they are all good.", "tie"),
        (True, "Take the blue one.", " ", "A"),
        (False, "Blue.", "Take the blue one.", "tie"),
        (False, SIZE, COLOUR, "tie"),
    ],
)
def test_the_decision_then_the_facet_and_never_the_slot(needs: bool, reply_a: str, reply_b: str, verdict: str) -> None:
    assert _judge(needs, reply_a, reply_b) == verdict
    assert _judge(needs, reply_b, reply_a) == SWAP[verdict]


@pytest.fixture
def ask(small_teacher: SampleTeacher) -> Callable[..., dict[str, str]]:
    def reply(**blocks: str) -> dict[str, str]:
        return json.loads(small_teacher.reply(Task("judge", "", blocks, 0)).content)

    return reply


def test_the_teacher_says_that_its_verdict_is_scripted(ask: Callable[..., dict[str, str]]) -> None:
    asking = "Which green tea size do you want?"
    found = ask(question="green tea please, number 1", reply_a="Any green tea will do.", reply_b=asking)
    assert found["verdict"] == "B"
    assert found["reason"].startswith("Scripted verdict: ")
    assert ask(question="green tea of exactly 1 grams?", reply_a="Take 1.", reply_b=asking)["verdict"] == "A"


def test_a_question_outside_its_world_is_refused(ask: Callable[..., dict[str, str]]) -> None:
    with pytest.raises(RequestError, match="does not recognise"):
        ask(question="Explain the French revolution", reply_a="x", reply_b="y")
