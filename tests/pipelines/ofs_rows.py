"""Rows of the annotation half of OFS, for its tests."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.chat.parse import InvalidReplyError, parse_reply
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Kind
from clarilm_kedro.pipelines.cfd.schemas import FACETS
from clarilm_kedro.pipelines.ofs.schemas import ANSWERS, CANDIDATES, QUESTIONS
from clarilm_kedro.tables import table

_CANDIDATES = re.compile(r"<candidates>\n(.*?)\n</candidates>", re.DOTALL)


class WrittenModel:
    """A chat model whose replies a function of the test writes; they are parsed as any endpoint's are."""

    name = "written"

    def __init__(self, write: Callable[[ChatRequest], str]) -> None:
        self.write = write
        self.asked: list[ChatRequest] = []

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        for request in requests:
            self.asked.append(request)
            text = self.write(request)
            key = f"{stage}-{request.row_id}"
            try:
                parsed = parse_reply(text, request.response.model) if request.response else None
            except InvalidReplyError as error:
                yield ChatResult(
                    request.row_id, key, "failed", text=text, attempts=2, error_kind=Kind(error.kind), error=str(error)
                )
            else:
                yield ChatResult(request.row_id, key, "ok", text=text, parsed=parsed, attempts=1)

    def close(self) -> None:
        """Nothing is open."""


def shown(request: ChatRequest) -> list[dict[str, str]]:
    """The candidates that a request shows, in their order."""
    found = _CANDIDATES.search(request.messages[-1].content)
    assert found
    return [json.loads(line) for line in found[1].split("\n")]


def questions(n: int, split: str = "train") -> pd.DataFrame:
    rows = [
        {"question_id": f"q{number}", "question": f"question {number}", "origin": "log", "split": split}
        for number in range(n)
    ]
    return table([dict.fromkeys(QUESTIONS) | row for row in rows], QUESTIONS)


def facets(n: int, per_question: int) -> pd.DataFrame:
    rows = [
        {
            "question_id": f"q{number}",
            "question": "q",
            "candidate_id": f"f{rank}",
            "facet": f"facet {rank}",
            "clarifying_question": f"Which {rank}?",
            "sources": ["llm"],
            "rank": rank,
        }
        for number in range(n)
        for rank in range(per_question)
    ]
    return table([dict.fromkeys(FACETS) | row for row in rows], FACETS)


def answers(n: int) -> pd.DataFrame:
    rows: list[Mapping[str, Any]] = [{"question_id": f"q{number}", "answer": "So."} for number in range(n)]
    return table([dict.fromkeys(ANSWERS) | dict(row) for row in rows], ANSWERS)


def candidates(*rows: Mapping[str, Any]) -> pd.DataFrame:
    blank = {"question_id": "q1", "kind": "ask", "facet": "", "sources": ["llm"], "rank": 0, "position": 1}
    return table([blank | dict(row) for row in rows], CANDIDATES)
