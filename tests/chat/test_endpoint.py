import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from asking import FACET, GOOD, Facet, ask_for, look, one, stored
from fault_server import Act, FaultServer, completion, fails, says

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.errors import EndpointUnreachable, MissingOffline, StoreUnusable
from clarilm_kedro.chat.stage import ask
from clarilm_kedro.chat.store_tools import store_statistics
from clarilm_kedro.chat.types import ChatRequest, ChatResult
from clarilm_kedro.errors import ClarilmError


def test_an_answer_comes_from_the_net_once_and_then_from_the_store(serve, endpoint, tmp_path):
    server = serve()
    model = endpoint(server.url)
    first = one(model, ask_for("hello"))
    again = one(model, ask_for("hello", row_id="other"))
    assert (first.text, first.source, first.attempts, first.prompt_tokens) == ("echo: hello", "net", 1, 11)
    assert (again.text, again.source, again.attempts, again.row_id) == ("echo: hello", "store", 0, "other")
    assert again.served_model == "served-model-1"
    assert len(server.seen) == 1
    assert stored(tmp_path / "responses.sqlite") == [(first.key, "m-1", "served-model-1", "s", 11)]


def test_the_body_holds_every_option(serve, endpoint):
    server = serve([says(GOOD)])
    model = endpoint(
        server.url, temperature=0.5, top_p=0.9, max_tokens=50, seed=7, extra_body={"chat_template_kwargs": {"x": 1}}
    )
    assert one(model, ask_for("q", response=FACET, sample_index=2, max_tokens=9)).parsed == Facet(
        facet="budget", score=1
    )
    body = server.seen[0].body
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]
    schema = body.pop("response_format")
    assert schema["json_schema"]["name"] == "facets"
    assert schema["json_schema"]["strict"] is True
    assert schema["json_schema"]["schema"]["required"] == ["facet", "score"]
    assert {name: body[name] for name in body if name not in ("messages", "model")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9,
        "seed": 9,
        "chat_template_kwargs": {"x": 1},
    }


@pytest.mark.parametrize(("structured", "sent"), [("json_object", {"type": "json_object"}), ("none", None)])
def test_a_reply_is_validated_whatever_the_endpoint_can_enforce(serve, endpoint, structured, sent):
    server = serve([says(GOOD)])
    result = one(endpoint(server.url, structured=structured), ask_for("q", response=FACET))
    assert result.parsed == Facet(facet="budget", score=1)
    assert server.seen[0].body.get("response_format") == sent


def test_a_dead_endpoint_stops_the_run_and_says_where_it_was_looked_for(endpoint, dead_url):
    with pytest.raises(EndpointUnreachable, match="base_url") as caught:
        one(endpoint(dead_url), ask_for("q"))
    assert dead_url in str(caught.value)
    assert "3 attempts" in str(caught.value)


def test_an_endpoint_that_dies_keeps_what_was_paid_for(endpoint, tmp_path):
    rows = [ask_for(str(number)) for number in range(20)]
    answered = []
    with FaultServer() as server:
        model = endpoint(server.url, concurrency=4)
        results = model.complete(iter(rows), stage="s")
        answered += [next(results) for _ in range(10)]
    with pytest.raises(EndpointUnreachable, match="kept in"):
        list(results)
    kept = len(stored(tmp_path / "responses.sqlite"))
    assert 10 <= kept <= len(server.seen)
    model.close()
    with FaultServer() as second:
        model = endpoint(second.url, concurrency=4)
        assert {result.status for result in model.complete(rows, stage="s")} == {"ok"}
    # The endpoint is not part of the key: the second server sells only what the first did not.
    assert len(second.seen) == 20 - kept


def failed_attempts(store: Path) -> int:
    try:
        return sum(row["requests"] for row in store_statistics(store)[0] if row["kind"] == "connection")
    except StoreUnusable:  # it is not made yet
        return 0


def test_a_server_that_comes_back_is_waited_for(endpoint, dead_url, tmp_path):
    class Late(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = completion("late")
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    results: list[ChatResult] = []
    asking = threading.Thread(target=lambda: results.append(one(endpoint(dead_url, max_attempts=9), ask_for("q"))))
    asking.start()
    while not failed_attempts(tmp_path / "responses.sqlite"):
        time.sleep(0.01)
    with HTTPServer(("127.0.0.1", urlsplit(dead_url).port or 0), Late) as server:
        server.handle_request()
        asking.join()
    assert results[0].text == "late"
    assert results[0].attempts > 1


def test_the_prompt_template_is_stored_with_every_reply_and_changes_no_key(serve, endpoint, tmp_path):
    server = serve(lambda seen: says(GOOD if "cannot be used" in seen.last else "no JSON"))
    model = endpoint(server.url)
    first = one(model, ask_for("q", response=FACET, prompt_sha="sha-1"))
    assert (first.status, first.attempts) == ("ok", 2)
    kept = look(tmp_path / "responses.sqlite", "select prompt_sha from responses")
    assert kept == [("sha-1",), ("sha-1",)]
    # Another template that renders the same messages shares the reply.
    again = one(model, ask_for("q", response=FACET, prompt_sha="sha-2"))
    assert (again.key, again.source, len(server.seen)) == (first.key, "store", 2)


def test_samples_of_one_request_are_different_requests(serve, endpoint):
    server = serve()
    rows = [ask_for("a", row_id=str(index), sample_index=index) for index in range(3)]
    assert len({result.key for result in endpoint(server.url).complete(rows, stage="s")}) == 3
    assert len(server.seen) == 3


def test_the_window_bounds_requests_at_once_and_rows_drawn(serve, endpoint):
    server = serve(lambda _: Act(delay=0.02))
    drawn = 0

    def rows() -> Iterator[ChatRequest]:
        nonlocal drawn
        for number in range(40):
            drawn += 1
            yield ask_for(str(number))

    model = endpoint(server.url, concurrency=5)
    for done, _ in enumerate(model.complete(rows(), stage="s")):
        assert drawn <= done + 1 + 2 * 5
    assert 2 <= server.most_at_once <= 5


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_come_from_either_field(serve, endpoint, field):
    server = serve([says("yes", **{field: "because"})])
    assert one(endpoint(server.url), ask_for("q")).reasoning == "because"


def test_statistics_add_up_per_stage(serve, endpoint):
    acts = {"a": [fails(500), says("x")], "b": [says(None, refusal="no")], "c": [Act()]}
    server = serve(lambda seen: acts[seen.last][seen.repeat])
    model = endpoint(server.url, concurrency=1)
    list(model.complete(map(ask_for, "ab"), stage="one"))
    list(model.complete(map(ask_for, "ac"), stage="one"))
    stats = model.stats["one"].as_dict()
    assert stats.pop("seconds") > 0
    assert 0 < stats.pop("latency_p50") <= stats.pop("latency_p95") <= stats.pop("latency_p99") < 5
    assert stats == {
        "model": "m-1",
        "stage": "one",
        "rows": 4,
        "requests_sent": 4,
        "store_hits": 1,
        "prompt_tokens": 33,
        "cached_tokens": 0,
        "completion_tokens": 21,
        "reasoning_tokens": 0,
        "failures": 1,
        "invalid": 0,
        "invalid_rate": 0,
        "cost_usd": 0,
        "requests.ok": 3,
        "requests.server": 1,
    }


def test_a_full_store_needs_neither_endpoint_nor_key(serve, endpoint, dead_url):
    server = serve()
    one(endpoint(server.url), ask_for("q"))
    assert one(endpoint("https://api.example.com/v1"), ask_for("q")).source == "store"


def test_a_remote_endpoint_needs_a_key(endpoint):
    with pytest.raises(ClarilmError, match="OPENAI_API_KEY") as caught:
        one(endpoint("https://api.example.com/v1"), ask_for("q"))
    for words in ["m-1", "https://api.example.com/v1", "conf/local/credentials.yml"]:
        assert words in str(caught.value)


def test_it_works_where_an_event_loop_is_running(serve, endpoint):
    server = serve()

    async def cell() -> ChatResult:
        return one(endpoint(server.url), ask_for("q"))

    assert asyncio.run(cell()).status == "ok"


def test_two_threads_share_one_model(serve, endpoint):
    server = serve(lambda _: Act(delay=0.02))
    model = endpoint(server.url, concurrency=2)
    results: dict[str, int] = {}

    def work(stage: str) -> None:
        results[stage] = len(list(model.complete([ask_for(f"{stage}{number}") for number in range(6)], stage=stage)))

    threads = [threading.Thread(target=work, args=(stage,)) for stage in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"a": 6, "b": 6}
    assert {name: stats.requests_sent for name, stats in model.stats.items()} == {"a": 6, "b": 6}


def test_a_missing_reply_is_not_bought_offline(serve, endpoint):
    server = serve()
    model = endpoint(server.url)
    one(model, ask_for("there"))
    model.close()
    model = endpoint(server.url, offline=True)
    assert one(model, ask_for("there")).source == "store"
    with pytest.raises(MissingOffline, match="row gone of stage s") as caught:
        one(model, ask_for("gone"))
    for words in ["responses.sqlite", "'m-1'", "Unset it"]:
        assert words in str(caught.value)
    assert len(server.seen) == 1


def test_an_offline_replay_with_the_server_gone_gives_the_same_bytes(endpoint):
    acts = {
        "a": says(GOOD),
        "b": says(None, refusal="no"),
        "c": says("no JSON"),
        "d": says(f"<think>Hm.</think>{GOOD}"),
    }
    rows = [ask_for(text, response=FACET) for text in "dbac"]

    def outputs(model: ChatEndpoint) -> tuple[str, str]:
        answered, failed = ask(rows, model, stage="s")
        # What a row took in this run is not part of what it says.
        said = [{**vars(each), "parsed": each.parsed.model_dump()} for each in answered.values()]
        content = [{key: each[key] for key in each if key not in ("source", "attempts", "cost_usd")} for each in said]
        return json.dumps(content), failed.to_csv()

    with FaultServer(lambda seen: acts.get(seen.last, says("no JSON"))) as server:
        model = endpoint(server.url)
        live = outputs(model)
        model.close()
    replays = []
    for _ in range(2):
        model = endpoint(server.url, offline=True)
        replays.append(outputs(model))
        assert model.stats["s"].requests_sent == 0
        model.close()
    assert live == replays[0] == replays[1]
    assert '"facet": "budget"' in live[0]
    assert "The model refused: no" in live[1]
