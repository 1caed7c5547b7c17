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
from clarilm_kedro.datasets.served_adapter import ServedAdapterDataset
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.pipelines.cfd import create_facet_detection, create_pipeline
from clarilm_kedro.pipelines.cfd.nodes import accept_clarifications, build_fm_log_examples, fuse_facets
from clarilm_kedro.pipelines.cfd.schemas import (
    CANDIDATES,
    EXTRACTION_REPLIES,
    DetectionOptions,
    ExtractionOptions,
    FusionOptions,
)
from clarilm_kedro.pipelines.dropping import HELD_BACK, LEAK
from clarilm_kedro.pipelines.held_out import SplitOptions, held_back
from clarilm_kedro.sample.server import SampleTeacherServer
from clarilm_kedro.tables import FAILED, table
from pipelines.question_rows import LEAKAGE, benchmark


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
    return (project / "src" / "clarilm_kedro" / "prompts" / f"{name}.jinja").read_text(encoding="utf-8")


def candidate(question_id: str, rank: int, facet: str, source: str) -> dict[str, object]:
    return {
        "question_id": question_id,
        "question": "q",
        "rank": rank,
        "facet": facet,
        "clarifying_question": f"{facet} ({source})?",
        "source": source,
        **dict.fromkeys(("teacher", "prompt_sha", "request_key", "model", "adapter_sha", "seed")),
        **({"teacher": "t", "prompt_sha": "p", "request_key": f"r{rank}"} if source == "llm" else {}),
        **({"model": "m", "adapter_sha": "a", "seed": 7} if source == "log" else {}),
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
    assert list(found["window"]) == [0]
    assert found["prompt_sha"].str.fullmatch("[0-9a-f]{64}").all()
    assert found["request_key"].str.fullmatch("[0-9a-f]{64}").all()


def test_facets_of_a_question_come_from_the_model_where_fm_log_was_skipped(
    teacher: ChatEndpoint, project: Path
) -> None:
    questions = pd.DataFrame({"question_id": ["q1"], "question": ["Improve my CV."]})
    inputs = {
        "questions": MemoryDataset(questions),
        "fm_log_adapter": MemoryDataset(TrainedAdapter.skipped("too few"), copy_mode="assign"),
        "base_model": MemoryDataset(BaseModelSpec(source="packaged:smollm2"), copy_mode="assign"),
        "fm_log_server": ServedAdapterDataset(model="fm-log"),
        "adapter_server": MemoryDataset(None),
        "facets_prompt": MemoryDataset(prompt(project, "facets")),
        "chat_llm": MemoryDataset(teacher, copy_mode="assign"),
        "params:cfd.detection": MemoryDataset(DetectionOptions()),
        "params:cfd.fusion": MemoryDataset(FusionOptions()),
    }
    pipeline: Pipeline = create_facet_detection()
    outputs = SequentialRunner().run(pipeline, DataCatalog(inputs))
    found = outputs["facets"].load()
    assert len(found) >= 4
    assert outputs["fm_log_generations"].load()["drawn"].tolist() == [0]
    assert set(found["teacher"]) == {"sample-teacher"}
    assert found["request_key"].notna().all()
    assert found[["model", "adapter_sha", "seed"]].isna().all(axis=None)
    assert list(found["rank"]) == sorted(found["rank"])
    assert all(list(sources) == ["llm"] for sources in found["sources"])


def test_fused_facets_name_both_sources_and_lead_back_to_them() -> None:
    llm = table([candidate("q", 0, "budget", "llm"), candidate("q", 1, "travel dates", "llm")], CANDIDATES)
    log = table([candidate("q", 0, "Travel date", "log"), candidate("q", 1, "cost limit", "log")], CANDIDATES)
    found, merges = fuse_facets(log, llm, FusionOptions())
    rows = found.set_index("facet")
    assert {facet: list(sources) for facet, sources in rows["sources"].items()} == {
        "budget": ["llm"],
        "travel dates": ["llm", "log"],
        "cost limit": ["log"],
    }
    assert list(rows["members"]["travel dates"]) == ["travel dates", "Travel date"]
    assert rows["rank"].to_dict() == {"budget": 0, "travel dates": 0, "cost limit": 1}
    assert rows.loc["travel dates", ["clarifying_question", "request_key", "model"]].tolist() == [
        "travel dates (llm)?",
        "r1",
        "m",
    ]
    assert rows.loc["cost limit", ["teacher", "prompt_sha", "request_key"]].isna().all()
    assert rows.loc["budget", ["model", "adapter_sha", "seed"]].isna().all()
    assert merges[["question_id", "facet", "other_facet", "method"]].to_numpy().tolist() == [
        ["q", "travel dates", "Travel date", "exact"]
    ]
    again, _ = fuse_facets(log.iloc[::-1], llm.iloc[::-1], FusionOptions())
    pd.testing.assert_frame_equal(found, again)


def test_a_candidate_id_is_that_of_its_facet_whatever_else_is_offered() -> None:
    alone, _ = fuse_facets(
        table([], CANDIDATES), table([candidate("q", 3, "Budgets", "llm")], CANDIDATES), FusionOptions()
    )
    beside = table([candidate("q", 0, "colour", "llm"), candidate("q", 1, "the budget", "llm")], CANDIDATES)
    found, _ = fuse_facets(table([], CANDIDATES), beside, FusionOptions())
    assert alone["candidate_id"][0] == found.set_index("facet")["candidate_id"]["the budget"]


def test_what_a_veto_kept_apart_is_listed() -> None:
    llm = table([candidate("q", 0, "left side", "llm"), candidate("q", 1, "right side", "llm")], CANDIDATES)
    found, merges = fuse_facets(table([], CANDIDATES), llm, FusionOptions())
    assert len(found) == 2
    assert merges[["method", "words"]].to_numpy().tolist() == [["vetoed", "left / right"]]
    assert merges["cosine"][0] >= 0.9


def test_no_facets_at_all_give_empty_tables() -> None:
    found, merges = fuse_facets(table([], CANDIDATES), table([], CANDIDATES), FusionOptions())
    assert found.empty
    assert merges.empty
    assert {"members", "sources", "teacher"} <= set(found.columns)


def test_examples_keep_the_clarifications_they_come_from() -> None:
    row = {"question": "Plan my trip.", "facet": "budget", "clarifying_question": "How much?"}
    mined = pd.DataFrame([{**row, "clarification_id": name, "session_id": name} for name in ("c2", "c1")])
    rows, unused, leaks = build_fm_log_examples(mined, benchmark(), LEAKAGE, SplitOptions(held_back_share=0))
    assert rows["completion"].tolist() == ["budget\nHow much?"]
    assert rows["clarification_ids"].tolist() == [["c1", "c2"]]
    assert unused.empty
    assert leaks.empty


def test_fm_log_learns_neither_test_questions_nor_from_sessions_that_are_held_back() -> None:
    row = {"facet": "budget", "clarifying_question": "How much?"}
    mined = pd.DataFrame(
        [
            {**row, "clarification_id": f"c{at}", "session_id": f"s{at}", "question": f"{at * 7919} number {at}"}
            for at in range(40)
        ]
    )
    split = SplitOptions(held_back_share=0.5)
    rows, unused, leaks = build_fm_log_examples(
        mined, benchmark(in3="0 NUMBER 0"), LEAKAGE, SplitOptions(held_back_share=0)
    )
    assert (len(rows), unused["row_id"].tolist(), unused["reason"].tolist()) == (39, ["c0"], [LEAK])
    assert leaks[["train_id", "test_set", "action"]].to_numpy().tolist() == [["c0", "in3", "dropped"]]
    rows, unused, _ = build_fm_log_examples(mined, benchmark(), LEAKAGE, split)
    used = {name for names in rows["clarification_ids"] for name in names}
    assert used == {f"c{at}" for at in range(40) if not held_back(f"s{at}", split)}
    assert set(unused["reason"]) == {HELD_BACK}
    assert used | set(unused["row_id"]) == set(mined["clarification_id"])
    assert 10 < len(used) < 30


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
    origin = {"teacher": "t", "prompt_sha": "p", "request_key": "k"}
    reply = {"row_id": "s#0", "session_id": "s", "source": "x", "window": 0, "clarifications": "[]", **origin}
    replies = table([reply], EXTRACTION_REPLIES)
    options = ExtractionOptions(max_failed_share=0.1)
    assert accept_clarifications(replies, table([{**row, "kind": "rejected"}], FAILED), options).empty
    with pytest.raises(TooManyFailures, match="clarifications_failed"):
        accept_clarifications(replies, table([{**row, "kind": "timeout"}], FAILED), options)
