import pytest
from pydantic import BaseModel, ValidationError

from clarilm_kedro.chat.options import ChatEndpointOptions, LlamaCppOptions
from clarilm_kedro.chat.types import ResponseSchema

GIVEN = {"model": "m", "store": "s.sqlite"}
URL = {"base_url": "https://api.openai.com/v1"}


def test_a_server_is_chosen_by_its_kind():
    options = ChatEndpointOptions.model_validate(GIVEN | {"server": {"kind": "llama_cpp", "slots": 2}})
    assert options.server == LlamaCppOptions(kind="llama_cpp", slots=2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "exactly one"),
        (URL | {"server": {"kind": "llama_cpp"}}, "exactly one"),
        ({"base_url": "api.openai.com"}, "not an address"),
        ({"base_url": "https://user:key@host/v1"}, "holds no key"),
        ({"base_url": "https://host/v1?api-key=x"}, "holds no key"),
        (URL | {"extra_body": {"stream": True}}, "stream cannot be set"),
        (URL | {"concurency": 3}, "concurency"),
        (URL | {"concurrency": 1000}, "256"),
        ({"server": {"kind": "other"}}, "kind"),
        ({"base_url": ["http://a/v1", "http://b/v1"], "mode": "batch"}, "needs one base_url"),
        ({"server": {"kind": "llama_cpp"}, "mode": "batch_files"}, "needs one base_url"),
        (URL | {"mode": "batch", "batch_max_requests": 60_000}, "50000"),
        (URL | {"mode": "batch", "batch_max_bytes": 201_000_000}, "200000000"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(more, said):
    with pytest.raises(ValidationError, match=said):
        ChatEndpointOptions.model_validate(GIVEN | more)


def test_strings_and_lists_are_bounded_for_servers_with_a_grammar() -> None:
    class Item(BaseModel):
        facet: str
        rank: int

    class Listed(BaseModel):
        facets: list[Item]

    schema = ResponseSchema("facets", Listed)
    bounded = schema.bounded_format(100, 3)["json_schema"]["schema"]
    assert bounded["properties"]["facets"]["maxItems"] == 3
    assert bounded["$defs"]["Item"]["properties"]["facet"]["maxLength"] == 100
    assert "maxLength" not in bounded["$defs"]["Item"]["properties"]["rank"]
    assert schema.bounded_format(None, None) == schema.response_format
    assert "maxItems" not in schema.response_format["json_schema"]["schema"]["properties"]["facets"]
