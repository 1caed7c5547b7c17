"""The documentation's names: generated reference, paper-to-code map, notebooks without outputs."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.pipeline_registry import register_pipelines


@pytest.fixture(scope="module")
def made(project: Path) -> ModuleType:
    sys.path.insert(0, str(project / "docs" / "hooks"))
    try:
        import reference_pages
    finally:
        sys.path.pop(0)
    return reference_pages


@pytest.fixture(scope="module")
def pages(made: ModuleType) -> dict[str, str]:
    return made.reference_pages()


@pytest.fixture(scope="module")
def loader(project: Path) -> ChainedConfigLoader:
    return ChainedConfigLoader(project / "conf", base_env="base", default_run_env="local")


def rows(page: str) -> dict[str, list[str]]:
    """The table rows of a page by the name in their first cell."""
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in page.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row] for row in cells}


def test_the_datasets_page_has_every_entry_with_its_description(
    pages: dict[str, str], loader: ChainedConfigLoader
) -> None:
    catalog = {name: entry for name, entry in loader["catalog"].items() if not name.startswith("_")}
    found = rows(pages["reference/datasets.md"])
    assert found.keys() == catalog.keys()
    for name, entry in catalog.items():
        described, layer, kind, *_ = found[name][1:]
        plain = entry["metadata"]["description"].split()[0]
        assert plain.replace("|", "\\|").replace("<", "&lt;") in described, name
        assert layer == entry["metadata"]["kedro-viz"]["layer"], name
        assert entry["type"].rpartition(".")[2] in kind, name


def test_every_made_dataset_names_its_node(pages: dict[str, str]) -> None:
    found = rows(pages["reference/datasets.md"])
    for pipeline in register_pipelines().values():
        for node in pipeline.nodes:
            for name in node.outputs:
                assert f"`{node.name}`" in found[name][4], name


def test_the_options_page_has_every_option_with_its_value(made: ModuleType, pages: dict[str, str]) -> None:
    found = rows(pages["reference/options.md"])
    blocks = made.option_blocks(register_pipelines())
    assert found.keys() == {f"{path}.{name}" for path, model in blocks.items() for name in model.model_fields}
    assert found["ofs.annotation.self_consistency"][2] == "`1`"
    assert all(cells[3] for cells in found.values() if cells[0].startswith("`ofs.")), "an option without a meaning"


def test_every_part_of_the_package_has_a_page_of_its_docstrings(pages: dict[str, str], project: Path) -> None:
    parts = {each.parent.name for each in (project / "src" / "clarilm_kedro").glob("*/__init__.py")}
    assert {name.removeprefix("reference/python/").removesuffix(".md") for name in pages if "/python/" in name} == {
        *parts,
        "project",
    }
    assert "::: clarilm_kedro.chat.client" in pages["reference/python/chat.md"]
    assert "::: clarilm_kedro.finetuning._lora" not in pages["reference/python/finetuning.md"]


def test_the_commands_page_shows_every_command(pages: dict[str, str]) -> None:
    page = pages["reference/commands.md"]
    for name in ("results", "explain", "plan", "store", "store export", "audit"):
        assert f"\n## kedro clarilm {name}\n" in page
        assert f"Usage: kedro clarilm {name}" in page


def test_the_paper_map_names_what_there_is(project: Path, loader: ChainedConfigLoader, made: ModuleType) -> None:
    """Every name in the columns node, dataset and options is a node, a dataset, an option, a global or a pipeline."""
    pipelines = register_pipelines()
    nodes = {node.name.rpartition(".")[2] for pipeline in pipelines.values() for node in pipeline.nodes}
    options = {f"{path}.{name}" for path, model in made.option_blocks(pipelines).items() for name in model.model_fields}
    known = {*paths(loader["parameters"]), *paths(loader["globals"]), *options}
    catalog = loader["catalog"]
    table = [line for line in (project / "docs" / "paper_to_code.md").read_text().splitlines() if line.startswith("| ")]
    named = [re.findall(r"`([^`]+)`", cell) for line in table[1:] for cell in line.split("|")[2:5]]
    for step, (in_nodes, in_datasets, in_options) in enumerate(zip(named[::3], named[1::3], named[2::3], strict=True)):
        for name in in_nodes:
            matching = [each for each in nodes if re.fullmatch(name.replace("*", ".*"), each)]
            assert matching or name in pipelines, (step, name)
        for name in in_datasets:
            assert name in catalog, (step, name)
        for name in in_options:
            is_file = (project / "src" / "clarilm_kedro" / name).is_file()
            assert name in known or name in catalog or is_file or name.startswith("--env "), (step, name)


def test_the_paper_map_has_every_step_that_asks_or_trains(project: Path) -> None:
    """A node that asks a chat model or trains is a step of the paper, so the map must lead to it."""
    text = (project / "docs" / "paper_to_code.md").read_text()
    steps = {
        node.name.rpartition(".")[2]
        for name, pipeline in register_pipelines().items()
        if name in ("cfd", "ofs", "training")
        for node in pipeline.nodes
        if set(node.inputs) & {"chat_llm", "reasoning_llm", "base_model"}
    }
    assert len(steps) > 8
    assert {name for name in steps if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("name", ["01_sessions_and_facets", "02_annotations", "03_compare_lora_runs"])
def test_notebooks_are_kept_without_outputs(project: Path, name: str) -> None:
    notebook = json.loads((project / "notebooks" / f"{name}.ipynb").read_text())
    cells = [each for each in notebook["cells"] if each["cell_type"] == "code"]
    assert cells
    assert all(each["outputs"] == [] and each["execution_count"] is None for each in cells)


def paths(tree: dict[str, Any], above: str = "") -> list[str]:
    return [
        path
        for key, value in tree.items()
        for path in (f"{above}{key}", *(paths(value, f"{above}{key}.") if isinstance(value, dict) else ()))
    ]
