"""Prompt templates: Jinja2 text in which data can stand only inside marked blocks.

A template has sections that open with a line ``## system``, ``## user`` or ``## assistant``. Data is written with
``{{ block("question", question) }}``, which gives::

    <question>
    ...
    </question>

Text from logs and models is never a template, cannot close its block and cannot hold a chat control token: such strings
are broken with a zero-width space, which leaves them readable.
"""

import hashlib
import json
import re
from functools import cached_property
from typing import Any, cast

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from clarilm_kedro.chat.types import Message, Role
from clarilm_kedro.errors import ClarilmError

ZERO_WIDTH_SPACE = "\u200b"

_SECTION = re.compile(r"^##[ \t]+(system|user|assistant)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_BLOCK_NAME = re.compile(r"[a-z][a-z0-9_]*")
# The first character of a control token is matched, the rest only looked at, so that no token hides in another.
# ChatML, Llama 3, Phi (<|...|>), DeepSeek (full-width bars), Llama 2 and Mistral ([INST], <<SYS>>, <s>), Gemma
# (<start_of_turn>), thoughts and tool calls.
_CONTROL = re.compile(
    r"<(?=[|\uff5c])"
    r"|[|\uff5c](?=>)"
    r"|<(?=<\s*/?\s*SYS)"
    r"|\[(?=\s*/?\s*(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\s*\])"
    r"|<(?=\s*/?\s*(?:s|bos|eos|pad|unk|think|start_of_turn|end_of_turn|tool_call|tool_response)\s*>)",
    re.IGNORECASE,
)
# JSON leaves these line ends as they are, but a value must stay on its line.
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\u0085\u2028\u2029"}


def well_formed(text: str) -> str:
    """Replace lone surrogates, which no file and no request can carry, with the replacement character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def neutralise(text: str, block_names: frozenset[str] = frozenset()) -> str:
    """Break chat control tokens and block tags in data with a zero-width space.

    Args:
        text: Any data.
        block_names: Names whose opening and closing tags are broken too.

    Returns:
        The text with every such token broken after its first character; otherwise unchanged.
    """
    broken = _CONTROL.sub(_break, well_formed(text))
    if block_names:
        tags = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(sorted(block_names))})\b)", re.IGNORECASE)
        broken = tags.sub(_break, broken)
    return broken


def _break(match: re.Match[str]) -> str:
    return match.group() + ZERO_WIDTH_SPACE


class _Block(str):
    """Text that :meth:`PromptTemplate._block` made; the only text a template may write out."""

    __slots__ = ()


class PromptTemplate:
    """A prompt with places for data.

    Args:
        name: Appears in error messages.
        text: The template.

    Raises:
        ClarilmError: The text is not a template, has no ``## user`` section, or names a block by an expression.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, finalize=self._finalize, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        self._environment.globals = {"block": self._block}
        try:
            self._block_names = self._find_block_names()
            self._sections = self._compile()
        except TemplateSyntaxError as error:
            raise ClarilmError(f"Prompt '{name}', line {error.lineno}: {error.message}.") from error

    @classmethod
    def from_text(cls, name: str, text: str) -> "PromptTemplate":
        """Read a template; see the class."""
        return cls(name, text)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the template's text."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles of the messages, in order."""
        return tuple(role for role, _ in self._sections)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Names of the values that :meth:`render` takes, in alphabetical order."""
        asked = meta.find_undeclared_variables(self._environment.parse(self.text))
        return tuple(sorted(asked - self._environment.globals.keys()))

    def render(self, **data: Any) -> tuple[Message, ...]:
        """Fill in data.

        Args:
            **data: A text is written as it is; a list as one JSON value per line; a dictionary or a number as JSON.

        Returns:
            One message per section.

        Raises:
            ClarilmError: The template needs a value that is not given, or writes a text outside ``block``.
        """
        try:
            return tuple(Message(role, section.render(data).strip()) for role, section in self._sections)
        except TemplateError as error:
            raise ClarilmError(f"Prompt '{self.name}' cannot be rendered: {error.message}.") from error

    def _find_block_names(self) -> frozenset[str]:
        calls = self._environment.parse(self.text).find_all(nodes.Call)
        names = set()
        for call in calls:
            if not isinstance(call.node, nodes.Name) or call.node.name != "block":
                continue
            first = call.args[0].value if call.args and isinstance(call.args[0], nodes.Const) else None
            if not isinstance(first, str) or not _BLOCK_NAME.fullmatch(first):
                raise TemplateSyntaxError("block() takes its name as a quoted lower-case word", call.lineno)
            names.add(first)
        return frozenset(names)

    def _compile(self) -> list[tuple[Role, Template]]:
        before, *parts = _SECTION.split(self.text)
        roles = [cast(Role, role.lower()) for role in parts[::2]]
        if before.strip() or "user" not in roles:
            raise ClarilmError(
                f"Prompt '{self.name}' must begin with a line '## system' or '## user' and have a '## user' section."
            )
        return [(role, self._environment.from_string(text)) for role, text in zip(roles, parts[1::2], strict=True)]

    def _block(self, name: str, data: Any) -> _Block:
        return _Block(f"<{name}>\n{neutralise(_written(data), self._block_names)}\n</{name}>")

    def _finalize(self, value: Any) -> Any:
        """Let through what ``block`` made and numbers; runs on every ``{{ ... }}``."""
        if isinstance(value, _Block | int | float | Undefined):
            return value
        raise ClarilmError(
            f"Prompt '{self.name}' writes a {type(value).__name__} outside a block. "
            'Data goes into a prompt only through {{ block("name", value) }}.'
        )


def _written(data: Any) -> str:
    if isinstance(data, Undefined):
        return str(data)  # raises, naming the variable
    if isinstance(data, str):
        return data
    if isinstance(data, list | tuple):
        return "\n".join(_json_line(item) for item in data)
    return _json_line(data)


def _json_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain).translate(_LINE_ENDS)


def _plain(value: Any) -> Any:
    """Give a numpy value, as parquet columns hold them, in plain Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ClarilmError(f"A {type(value).__name__} cannot be written into a prompt as JSON.")
