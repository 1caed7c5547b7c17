"""CFD on the sample world: what the scripted teacher extracts is what the gold labels say."""

import json
from collections.abc import Iterator
from pathlib import Path

import ibis
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.pipelines.cfd import create_facet_detection, create_pipeline
from clarilm_kedro.pipelines.cfd.nodes import accept_clarifications, detect_log_facets, fuse_facets
from clarilm_kedro.pipelines.cfd.schemas import (
    CANDIDATES,
    EXTRACTION_REPLIES,
    DetectionOptions,
    ExtractionOptions,
)
from clarilm_kedro.sample.server import SampleTeacherServer
from clarilm_kedro.tables import FAILED, table


@pytest.fixture(scope="module")
def teacher(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatEndpoint]:
    server = SampleTeacherServer(project / "data" / "01_raw" / "sample")
    options = ChatEndpointOptions(
        model="sample-teacher", base_url=server.start(), store=tmp_path_factory.mktemp("store") / "r.sqlite"
    )
    model = ChatEndpoint(options)
    yield model
    model.close()
    server.stop()


def prompt(project: Path, name: str) -> str:
    return (project / "conf" / "base" / "chat" / "prompts" / f"{name}.jinja").read_text(encoding="utf-8")


def candidate(question_id: str, rank: int, facet: str, source: str) -> dict[str, object]:
    return {
        "question_id": question_id,
        "question": "q",
        "rank": rank,
        "facet": facet,
        "clarifying_question": f"{facet} ({source})?",
        "source": source,
        "model": "m",
    }


def test_a_session_is_read_to_its_clarifications(teacher: ChatEndpoint, project: Path) -> None:
    lines = (project / "data/01_raw/sample/gold/clarifications.jsonl").read_text().split("\n")
    gold = [json.loads(line) for line in lines if line]
    vague, says = gold[0]["question"], gold[0]["next_question"]
    sessions = ibis.memtable(
        {
            "session_id": ["a", "b"],
            "source": ["sharegpt", "sharegpt"],
            "user_questions": [[vague, says], [says, vague]],
        }
    )
    catalog = DataCatalog(
        {
            "sessions": MemoryDataset(sessions, copy_mode="assign"),
            "extraction_prompt": MemoryDataset(prompt(project, "extraction")),
            "chat_llm": MemoryDataset(teacher, copy_mode="assign"),
            "params:cfd.extraction": MemoryDataset(ExtractionOptions()),
        }
    )
    found = SequentialRunner().run(create_pipeline().to_outputs("clarifications"), catalog)["clarifications"].load()
    assert list(zip(found["session_id"], found["index"], strict=True)) == [("a", 0)]
    assert set(found["teacher"]) == {"sample-teacher"}
    assert found["clarifying_question"].str.endswith("?").all()


def test_facets_of_a_question_come_from_the_model_where_fm_log_was_skipped(
    teacher: ChatEndpoint, project: Path
) -> None:
    questions = pd.DataFrame({"question_id": ["q1"], "question": ["Improve my CV."]})
    inputs = {
        "questions": MemoryDataset(questions),
        "fm_log_adapter": MemoryDataset(TrainedAdapter.skipped("too few"), copy_mode="assign"),
        "base_model": MemoryDataset(BaseModelSpec(source="packaged:smollm2"), copy_mode="assign"),
        "facets_prompt": MemoryDataset(prompt(project, "facets")),
        "chat_llm": MemoryDataset(teacher, copy_mode="assign"),
        "params:cfd.detection": MemoryDataset(DetectionOptions()),
    }
    pipeline: Pipeline = create_facet_detection()
    found = SequentialRunner().run(pipeline, DataCatalog(inputs))["facets"].load()
    assert len(found) >= 4
    assert list(found["rank"]) == sorted(found["rank"])
    assert all(list(sources) == ["llm"] for sources in found["sources"])


def test_without_fm_log_there_are_no_log_facets() -> None:
    questions = pd.DataFrame({"question_id": ["q1"], "question": ["Which one?"]})
    base = BaseModelSpec(source="packaged:smollm2")
    assert detect_log_facets(questions, TrainedAdapter.skipped("too few"), base, DetectionOptions()).empty


def test_equal_facets_are_fused_and_name_both_sources() -> None:
    llm = table([candidate("q", 0, "budget", "llm"), candidate("q", 1, "travel dates", "llm")], CANDIDATES)
    log = table([candidate("q", 0, "Travel date", "log"), candidate("q", 1, "the city", "log")], CANDIDATES)
    found = fuse_facets(log, llm)
    assert {row["facet"]: list(row["sources"]) for row in found.to_dict("records")} == {
        "budget": ["llm"],
        "travel dates": ["llm", "log"],
        "the city": ["log"],
    }
    shuffled = fuse_facets(log.iloc[::-1], llm.iloc[::-1])
    pd.testing.assert_frame_equal(found, shuffled)


def test_rejected_instances_do_not_count_as_failed_calls() -> None:
    row = {
        "row_id": "s#0",
        "stage": "extraction",
        "error": "e",
        "attempts": 1,
        "cost_usd": None,
        "model": "m",
        "excerpt": "",
    }
    reply = {"row_id": "s#0", "session_id": "s", "source": "x", "clarifications": "[]", "teacher": "t"}
    replies = table([reply], EXTRACTION_REPLIES)
    options = ExtractionOptions(max_failed_share=0.1)
    assert accept_clarifications(replies, table([{**row, "kind": "rejected"}], FAILED), options).empty
    with pytest.raises(TooManyFailures, match="clarifications_failed"):
        accept_clarifications(replies, table([{**row, "kind": "timeout"}], FAILED), options)
