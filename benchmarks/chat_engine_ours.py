"""The project's chat engine at work, with a response store: a process that ``chat_engine.py`` measures."""

import sys
from collections.abc import Iterator
from pathlib import Path

import openai  # noqa: F401  # loaded with the rest, so that the step is the calls
from pydantic import BaseModel

from chat_engine_rows import MODEL, SYSTEM, prompts
from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.chat.types import ChatRequest, Message, ResponseSchema
from measure import step


class Questions(BaseModel):
    """What the server sends."""

    questions: list[str]


def requests(calls: int, response: ResponseSchema | None) -> Iterator[ChatRequest]:
    """Give the requests one by one, as a stage over a table does."""
    system = Message("system", SYSTEM)
    for row, prompt in enumerate(prompts(calls)):
        yield ChatRequest(str(row), (system, Message("user", prompt)), response)


def main(url: str, store: Path, calls: int, in_flight: int, *, with_schema: bool, source: str) -> None:
    """Ask for every row and count the usable results.

    Args:
        url: Address of the server.
        store: The response store.
        calls: Rows.
        in_flight: Requests at a time.
        with_schema: Validate the replies against a schema, instead of taking them as text.
        source: Where the replies have to come from: ``net`` or ``store``.

    Raises:
        SystemExit: Some came from elsewhere, or are unusable.
    """
    options = ChatEndpointOptions(model=MODEL, base_url=url, concurrency=in_flight, store=store)
    schema = ResponseSchema("questions", Questions) if with_schema else None
    endpoint = ChatEndpoint(options)
    with step(source):
        results = endpoint.complete(requests(calls, schema), stage="benchmark")
        usable = sum(result.status == "ok" and result.source == source for result in results)
        endpoint.close()
    if usable < calls:
        raise SystemExit(f"{calls - usable} of {calls} rows have no usable reply from the {source}")


if __name__ == "__main__":
    address, folder, number, places, kind, origin = sys.argv[1:]
    main(address, Path(folder), int(number), int(places), with_schema=kind == "schema", source=origin)
