"""Nodes of the pipelines under observation: nothing ends the audit, everything is counted."""

from collections.abc import Iterable, Iterator, Sequence

import ibis
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from clarilm_kedro.chat.prices import Price
from clarilm_kedro.chat.types import ChatModel, ChatRequest, ChatResult, Kind, Message
from clarilm_kedro.pipelines import cfd
from clarilm_kedro.pipelines.audit.observing import Meter, observe
from clarilm_kedro.pipelines.cfd.schemas import ExtractedClarification, Extraction, ExtractionOptions

PRICE = Price.model_validate({"input": 1.0, "output": 10.0, "date": "2026-01-01", "source": "a test"})


class Model:
    """Answers nothing found, and fails on every row whose prompt holds "fail"."""

    name = "m"

    def __init__(
        self, price: Price | None = None, *, counts: bool = True, found: Sequence[ExtractedClarification] = ()
    ) -> None:
        self.price = price
        self._reply = Extraction(clarifications=list(found))
        self._counts = counts
        self.closed = 0

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        try:
            for request in requests:
                tokens = {"prompt_tokens": 100, "completion_tokens": 20} if self._counts else {}
                if "fail" in request.messages[-1].content:
                    yield ChatResult(request.row_id, "k", "failed", error_kind=Kind.REFUSAL, error="no", attempts=1)
                else:
                    yield ChatResult(request.row_id, "k", "ok", "{}", parsed=self._reply, **tokens)
        finally:
            self.closed += 1

    def close(self) -> None: ...


def requests(*texts: str) -> list[ChatRequest]:
    return [ChatRequest(str(number), (Message("user", text),)) for number, text in enumerate(texts)]


def used(model: ChatModel, *texts: str) -> dict[str, object]:
    meter = Meter(model)
    assert len(list(meter.complete(requests(*texts), stage="s"))) == len(texts)
    return meter.usage("s", "chat_llm").to_dict("records")[0]


def test_what_passes_through_is_counted_and_priced() -> None:
    row = used(Model(PRICE), "a", "b", "fail")
    assert (row["calls"], row["failed"], row["prompt_tokens"], row["completion_tokens"]) == (3, 1, 200, 40)
    assert row["cost_usd"] == pytest.approx((200 * 1.0 + 40 * 10.0) / 1e6)
    assert (row["stage"], row["asked"], row["model"]) == ("s", "chat_llm", "m")


def test_what_is_not_known_is_not_guessed() -> None:
    assert pd.isna(used(Model(None), "a")["cost_usd"])
    uncounted = used(Model(PRICE, counts=False), "a")
    assert pd.isna(uncounted["prompt_tokens"])
    assert pd.isna(uncounted["cost_usd"])
    assert used(Model(PRICE))["cost_usd"] == 0


def test_a_stage_that_stops_early_closes_the_model() -> None:
    model = Model()
    answers = Meter(model).complete(requests("a", "b"), stage="s")
    next(iter(answers))
    answers.close()  # type: ignore[attr-defined]
    assert model.closed == 1


def audited(model: Model, *questions: str) -> dict[str, pd.DataFrame]:
    pipeline = observe(
        cfd.create_pipeline().only_nodes("extract_clarifications", "accept_clarifications"),
        names={"extract_clarifications": "extract_again"},
        datasets={"sessions": "drawn"},
    )
    sessions = {"session_id": ["a", "b"], "source": ["x", "x"], "user_questions": [list(questions)] * 2}
    catalog = DataCatalog(
        {
            "drawn": MemoryDataset(ibis.memtable(sessions), copy_mode="assign"),
            "extraction_prompt": MemoryDataset('## user\n{{ block("user_questions", user_questions) }}'),
            "chat_llm": MemoryDataset(model, copy_mode="assign"),
            "params:cfd.extraction": MemoryDataset(ExtractionOptions(max_failed_share=0.0)),
        }
    )
    made = SequentialRunner().run(pipeline, catalog)
    return {name: made[name].load() for name in ("clarifications", "extract_again_usage")}


def test_a_teacher_that_always_fails_is_a_result() -> None:
    """The same nodes end a real run: accept_clarifications raises at this share."""
    made = audited(Model(PRICE), "fail", "q")
    assert made["clarifications"].empty
    usage = made["extract_again_usage"].to_dict("records")[0]
    assert (usage["stage"], usage["calls"], usage["failed"], usage["rejected"]) == ("extract_again", 2, 2, 0)


def test_what_did_not_pass_the_checks_is_counted() -> None:
    texts = {"question": "p", "clarifying_question": "Which?", "clarified_question": "p q", "facet": "f"}
    found = [ExtractedClarification(first=first, second=first + 1, **texts) for first in (0, 7)]
    made = audited(Model(found=found), "p", "q")
    assert len(made["clarifications"]) == 2
    usage = made["extract_again_usage"].to_dict("records")[0]
    assert (usage["calls"], usage["failed"], usage["rejected"]) == (2, 0, 2)


def double(value: int) -> int:
    """Double."""
    return 2 * value


def test_a_node_that_asks_nothing_keeps_its_outputs_and_its_face() -> None:
    [node] = observe(Pipeline([Node(double, "value", "twice", name="double")])).nodes
    assert node.run({"value": 4}) == {"twice": 8}
    assert (node.name, node.func.__doc__) == ("double", "Double.")
