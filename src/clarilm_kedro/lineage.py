"""What kedro-viz shows of the pipelines: one box each, and a sentence or a drawing on every node.

kedro-viz 12 shows no docstring but in the node's code, and nothing of a dataset's description. So a node's preview is
its sentence, followed by those of the datasets that it reads and makes; a node that fills a prompt and asks a chat
model has a drawing of that stage instead.
"""

import inspect
from functools import cache, partial
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.pipeline.preview_contract import MermaidPreview, TextPreview
from kedro.utils import find_kedro_project
from pydantic import BaseModel

from clarilm_kedro.chat.prompts import PromptTemplate
from clarilm_kedro.datasets.prompt import PromptDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.template import DECISION
from clarilm_kedro.metrics.judging.verdicts import Verdict
from clarilm_kedro.pipelines.cfd.schemas import Extraction, ListedFacets
from clarilm_kedro.pipelines.ofs.choices import choice_among
from clarilm_kedro.pipelines.ofs.schemas import QuestionQuality, TunedQuestion, WrittenQuestions
from clarilm_kedro.stage_drawing import draw_stage

_DECIDES = f"text, its first line '{DECISION} Yes' or '{DECISION} No'"
#: The functions that fill a prompt, and the shape of the reply that each asks for.
REPLIES: dict[str, type[BaseModel] | str] = {
    "extract_clarifications": Extraction,
    "list_llm_facets": ListedFacets,
    "judge_first_questions": QuestionQuality,
    "synthesize_questions": WrittenQuestions,
    "tune_clarification": TunedQuestion,
    "answer_questions": "text, the direct answer",
    # Each request offers the ids of its own candidates.
    "annotate_optimal_facet": choice_among(("c1", "c2", "c3")),
    "predict_prompted": _DECIDES,
    "predict_local": _DECIDES,
    "ask_judges": Verdict,
}
_MODELS = {"chat_llm", "reasoning_llm", "baseline_llms", "judge_llm", "judges", "local_systems"}
_SERVERS = {"adapter_server"}


def shown(pipeline: Pipeline, namespace: str | None = None) -> Pipeline:
    """Give every node of a pipeline its preview, and draw the pipeline as one box.

    Args:
        pipeline: Any pipeline.
        namespace: Name of the box; None where the pipeline has its namespace already.

    Returns:
        The pipeline. Datasets and options keep their names, a node has its namespace before its own.
    """
    previewed = Pipeline([node._copy(preview_fn=partial(preview, node)) for node in pipeline.nodes])
    return Pipeline(previewed, namespace=namespace, prefix_datasets_with_namespace=False) if namespace else previewed


def preview(node: Node) -> MermaidPreview | TextPreview:
    """Draw a node that asks a chat model; of any other give the first paragraph of its docstring and what it handles.

    Args:
        node: A node of this project.

    Returns:
        What kedro-viz shows beside the graph.
    """
    function = inspect.unwrap(node.func)
    reply = REPLIES.get(function.__name__)
    data = [name for name in node.inputs if not name.startswith("params:")]
    if reply is None:
        sentence = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        parts = [sentence, _listed("Reads", data), _listed("Makes", node.outputs)]
        return TextPreview(content="\n\n".join(filter(None, parts)))
    prompt = next(name for name in data if name.endswith("_prompt"))
    drawing = draw_stage(
        rows=[name for name in data if name not in {prompt, *_MODELS, *_SERVERS}],
        options=[name for name in node.inputs if name.startswith("params:")],
        prompt=(prompt, _template(prompt)),
        models=[name for name in data if name in _MODELS],
        reply=reply,
        outputs=node.outputs,
    )
    # At its natural size; fitted to the page, it would be shrunk to the panel's width also where it is expanded.
    return MermaidPreview(content=drawing, meta={"flowchart": {"useMaxWidth": False, "wrappingWidth": 400}})


def _listed(title: str, names: list[str]) -> str:
    catalog = _catalog(_project())
    lines = [f"  {name}: {catalog[name]['metadata']['description']}" for name in names if name in catalog]
    return "\n".join([f"{title}:", *lines]) if lines else ""


def _template(name: str) -> PromptTemplate:
    """Read a prompt where the catalog says it is."""
    entry = _catalog(_project())[name]
    return PromptTemplate.from_text(name, PromptDataset(name=entry["name"], folder=entry["folder"]).load())


def _project() -> Path:
    project = find_kedro_project(Path.cwd())
    if project is None:
        raise ClarilmError("Previews of nodes need the project's configuration: run the command inside the project.")
    return Path(project)


@cache
def _catalog(project: Path) -> dict[str, Any]:
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS
    )
    return dict(loader["catalog"])
