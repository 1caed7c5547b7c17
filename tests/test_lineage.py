"""What kedro-viz is given: boxes, layers, sentences and drawings, checked on the graph that its server answers with."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel

from clarilm_kedro import lineage
from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.lineage import REPLIES
from clarilm_kedro.pipeline_registry import register_pipelines
from clarilm_kedro.stage_drawing import draw_stage, fields

FIVE = ["ingestion", "cfd", "ofs", "training", "evaluation"]
LAYERS = [
    "raw", "intermediate", "primary", "facet_models", "questions",
    "feature", "model_input", "models", "model_output", "reporting",
]  # fmt: skip


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    return register_pipelines()


@pytest.fixture(scope="module")
def nodes(pipelines: dict[str, Pipeline]) -> list[Node]:
    return list({node.name: node for pipeline in pipelines.values() for node in pipeline.nodes}.values())


@pytest.fixture
def inside(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of kedro-viz run inside the project; previews read its catalog."""
    monkeypatch.chdir(workspace)
    bootstrap_project(workspace)


@pytest.fixture(scope="module")
def graphs(workspace: Path, pipelines: dict[str, Pipeline]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer of kedro-viz for every registered pipeline, and its nodes by id."""
    from kedro_viz.api.rest.responses.pipelines import get_pipeline_response
    from kedro_viz.data_access import data_access_manager
    from kedro_viz.server import load_and_populate_data

    bootstrap_project(workspace)
    load_and_populate_data(workspace)
    return {name: get_pipeline_response(name) for name in pipelines}, data_access_manager.nodes.as_dict()


def test_the_five_pipelines_are_boxes_of_the_whole_graph(graphs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    answers, known = graphs
    whole = answers["__default__"]
    top = {known[child.id].name for child in whole.modular_pipelines["__root__"].children}
    assert {*FIVE, "audit"} <= top
    assert not [node.name for node in known.values() if node.type == "task" and node.name in top], "loose nodes"
    assert {"ofs.facet_detection", "training.clarilm_sft", "training.clarilm"} <= whole.modular_pipelines.keys()


def test_prompts_chat_models_and_files_stand_outside_the_boxes(graphs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    answers, known = graphs
    top = {known[child.id].name for child in answers["__default__"].modular_pipelines["__root__"].children}
    assert {"chat_llm", "reasoning_llm", "extraction_prompt", "annotation_prompt", "sharegpt", "wildchat"} <= top
    # What one pipeline alone uses is inside its box.
    assert not top & {"conversations", "extraction_replies", "candidates", "predictions", "row_scores"}


def test_layers_hold_in_the_collapsed_graph_of_every_pipeline(
    graphs: tuple[dict[str, Any], dict[str, Any]], pipelines: dict[str, Pipeline]
) -> None:
    """A box counts as an edge from each of its inputs to each of its outputs; one backward, and all layers go."""
    for name in pipelines:
        assert graphs[0][name].layers, name
    layers = graphs[0]["__default__"].layers
    assert [layer for layer in layers if layer in LAYERS] == LAYERS
    assert layers.index("chat") < layers.index("intermediate")


def test_no_edge_is_cut_to_keep_the_boxes_free_of_cycles(graphs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    answers, known = graphs
    for name, answer in answers.items():
        edges = {(edge.source, edge.target) for edge in answer.edges}
        for box in answer.modular_pipelines.values():
            for given in box.inputs:
                assert (given, box.id) in edges or not known[given].belongs_to_pipeline(name), (name, box.id)


@pytest.mark.usefixtures("inside")
def test_every_node_has_a_sentence_or_a_drawing(nodes: list[Node]) -> None:
    for node in nodes:
        shown: Any = node.preview()
        drawn = inspect.unwrap(node.func).__name__ in REPLIES
        assert shown.kind == ("mermaid" if drawn else "text"), node.name
        if not drawn:
            assert re.match(r"[A-Z][^\n]*[.:](\n\n|$)", shown.content), (node.name, shown.content)


@pytest.mark.usefixtures("inside")
def test_a_sentence_is_followed_by_those_of_the_datasets(nodes: list[Node]) -> None:
    node = next(each for each in nodes if each.name == "ingestion.select_sessions")
    shown: Any = node.preview()
    assert "Reads:\n  conversations: " in shown.content
    assert "Makes:\n  sessions: One chat session a row, with the user's questions in order." in shown.content


@pytest.mark.usefixtures("inside")
def test_a_drawing_shows_what_goes_in_and_comes_out(nodes: list[Node]) -> None:
    node = next(each for each in nodes if each.name == "cfd.extract_clarifications")
    shown: Any = node.preview()
    assert 'row0["sessions"]' in shown.content
    assert 'prompt["extraction_prompt<br/>messages: system, user<br/>variables: user_questions"]' in shown.content
    assert 'model0(["chat_llm"])' in shown.content
    assert "- clarifying_question: string" in shown.content
    assert 'output0["extraction_replies"]' in shown.content


def test_stages_are_drawn_with_the_reply_they_ask_for(nodes: list[Node]) -> None:
    """A stage whose reply's shape changes must change its drawing, and a new one must have one."""
    asking = {inspect.unwrap(node.func) for node in nodes if any(name.endswith("_prompt") for name in node.inputs)}
    assert {each.__name__ for each in asking} == REPLIES.keys()
    for function in asking:
        asked = re.search(r"reply=(?:lambda \w+: )?(\w+)", inspect.getsource(function))
        reply = REPLIES[function.__name__]
        if asked is None:
            assert isinstance(reply, str) or function.__name__ == "ask_judges", function.__name__
        else:
            told = "Choice" if asked[1] == "choice_among" else asked[1]
            assert isinstance(reply, type)
            assert told in {each.__name__ for each in reply.__mro__}, function.__name__


def test_fields_of_nested_objects_stand_behind_them() -> None:
    class Inner(BaseModel):
        name: str
        scores: list[float]

    class Outer(BaseModel):
        parts: list[Inner]
        note: str | None

    assert fields(Outer) == [
        "parts: list of object",
        "- name: string",
        "- scores: list of number",
        "note: string or null",
    ]


def test_names_cannot_break_out_of_their_box() -> None:
    from clarilm_kedro.chat.prompts import PromptTemplate

    template = PromptTemplate.from_text("p", '## user\n{{ block("question", question) }}\n')
    drawing = draw_stage(
        rows=['a"]; click x "javascript:alert(1)'],
        options=[],
        prompt=("p", template),
        models=["m"],
        reply="text",
        outputs=["o"],
    )
    assert 'row0["a#quot;]; click x #quot;javascript:alert(1)"]' in drawing


def test_outside_a_project_the_preview_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="inside the project"):
        lineage._project()


@pytest.mark.parametrize(("environment", "rows"), [("local", 5), ("embedded", 0), ("paper", 0), ("cluster", 0)])
def test_whole_chats_are_shown_of_the_sample_world_only(project: Path, environment: str, rows: int) -> None:
    catalog = ChainedConfigLoader(project / "conf", env=environment, base_env="base", default_run_env="local")[
        "catalog"
    ]
    for name in ("sharegpt", "wildchat", "conversations", "sessions", "rejected_sessions"):
        assert catalog[name]["metadata"]["kedro-viz"]["preview_args"] == {"nrows": rows}
