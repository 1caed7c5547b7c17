"""Mermaid drawings of the stages that ask a chat model: what fills the prompt, who is asked, what shape a reply has.

A drawing is made of the objects that a run uses: the node's inputs and outputs, the variables and sections of the
prompt template, and the JSON schema that travels in the request.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from clarilm_kedro.chat.prompts import PromptTemplate
from clarilm_kedro.chat.types import ResponseSchema

_CLASSES = """
classDef data fill:#e8f1fa,stroke:#3b75af,color:#111
classDef prompt fill:#fdf3d8,stroke:#b58a00,color:#111
classDef model fill:#e9e2f5,stroke:#6a4fa3,color:#111
classDef reply fill:#e4f2e4,stroke:#3f8f3f,color:#111
"""


def draw_stage(
    *,
    rows: Sequence[str],
    options: Sequence[str],
    prompt: tuple[str, PromptTemplate],
    models: Sequence[str],
    reply: type[BaseModel] | str,
    outputs: Sequence[str],
) -> str:
    """Draw one stage.

    Args:
        rows: Names of the datasets whose rows fill the prompt.
        options: Names of the parameters.
        prompt: The prompt's name and its template.
        models: Names of the chat models that are asked.
        reply: Model of a JSON reply, or a description of a text.
        outputs: Names of the datasets made of the replies.

    Returns:
        A Mermaid flow chart.
    """
    name, template = prompt
    lines = ["flowchart TD", *_boxes("row", rows, "data"), *_boxes("option", options, "data", ("([", "])"))]
    told = [name, "messages: " + ", ".join(template.roles), "variables: " + ", ".join(template.variables)]
    lines += [
        _box("prompt", told, "prompt"),
        *_boxes("model", models, "model", ("([", "])")),
        _box("reply", [reply] if isinstance(reply, str) else [reply.__name__, *fields(reply)], "reply"),
        *_boxes("output", outputs, "data"),
    ]
    lines += [f"row{number} --> prompt" for number in range(len(rows))]
    lines += [f"option{number} -.-> prompt" for number in range(len(options))]
    lines += [f"prompt --> model{number}" for number in range(len(models))]
    shape = "text" if isinstance(reply, str) else "JSON"
    lines += [f"model{number} -->|{shape}| reply" for number in range(len(models))]
    lines += [f"reply --> output{number}" for number in range(len(outputs))]
    return "\n".join(lines) + _CLASSES


def fields(reply: type[BaseModel]) -> list[str]:
    """Read the fields of a reply off the JSON schema that the request carries.

    Args:
        reply: Model of the reply.

    Returns:
        One line per field: its name and type; fields of nested objects stand behind them, with a mark.
    """
    schema = ResponseSchema("reply", reply).response_format["json_schema"]["schema"]
    return list(_fields(schema, schema.get("$defs", {}), ""))


def _fields(schema: dict[str, Any], definitions: dict[str, Any], mark: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        shape = _resolved(field, definitions)
        inner = _resolved(shape.get("items", {}), definitions)
        yield f"{mark}{name}: {_type(shape, inner)}"
        yield from _fields(inner or shape, definitions, f"{mark}- ")


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    target = schema.get("$ref", "").rpartition("/")[2]
    return definitions[target] if target else schema


def _type(schema: dict[str, Any], inner: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(str(each) for each in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(each, {}) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(inner, {})}"
    return str(schema.get("type", schema.get("const", "any")))


def _boxes(kind: str, names: Sequence[str], style: str, shape: tuple[str, str] = ("[", "]")) -> Iterator[str]:
    return (_box(f"{kind}{number}", [name], style, shape) for number, name in enumerate(names))


def _box(key: str, lines: Sequence[str], style: str, shape: tuple[str, str] = ("[", "]")) -> str:
    text = "<br/>".join(line.replace("#", "#35;").replace('"', "#quot;") for line in lines)
    return f'{key}{shape[0]}"{text}"{shape[1]}:::{style}'
