"""Choices, as JSON and in prose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.chat.parse import InvalidReplyError, parse_reply
from clarilm_kedro.pipelines.ofs.choices import choice_among

OFFERED = choice_among(("c1", "c2", "c3"))


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ('{"thought": "t", "choice": "c2"}', "c2"),
        ('Here it is:\n{"thought": "t", "choice": "c2"}\nHope that helps, c1 was close.', "c2"),
        ('First {"choice": "c1"}, no: {"choice": "c3"}', "c3"),
        ("Everything depends on the city.\n\n**Final answer: c3**", "c3"),
        ("I first thought to choose c1. But my choice is `c2`.", "c2"),
        ("I would not choose c1. The best candidate is c3, before c2.", "c3"),
        ("c1 is too general, c2 is the best of them, c3 comes later.", "c2"),
        ("C2", "c2"),
        ("Only c1 makes sense here.", "c1"),
    ],
)
def test_a_choice_is_read_where_one_is_made(text: str, choice: str) -> None:
    assert parse_reply(text, OFFERED).choice == choice


@pytest.mark.parametrize(
    "text",
    [
        "c1 and c2 are both good.",
        "My choice is c7.",
        "I cannot decide.",
        "",
        '{"thought": "t", "choice": "c9"}',
        "I do not choose c1, nor c2.",
        "{" * 2000,
    ],
)
def test_a_reply_that_decides_nothing_is_asked_again(text: str) -> None:
    with pytest.raises(InvalidReplyError):
        parse_reply(text, OFFERED)


def test_prose_becomes_the_thought() -> None:
    assert parse_reply("The city matters. I choose c1.", OFFERED).thought == "The city matters. I choose c1."


@given(st.text())
def test_no_text_gives_a_choice_that_was_not_offered(text: str) -> None:
    try:
        found = parse_reply(text, OFFERED)
    except InvalidReplyError:
        return
    assert found.choice in {"c1", "c2", "c3"}


@given(st.sampled_from(["c1", "c2", "c3"]), st.text(alphabet="abdefghij ,.\n"))
def test_a_declared_choice_is_found_after_any_thoughts(choice: str, thoughts: str) -> None:
    assert parse_reply(f"{thoughts} c1, c2, c3. Choice: {choice}", OFFERED).choice == choice
