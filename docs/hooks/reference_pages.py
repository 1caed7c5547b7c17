"""Pages of the reference that are made from the project itself, so that they cannot fall behind it."""

import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from clarilm_kedro.commands.common import clarilm
from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.pipeline_registry import register_pipelines

ROOT = Path(__file__).parents[2]
PACKAGE = "clarilm_kedro"
#: Folders of conf/base whose entries no pipeline of the same name makes.
_CHAT = "chat"


def reference_pages() -> dict[str, str]:
    """Make every page.

    Returns:
        Markdown by path below ``docs``.
    """
    pipelines = register_pipelines()
    loader = ChainedConfigLoader(ROOT / "conf", base_env="base", default_run_env="base")
    return {
        "reference/pipelines.md": pipelines_page(pipelines),
        "reference/datasets.md": datasets_page(pipelines, loader["catalog"]),
        "reference/options.md": options_page(pipelines, loader["parameters"]),
        "reference/globals.md": globals_page(),
        "reference/commands.md": commands_page(),
        **{f"reference/python/{name}.md": module_page(name) for name in packages()},
    }


def packages() -> list[str]:
    """Name the parts of the package that get a page, the modules beside them gathered under ``project``."""
    root = ROOT / "src" / PACKAGE
    return [*sorted(each.parent.name for each in root.glob("*/__init__.py")), "project"]


def module_page(name: str) -> str:
    """Write a page that mkdocstrings fills from the docstrings of the modules of one part of the package."""
    root = ROOT / "src" / PACKAGE
    if name == "project":
        files: Iterable[Path] = root.glob("*.py")
        heading = f"# {PACKAGE}: configuration, hooks, planning"
    else:
        files = (root / name).rglob("*.py")
        heading = f"# {PACKAGE}.{name}"
    modules = sorted({_module(file) for file in files if not _private(file)})
    return "\n\n".join([heading, *(f"::: {each}" for each in modules)]) + "\n"


def pipelines_page(pipelines: Mapping[str, Pipeline]) -> str:
    """List the nodes of every pipeline: what each does, reads and writes."""
    lines = [
        "# Pipelines and nodes",
        "",
        "`kedro run` runs those of `__default__`; `kedro run --pipeline=NAME` runs one. "
        "Sentences are those of the docstrings.",
    ]
    default = {node.name for node in pipelines["__default__"].nodes}
    for name, pipeline in pipelines.items():
        if name == "__default__":
            continue
        part = "" if {node.name for node in pipeline.nodes} <= default else ", not part of the default run"
        lines += ["", f"## {name}", "", f"{len(pipeline.nodes)} nodes{part}.", ""]
        lines += ["| node | what it does | reads | writes |", "|---|---|---|---|"]
        for node in pipeline.nodes:
            reads = _codes(each for each in node.inputs if not each.startswith("params:"))
            lines.append(f"| `{node.name}` | {_first_sentence(node)} | {reads} | {_codes(node.outputs)} |")
    return "\n".join(lines) + "\n"


def datasets_page(pipelines: Mapping[str, Pipeline], catalog: Mapping[str, Mapping[str, Any]]) -> str:
    """List every entry of the catalog with its layer, file, makers and readers."""
    makers, readers = _neighbours(pipelines)
    lines = [
        "# Datasets",
        "",
        "Every entry of the catalog (`conf/base/*/catalog.yml`), by the pipeline whose folder it stands in. "
        "`catalog.load(NAME)` in `kedro ipython` gives its content. Files are those of the environment `base`; other "
        "environments have another `store` in place of `data`. A name in braces is a pattern.",
    ]
    for folder, names in _entries_by_folder().items():
        lines += [
            "",
            f"## {folder}",
            "",
            "| dataset | what | layer | kind and file | made by | read by |",
            "|---|---|---|---|---|---|",
        ]
        for name in names:
            entry = catalog[name]
            metadata = entry.get("metadata") or {}
            file = f"`{entry['filepath']}`" if entry.get("filepath") else ""
            kind = str(entry["type"]).rpartition(".")[2]
            layer = (metadata.get("kedro-viz") or {}).get("layer", "")
            lines.append(
                f"| `{name}` | {_cell(metadata.get('description', ''))} | {layer} | {kind} {file} "
                f"| {_codes(makers.get(name, ()))} | {_codes(readers.get(name, ()))} |"
            )
    return "\n".join(lines) + "\n"


def options_page(pipelines: Mapping[str, Pipeline], parameters: Mapping[str, Any]) -> str:
    """List every option of every node: name, type, value in ``base``, meaning."""
    lines = [
        "# Options",
        "",
        "Options of the nodes, as they stand in `conf/base/*/parameters.yml`; `kedro run --params NAME=VALUE` changes "
        "one for a run. Many take their value from a global ([globals](globals.md)): change the global where an "
        "environment should differ. "
        "A name that is not here, or a value of another type, ends the run before it starts.",
    ]
    for path, model in sorted(option_blocks(pipelines).items()):
        given: Any = parameters
        for part in path.split("."):
            given = given[part]
        lines += ["", f"## {path}", "", _cell(inspect.getdoc(model) or "").split("  ")[0], ""]
        lines += ["| option | type | value | meaning |", "|---|---|---|---|"]
        for name, field in model.model_fields.items():
            value = yaml.safe_dump(given.get(name), default_flow_style=True, width=10_000).split("\n")[0]
            meaning = _cell(field.description or "")
            lines.append(f"| `{path}.{name}` | `{_code(_type(field.annotation))}` | `{_code(value)}` | {meaning} |")
    return "\n".join(lines) + "\n"


def option_blocks(pipelines: Mapping[str, Pipeline]) -> dict[str, Any]:
    """Find the Pydantic model of every ``params:`` input by the type hint of the argument that takes it."""
    blocks: dict[str, Any] = {}
    for pipeline in pipelines.values():
        for node in pipeline.nodes:
            inputs = node._inputs if isinstance(node._inputs, list) else [node._inputs]
            for name, argument in zip(inputs, inspect.signature(node.func).parameters.values(), strict=False):
                if (
                    isinstance(name, str)
                    and name.startswith("params:")
                    and hasattr(argument.annotation, "model_fields")
                ):
                    blocks[name.removeprefix("params:")] = argument.annotation
    return blocks


def globals_page() -> str:
    """Show the globals of every environment as they stand in the files, with their comments."""
    lines = [
        "# Globals and environments",
        "",
        "What environments change. `kedro run --env NAME` takes the environment's values over those of `base`, and "
        "`conf/local` over both; `kedro run --params NAME=VALUE` changes one global for a run. An environment may "
        "extend another one.",
    ]
    for file in sorted(ROOT.glob("conf/*/globals.yml"), key=lambda each: (each.parent.name != "base", each)):
        if file.parent.name != "local":
            lines += ["", f"## {file.parent.name}", "", "```yaml", file.read_text(encoding="utf-8").rstrip(), "```"]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Show the help of every command of the project."""
    lines = [
        "# Commands",
        "",
        "The project's own commands beside Kedro's (`kedro run`, `kedro ipython`, `kedro registry list`, ...), as "
        "`--help` prints them.",
    ]
    for name, text in _helps(clarilm, None, "kedro clarilm"):
        lines += ["", f"## {name}", "", "```text", text, "```"]
    return "\n".join(lines) + "\n"


def _helps(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    # The parent's name is part of the usage line.
    context = click.Context(
        command, info_name=name.rpartition(" ")[2] if parent else name, parent=parent, max_content_width=110
    )
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for key in command.list_commands(context):
            yield from _helps(command.commands[key], context, f"{name} {key}")


def _entries_by_folder() -> dict[str, list[str]]:
    """Names of the catalog's entries by folder, in the order rows flow through the pipelines."""
    order = ["ingestion", "cfd", "ofs", "training", "evaluation", "audit", "judge", "download", "published", _CHAT]
    files = sorted(
        (ROOT / "conf" / "base").glob("*/catalog.yml"),
        key=lambda each: (order.index(each.parent.name) if each.parent.name in order else len(order), each),
    )
    return {
        file.parent.name: [
            name for name in yaml.safe_load(file.read_text(encoding="utf-8")) if not name.startswith("_")
        ]
        for file in files
    }


def _neighbours(pipelines: Mapping[str, Pipeline]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    makers: dict[str, list[str]] = defaultdict(list)
    readers: dict[str, list[str]] = defaultdict(list)
    for pipeline in pipelines.values():
        for node in pipeline.nodes:
            for found, names in ((makers, node.outputs), (readers, node.inputs)):
                for name in names:
                    if node.name not in found[name]:
                        found[name].append(node.name)
    return makers, readers


def _first_sentence(node: Node) -> str:
    text = inspect.getdoc(inspect.unwrap(node.func)) or ""
    return _cell(re.split(r"\n\s*\n", text)[0])


def _type(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return re.sub(r"\b(?:typing|pathlib|collections\.abc|clarilm_kedro(?:\.\w+)*)\.", "", text)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{_code(name)}`" for name in names)


def _code(text: str) -> str:
    """Write text for a code span in a table's cell."""
    return text.replace("|", "\\|").replace("`", "'")


def _cell(text: str) -> str:
    """Write text for a table's cell: one line, nothing that is read as markup."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").replace("``", "`")


def _module(file: Path) -> str:
    parts = file.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _private(file: Path) -> bool:
    parts = file.relative_to(ROOT / "src").with_suffix("").parts
    return any(part.startswith("_") and part not in ("__init__",) for part in parts)
