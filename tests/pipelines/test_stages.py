"""What every stage that asks a chat model has in common."""

import hashlib
from collections.abc import Iterable, Iterator

from clarilm_kedro.chat.types import ChatRequest, ChatResult
from clarilm_kedro.pipelines.stages import ask_each, made_by

PROMPT = '## system\nBe brief.\n\n## user\nName a facet.\n{{ block("question", question) }}\n'


class Recording:
    """A chat model that answers everything and keeps what it was asked."""

    name = "recording"

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        for request in requests:
            self.asked.append(request)
            yield ChatResult(request.row_id, f"key of {request.row_id}", "ok", text=stage)

    def close(self) -> None:
        """Nothing is open."""


def test_every_request_carries_the_hash_of_its_whole_template() -> None:
    model = Recording()
    changed = PROMPT.replace("Name a facet.", "Name two facets.")  # the system message is the same
    for prompt in (PROMPT, changed):
        answered, failures = ask_each({"b": {"question": "B"}, "a": {"question": "A"}}, prompt, model, stage="facets")
        assert (list(answered), len(failures)) == (["a", "b"], 0)
        assert made_by(model, prompt, answered["a"])["prompt_sha"] == hashlib.sha256(prompt.encode()).hexdigest()
    assert [(request.row_id, request.prompt_sha) for request in model.asked] == [
        (row_id, hashlib.sha256(prompt.encode()).hexdigest()) for prompt in (PROMPT, changed) for row_id in ("a", "b")
    ]
    assert model.asked[0].messages[0] == model.asked[2].messages[0]
