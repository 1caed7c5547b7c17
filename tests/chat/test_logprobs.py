"""Log-probabilities: asked for where wanted and offered, read with care, stored for the first tokens only."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from chat.asking import ask_for, look, one
from chat.fault_server import Act, FaultServer, completion
from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.logprobs import TokenChoice, read_logprobs
from clarilm_kedro.chat.options import ChatEndpointOptions


def entry(token: str, **others: float) -> dict[str, Any]:
    alternatives = [{"token": other, "logprob": value, "bytes": None} for other, value in others.items()]
    return {"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": alternatives}


def reply_of(tokens: list[dict[str, Any]]) -> bytes:
    body = json.loads(completion("".join(token["token"] for token in tokens)))
    body["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    return json.dumps(body).encode()


def endpoint(url: str, store: Path, **options: Any) -> ChatEndpoint:
    return ChatEndpoint(ChatEndpointOptions(model="m", base_url=url, store=store, **options), first_pause=0.01)


@pytest.mark.parametrize(
    ("offered", "wanted", "sent"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_they_are_asked_for_only_where_wanted_and_offered(
    tmp_path: Path, offered: bool, wanted: bool, sent: bool
) -> None:
    with FaultServer() as server:
        model = endpoint(server.url, tmp_path / "r.sqlite", logprobs=offered)
        result = one(model, ask_for("a", logprobs=wanted))
        model.close()
    asked = {"logprobs": True, "top_logprobs": 20} if sent else {}
    assert {key: value for key, value in server.seen[0].body.items() if "logprobs" in key} == asked
    assert result.logprobs is None


def test_only_the_first_tokens_are_stored_and_read_again(tmp_path: Path) -> None:
    store = tmp_path / "r.sqlite"
    body = reply_of([entry(f"t{number}", other=-2.0) for number in range(100)])
    with FaultServer([Act(body)]) as server:
        for source in ("net", "store"):
            model = endpoint(server.url, store, logprobs=True)
            result = one(model, ask_for("a", logprobs=True))
            model.close()
            assert result.source == source
            assert len(result.logprobs or ()) == 32
            assert result.logprobs[0] == TokenChoice("t0", {"other": -2.0, "t0": -0.5})
            assert result.text.endswith("t99")
    ((kept,),) = look(store, "select body from responses")
    assert len(zlib.decompress(kept)) < len(body) / 2


@pytest.mark.parametrize(
    "choice",
    [{}, {"logprobs": None}, {"logprobs": "x"}, {"logprobs": {"content": None}}, {"logprobs": {"content": [3]}}],
)
def test_what_is_not_of_the_shape_is_none(choice: dict[str, Any]) -> None:
    assert read_logprobs(choice) is None


def test_reading_stops_where_the_shape_does() -> None:
    content = [entry("a"), {"token": "b", "logprob": float("nan"), "top_logprobs": []}, entry("c")]
    assert [each.token for each in read_logprobs({"logprobs": {"content": content}}) or ()] == ["a"]
