from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.chat.prompts import PromptTemplate
from clarilm_kedro.sample.request import RequestError, read_task


def _request(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "sample-teacher", "messages": [{"role": "user", "content": prompt}], **more}


def test_task_and_blocks() -> None:
    task = read_task(
        _request(
            "Judge <question> this:\n<question>\nHow\nlong?\n</question>\n<count>\n3\n</count>\n",
            response_format={"type": "json_schema", "json_schema": {"name": "facets", "schema": {}}},
        )
    )
    assert task.name == "facets"
    assert task.text("question") == "How\nlong?"
    assert task.number("count") == 3
    assert task.prompt_words == 24


def test_without_a_schema_the_task_is_an_answer() -> None:
    assert read_task(_request("hello")).name == "answer"
    assert read_task(_request("hello", response_format={"type": "text"})).name == "answer"
    parts = [{"role": "user", "content": [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]}]
    assert read_task({"model": "sample-teacher", "messages": parts}).prompt == "hello"


def test_the_last_message_with_data_counts() -> None:
    messages = [
        {"role": "user", "content": "<question>\nold\n</question>"},
        {"role": "assistant", "content": "{"},
        {"role": "user", "content": "<question>\nnew\n</question>"},
        {"role": "assistant", "content": "{"},
        {"role": "user", "content": "That was no JSON, please repeat."},
    ]
    assert read_task({"model": "sample-teacher", "messages": messages}).text("question") == "new"


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"model": "gpt-4o"}, 404, "only 'sample-teacher'"),
        ({"stream": True}, 400, "does not stream"),
        ({"n": 4}, 400, "one choice"),
        ({"messages": "hi"}, 400, "must be a list"),
        ({"messages": ["hi"]}, 400, "JSON object"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "a text as its content"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "no user message"),
        ({"response_format": {"type": "json_object"}}, 400, "json_schema"),
    ],
)
def test_what_cannot_be_answered(change: dict[str, Any], status: int, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        read_task({**_request("hello"), **change})
    assert caught.value.status == status
    assert caught.value.body()["error"]["message"] == str(caught.value)


def test_a_body_that_is_no_object() -> None:
    with pytest.raises(RequestError, match="JSON object"):
        read_task([1])


def test_faults_in_blocks() -> None:
    task = read_task(_request('<rows>\n{"a": 1}\n\n[2]\n</rows>\n<count>\nmany\n</count>'))
    with pytest.raises(RequestError, match=r"no such block. Blocks found: rows, count"):
        task.text("question")
    with pytest.raises(RequestError, match=r"no JSON object: '\[2\]'"):
        task.rows("rows")
    with pytest.raises(RequestError, match="whole number"):
        task.number("count")
    with pytest.raises(RequestError, match="no JSON object with id"):
        read_task(_request('<rows>\n{"a": 1}\n</rows>')).rows("rows", "id")
    with pytest.raises(RequestError, match="no JSON object"):
        read_task(_request("<rows>\n{not json\n</rows>")).rows("rows")


@given(st.text(), st.lists(st.text(), max_size=4))
def test_data_comes_back_as_the_prompt_template_wrote_it(question: str, texts: list[str]) -> None:
    template = PromptTemplate.from_text(
        "t", '## user\nRead:\n{{ block("question", question) }}\n{{ block("rows", rows) }}\nDone.'
    )
    rendered = template.render(question=question, rows=[{"text": text} for text in texts])[-1].content
    task = read_task(_request(rendered))
    plain = question.replace("\u200b", "").encode("utf-8", "replace")
    if "\r" not in question and question.strip() == question:
        assert task.text("question").encode("utf-8", "replace").replace(b"?", b"") == plain.replace(b"?", b"")
    assert [row["text"] for row in task.rows("rows")] == [text.replace("\u200b", "") for text in texts]


def test_the_decision_line_in_the_system_message_tells_zero_shot_from_answer() -> None:
    data = "<question>\nWhat does 'Need Clarification:' mean?\n</question>"
    for system, name in (("Begin with 'Need Clarification: Yes' or 'No'.", "zero_shot"), ("Be brief.", "answer")):
        messages = [{"role": "system", "content": system}, {"role": "user", "content": data}]
        assert read_task({"model": "sample-teacher", "messages": messages}).name == name
