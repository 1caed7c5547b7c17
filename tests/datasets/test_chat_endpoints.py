import sys
from pathlib import Path

import pytest
from kedro.io import AbstractDataset, DataCatalog, DatasetError

sys.path.insert(0, str(Path(__file__).parents[1] / "chat"))  # the fault server serves these tests too
from fault_server import FaultServer

from clarilm_kedro.chat import ChatRequest, Message
from clarilm_kedro.datasets.chat_endpoint import close_chat_models

SECRET = "sk-very-secret-key-0123456789"
TYPE = "clarilm_kedro.datasets.chat_endpoints.ChatEndpointsDataset"


def entry(store: Path, **endpoints) -> dict:
    return {"type": TYPE, "store": str(store), "endpoints": endpoints}


def test_every_endpoint_has_its_key_its_model_and_the_shared_settings(tmp_path):
    store = tmp_path / "responses.sqlite"
    with FaultServer() as server:
        config = entry(
            store,
            first={"base_url": server.url, "credentials": "openai"},
            second={"base_url": server.url, "model": "m-2", "temperature": 0.6, "credentials": None},
        )
        catalog = DataCatalog.from_config(
            {"baseline_llms": config | {"temperature": 0.5, "seed": 7, "metadata": {"kedro-viz": {"layer": "chat"}}}},
            credentials={"openai": {"api_key": SECRET}},
        )
        models = catalog.load("baseline_llms")
        assert list(models) == ["first", "second"]
        assert catalog.load("baseline_llms")["first"] is models["first"]
        for model in models.values():
            (result,) = model.complete([ChatRequest("row", (Message("user", "q"),))], stage="s")
            assert result.text == "echo: q"
        assert [seen.headers["authorization"] for seen in server.seen] == [f"Bearer {SECRET}", "Bearer none"]
        asked = [(seen.body["model"], seen.body["temperature"], seen.body["seed"]) for seen in server.seen]
        assert asked == [("first", 0.5, 7), ("m-2", 0.6, 7)]
        counts = close_chat_models()
    assert [(count["model"], count["requests_sent"]) for count in counts] == [("first", 1), ("m-2", 1)]


def test_no_endpoints_are_an_empty_mapping(tmp_path):
    assert AbstractDataset.from_config("baseline_llms", entry(tmp_path / "s.sqlite")).load() == {}
    assert AbstractDataset.from_config("baseline_llms", entry(tmp_path / "s.sqlite", left_out=None)).load() == {}


def test_descriptions_show_no_key(tmp_path):
    config = entry(
        tmp_path / "s.sqlite", one={"base_url": "https://api.example.com/v1", "credentials": {"api_key": SECRET}}
    )
    dataset = AbstractDataset.from_config("baseline_llms", config)
    assert SECRET not in str(dataset)
    assert "https://api.example.com/v1" in str(dataset)
    assert dataset.exists()
    with pytest.raises(DatasetError, match="input of a node"):
        dataset.save(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "Endpoint 'judge': .*exactly one of base_url and server"),
        ({"base_url": "http://127.0.0.1/v1", "concurency": 3}, "Endpoint 'judge': .*concurency: Extra inputs"),
        ({"base_url": "http://127.0.0.1/v1", "store": "other.sqlite"}, "'judge' names a store"),
        ("http://127.0.0.1/v1", "'judge' is 'http.*give its settings"),
    ],
)
def test_a_wrong_setting_is_named_with_its_endpoint(tmp_path, settings, said):
    with pytest.raises(DatasetError, match=said):
        AbstractDataset.from_config("judges", entry(tmp_path / "s.sqlite", judge=settings))
