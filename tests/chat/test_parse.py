import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from clarilm_kedro.chat.parse import InvalidReplyError, parse_reply, read_reply, split_thinking, strip_fence
from clarilm_kedro.chat.types import Kind


class Listed(BaseModel):
    names: list[str]
    extra: dict[str, int] = {}


@given(st.builds(Listed, names=st.lists(st.text()), extra=st.dictionaries(st.text(), st.integers(-(2**40), 2**40))))
def test_what_was_written_as_json_is_read_back_bare_fenced_and_escaped(value):
    text = value.model_dump_json()
    escaped = json.dumps(value.model_dump())
    for reply in (text, escaped, f"```json\n{text}\n```", f"Here it is:\n```\n{escaped}\n```\nDone."):
        assert parse_reply(reply, Listed) == value


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with suppress(InvalidReplyError):
        assert isinstance(parse_reply(text, Listed), Listed)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", Kind.INVALID_JSON, "not valid JSON"),
        ('{"names": ["a"', Kind.INVALID_JSON, "not valid JSON"),
        ('{"names": [], "names": ["a"]}', Kind.INVALID_JSON, "same key twice"),
        ('{"names": [], "extra": {"a": NaN}}', Kind.INVALID_JSON, "NaN"),
        ('{"names": [], "extra": {"a": -Infinity}}', Kind.INVALID_JSON, "Infinity"),
        ('{"names": [], "extra": {"a": 1e999}}', Kind.INVALID_JSON, "1e999"),
        ("[" * 100_000, Kind.INVALID_JSON, "not valid JSON"),
        ('{"names": [], "extra": {"a": ' + "9" * 5000 + "}}", Kind.INVALID_JSON, "not valid JSON"),
        ('{"names": [1]}', Kind.INVALID_SCHEMA, "names.0"),
        ("[]", Kind.INVALID_SCHEMA, "the reply"),
        (json.dumps({"names": [1] * 9}), Kind.INVALID_SCHEMA, "and 4 more"),
        ("```json\n{}\n```\n```json\n{}\n```", Kind.INVALID_JSON, "not valid JSON"),
    ],
)
def test_an_invalid_reply_says_why(text, kind, said):
    with pytest.raises(InvalidReplyError, match=said) as caught:
        parse_reply(text, Listed)
    assert caught.value.kind is kind


def test_a_fence_inside_a_json_text_is_content():
    text = json.dumps({"names": ["```python\nx\n```"]})
    assert strip_fence(text) == text
    assert parse_reply(text, Listed).names == ["```python\nx\n```"]


def test_lone_surrogates_of_a_reply_are_replaced_in_every_place():
    parsed = parse_reply('{"names": ["\\ud83d", "\\ud83d\\ude00"], "extra": {"\\udc00": 1}}', Listed)
    assert parsed == Listed(names=["\ufffd", "\U0001f600"], extra={"\ufffd": 1})


@pytest.mark.parametrize(
    ("content", "split"),
    [
        ("yes", ("yes", None)),
        (" <think>\nHm.\n</think>\n\nyes ", ("yes", "Hm.")),
        ("Hm.\n</think>\nyes", ("yes", "Hm.")),
        ("<think>never ends", ("", "never ends")),
        ("<think></think>yes", ("yes", "")),
        ("the tags <think> and </think> mark thoughts", ("the tags <think> and </think> mark thoughts", None)),
    ],
)
def test_thoughts_are_split_off(content, split):
    assert split_thinking(content) == split


def test_thoughts_in_their_own_field_win_over_a_block():
    body = {"choices": [{"message": {"content": "<think>a</think>b", "reasoning_content": "c"}}]}
    reply = read_reply(json.dumps(body).encode())
    assert (reply.text, reply.reasoning, reply.kind, reply.served_model) == ("b", "c", Kind.OK, None)


def test_content_that_is_no_text_counts_as_none():
    body = {"choices": [{"message": {"content": [{"type": "audio"}]}}]}
    assert read_reply(json.dumps(body).encode()).kind is Kind.EMPTY
