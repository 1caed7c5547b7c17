"""A Modelfile for Ollama: the model's file, its chat template in Go's language, the instruction it learnt.

Ollama does not read Jinja. A template that writes every message as a text before and a text after its content (those of
this project and of most models do) is turned into Go's by rendering it with marked messages and cutting between marks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from clarilm_kedro.finetuning.template import Message

_MARKS = ("Mark0er", "Mark1er", "Mark2er", "Mark3er")
_ROLES = ("system", "user", "assistant", "user")
# What neither a Go template nor a string of a Modelfile holds as it stands.
_UNWRITABLE = ('"""', "{{", "}}")


@dataclass(frozen=True)
class Turns:
    """The texts around the contents of messages.

    Attributes:
        around: Role -> the texts before and after; the first includes what a conversation starts with, where the
            system message is that start.
        opening: What stands before the reply.
    """

    around: dict[str, tuple[str, str]]
    opening: str

    def render(self, messages: Sequence[Message]) -> str:
        """Write messages, up to where the reply starts; a last message of the assistant is left open.

        Args:
            messages: The first is the system's.

        Returns:
            The text.
        """
        parts = []
        for at, message in enumerate(messages):
            before, after = self.around[message["role"]]
            last = at == len(messages) - 1
            parts += [before, message["content"]]
            if message["role"] != "assistant" or not last:
                parts.append(after)
            if message["role"] != "assistant" and last:
                parts.append(self.opening)
        return "".join(parts)

    def go_template(self) -> str:
        """Write the same in Go's language, with the variables that Ollama gives a template."""
        cases = []
        for role, (before, after) in self.around.items():
            end = after if role != "assistant" else f"{{{{ if not $last }}}}{after}{{{{ end }}}}"
            cases.append(f'if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{end}{{{{ ')
        return (
            "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}{{ "
            + "else ".join(cases)
            + f'end }}}}{{{{ if and $last (ne .Role "assistant") }}}}{self.opening}{{{{ end }}}}{{{{ end }}}}'
        )


def find_turns(tokenizer: Any, *, without_start: str = "") -> Turns | None:
    """Take a chat template apart.

    Args:
        tokenizer: Holds it.
        without_start: Left out at the start of a conversation: a token that the server puts there by itself.

    Returns:
        The texts around contents, or None where the template does more than put texts around them.
    """
    messages = [{"role": role, "content": mark} for role, mark in zip(_ROLES, _MARKS, strict=True)]
    try:
        whole = _render(tokenizer, messages, opened=True)
        closed = _render(tokenizer, messages, opened=False)
        cuts = [0, *(at for mark in _MARKS for at in (whole.index(mark), whole.index(mark) + len(mark))), len(whole)]
        texts = [whole[start:end] for start, end in list(pairwise(cuts))[::2]]
    except (ValueError, _template_error()):
        return None
    start, to_user, to_assistant, to_next, end = texts
    opening = whole.removeprefix(closed)
    after_user = end.removesuffix(opening)
    after_system = _after_system(tokenizer, to_user)
    before_user = to_user.removeprefix(after_system)
    turns = Turns(
        {
            "system": (start.removeprefix(without_start), after_system),
            "user": (before_user, after_user),
            "assistant": (to_assistant.removeprefix(after_user), to_next.removesuffix(before_user)),
        },
        opening,
    )
    texts = [opening, *(text for pair in turns.around.values() for text in pair)]
    if any(sign in text for text in texts for sign in _UNWRITABLE):
        return None
    probes = ([*messages[:1], messages[1]], messages, [*messages, *messages[2:]])
    whole_texts = [_render(tokenizer, probe, opened=True).removeprefix(without_start) for probe in probes]
    return turns if [turns.render(probe) for probe in probes] == whole_texts else None


def modelfile(origin: Sequence[str], turns: Turns | None, system: str, stop: str) -> str:
    """Write a Modelfile.

    Args:
        origin: Its first lines: FROM, ADAPTER, comments.
        turns: The chat template, taken apart; without it Ollama has to know the template that the GGUF file names.
        system: The instruction that the model learnt.
        stop: The text of the token that ends a turn.

    Returns:
        The file's content.
    """
    template = (
        [f'TEMPLATE """{turns.go_template()}"""']
        if turns
        else [
            "# The chat template does more than put texts around messages, so it is not written in Go's language here.",
            "# Ollama then takes one of its own that resembles it: compare its prompts with chat_template.jinja first.",
        ]
    )
    lines = [
        *origin,
        *template,
        f'SYSTEM """{system}"""',
        f'PARAMETER stop "{stop}"',
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
    ]
    return "\n".join(lines) + "\n"


def _after_system(tokenizer: Any, to_user: str) -> str:
    """Find where a system message ends; where none can stand alone, its end counts as the user's start."""
    try:
        alone = _render(tokenizer, [{"role": "system", "content": _MARKS[0]}], opened=False)
    except _template_error():
        return to_user
    after = alone.partition(_MARKS[0])[2]
    return after if to_user.startswith(after) else to_user


def _render(tokenizer: Any, messages: Sequence[Message], *, opened: bool) -> str:
    return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=opened))


def _template_error() -> type[Exception]:
    from jinja2 import TemplateError

    return TemplateError
