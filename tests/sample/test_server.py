import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from rewordings import REWORDINGS

from clarilm_kedro.chat.prompts import PromptTemplate
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.sample.server import SampleTeacherServer
from clarilm_kedro.sample.world import World, WorldError


@pytest.fixture(scope="module")
def base_url(sample_dir: Path) -> Iterator[str]:
    server = SampleTeacherServer(sample_dir)
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def _schema(name: str) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": {"type": "object"}}}


def _ask(client: openai.OpenAI, prompt: str, name: str | None = None) -> Any:
    more: dict[str, Any] = {"response_format": _schema(name)} if name else {}
    return client.chat.completions.create(
        model="sample-teacher", messages=[{"role": "user", "content": prompt}], **more
    )


def _connection(base_url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", int(base_url.split(":")[2].removesuffix("/v1")), timeout=60)


def _health(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    connection.request("GET", "/health")
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def test_a_completion(client: openai.OpenAI, world: World) -> None:
    intent = world.intents[0]
    reply = _ask(client, f"List facets.\n<question>\n{intent.vague[0]}\n</question>\n", "facets")
    facets = json.loads(reply.choices[0].message.content)["facets"]
    assert [facet["facet"] for facet in facets] == [facet.facet for facet in intent.facets]
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == "sample-teacher"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 40


def test_the_reasoning_comes_with_the_choice(client: openai.OpenAI, world: World) -> None:
    facet = world.intents[0].facets[0]
    row = json.dumps({"id": "x", "kind": "ask", "facet": facet.facet, "text": facet.question})
    prompt = f"<question>\n{world.intents[0].vague[0]}\n</question>\n<candidates>\n{row}\n</candidates>"
    message = _ask(client, prompt, "choice").choices[0].message
    assert json.loads(message.content)["choice"] == "x"
    assert facet.facet in message.reasoning_content


def test_models_and_health(client: openai.OpenAI, base_url: str) -> None:
    assert [model.id for model in client.models.list()] == ["sample-teacher"]
    connection = _connection(base_url)
    for _ in range(2):  # on one connection
        assert _health(connection) == (200, {"status": "ok"})


def test_errors_have_openais_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        _ask(client, "<question>\n<<<>>>\n</question>", "translate")
    assert caught.value.code == "unknown_task"
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError, match="only 'sample-teacher'"):
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(openai.NotFoundError, match="There is nothing at"):
        client.embeddings.create(model="sample-teacher", input="hi")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/v1/chat/completions", "{not json", {}, 400),
        ("POST", "/v1/chat/completions", "[]", {}, 400),
        ("POST", "/v1/chat/completions", None, {"Content-Length": "999999999"}, 413),
        ("POST", "/v1/chat/completions", None, {"Content-Length": "abc"}, 413),
        ("GET", "/v1/other", None, {}, 404),
    ],
)
def test_bad_requests(
    base_url: str, method: str, path: str, body: str | None, headers: dict[str, str], status: int
) -> None:
    connection = _connection(base_url)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    assert response.status == status
    assert json.loads(response.read())["error"]["message"]


def test_prompts_of_the_project_are_understood(client: openai.OpenAI, project: Path, world: World) -> None:
    intent, said = world.intents[0], world.intents[0].facets[0].says[0]
    facet = intent.facets[0]
    data: dict[str, dict[str, Any]] = {
        "extraction": {"user_questions": [{"index": n, "question": q} for n, q in enumerate((intent.vague[0], said))]},
        "facets": {"question": intent.vague[0]},
        "question_quality": {"question": intent.vague[0]},
        "answer": {"question": intent.specified[0].question},
        "annotation": {
            "question": intent.vague[0],
            "candidates": [{"id": "i", "kind": "ask", "facet": facet.facet, "text": facet.question}],
        },
        "tuning": {"question": intent.vague[0], "adjustment": "enrich"},
    }
    replies = {}
    for name, values in data.items():
        text = (project / "src" / "clarilm_kedro" / "prompts" / f"{name}.jinja").read_text(encoding="utf-8")
        messages = [
            {"role": message.role, "content": message.content}
            for message in PromptTemplate.from_text(name, text).render(**values)
        ]
        task = {"annotation": "choice"}.get(name, name)
        more = {} if task == "answer" else {"response_format": _schema(task)}
        reply = client.chat.completions.create(model="sample-teacher", messages=messages, **more)  # type: ignore[call-overload]
        replies[name] = reply.choices[0].message.content
    assert json.loads(replies["extraction"])["clarifications"][0]["facet"] == facet.facet
    assert json.loads(replies["annotation"])["choice"] == "i"
    assert replies["answer"] == intent.specified[0].answer
    assert json.loads(replies["question_quality"])["keep"] is True


def test_sixteen_clients_at_once(base_url: str, world: World) -> None:
    """The floor is far below what two busy cores give; it guards against a lock or a new connection for every call."""
    requests = []
    for intent in world.intents[:10]:
        body = {
            "model": "sample-teacher",
            "messages": [{"role": "user", "content": f"<question>\n{intent.vague[1]}\n</question>"}],
            "response_format": _schema("facets"),
        }
        requests.append((json.dumps(body), intent.facets[0].question))
    wrong: list[str] = []

    def run(first: int) -> None:
        connection = _connection(base_url)
        for number in range(50):
            body, expected = requests[(first + number) % len(requests)]
            connection.request("POST", "/v1/chat/completions", body)
            response = connection.getresponse()
            content = response.read().decode()
            if response.status != 200 or json.dumps(expected)[1:-1] not in content.replace('\\"', '"'):
                wrong.append(content)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 800 / (time.monotonic() - started) > 100


def test_start_and_stop(small_dir: Path) -> None:
    server = SampleTeacherServer(small_dir)
    server.stop()
    url = server.start()
    assert server.start() == url
    connection = _connection(url)
    assert _health(connection) == (200, {"status": "ok"})
    taken = SampleTeacherServer(small_dir, port=int(url.split(":")[2].removesuffix("/v1")))
    with pytest.raises(ClarilmError, match="cannot listen"):
        taken.start()
    server.stop()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        _health(connection)
    with pytest.raises(ConnectionRefusedError):
        _health(_connection(url))
    assert server.start()
    server.stop()


def test_a_missing_world_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="There is no sample world"):
        SampleTeacherServer(tmp_path).start()


def test_a_fault_of_the_teacher_is_a_server_error(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clarilm_kedro.sample.server.read_task", lambda body: 1 / 0)
    connection = _connection(base_url)
    connection.request("POST", "/v1/chat/completions", "{}")
    response = connection.getresponse()
    assert response.status == 500
    assert json.loads(response.read())["error"]["type"] == "server_error"


@pytest.mark.slow
def test_unseen_wordings_over_http(client: openai.OpenAI, world: World) -> None:
    right = 0
    for text, owner, needs in REWORDINGS:
        intent = world.intent_by_id.get(owner)
        if intent is None:
            continue
        rows = [
            {"id": str(place), "kind": "ask", "facet": facet.facet, "text": facet.question}
            for place, facet in enumerate(intent.facets)
        ]
        rows = [*rows[::-1], {"id": "a", "kind": "answer", "facet": "", "text": "So."}]
        lines = "\n".join(json.dumps(row) for row in rows)
        prompt = f"<question>\n{text}\n</question>\n<candidates>\n{lines}\n</candidates>"
        try:
            choice = json.loads(_ask(client, prompt, "choice").choices[0].message.content)["choice"]
        except openai.BadRequestError:
            continue
        right += choice == ("0" if needs else "a")
    assert right >= 24
