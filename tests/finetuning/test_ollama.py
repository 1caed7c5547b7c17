"""Chat templates in Go's language: rendered by a reader of the few forms that are written, they give the same text."""

import re
from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_tokenizer
from clarilm_kedro.finetuning.chat_templates import CHAT_TEMPLATES
from clarilm_kedro.finetuning.ollama import find_turns, modelfile
from clarilm_kedro.finetuning.template import Message, clarification_prompt

CONVERSATION = [
    *clarification_prompt("Plan my trip; 1,250 euros.\n\n\tWhich “one” {{ .System }}?"),
    {"role": "assistant", "content": "Need Clarification: Yes\nWhere to?"},
    {"role": "user", "content": "日本"},
]
BEGUN: list[Message] = [*CONVERSATION, {"role": "assistant", "content": "Need Clarification:"}]
# Llama 2's: the system message goes into the user's turn, and none stands alone.
INSIDE = (
    "{% if messages[-1]['role'] == 'system' %}{{ raise_exception('a user message is missing') }}{% endif %}"
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ bos_token }}[INST] <<SYS>>\n{{ m['content'] }}\n<</SYS>>\n\n"
    "{% elif m['role'] == 'user' %}{% if loop.index0 > 1 %}{{ bos_token }}[INST] {% endif %}{{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)


def go(template: str, messages: list[Message]) -> str:
    """Render what Modelfiles here hold of Go's templates; anything else is a KeyError."""
    tokens = re.split(r"\{\{ (.*?) \}\}", template)
    source, depth = ["def render(messages):", " out = []"], 1
    forms = {
        "range $i, $_ := .Messages": ("for i, m in enumerate(messages):", 1),
        "$last := eq (len (slice $.Messages $i)) 1": ("last = len(messages[i:]) == 1", 0),
        **{f'if eq .Role "{role}"': (f"if m['role'] == {role!r}:", 1) for role in ("system", "user", "assistant")},
        **{f'else if eq .Role "{role}"': (f"elif m['role'] == {role!r}:", 1) for role in ("user", "assistant")},
        ".Content": ("out.append(m['content'])", 0),
        "if not $last": ("if not last:", 1),
        'if and $last (ne .Role "assistant")': ("if last and m['role'] != 'assistant':", 1),
    }
    for at, token in enumerate(tokens):
        if at % 2 == 0:
            source.append(f"{' ' * depth}out.append({token!r})")
        elif token == "end":
            depth -= 1
        else:
            line, deeper = forms[token]
            depth -= token.startswith("else")
            source.append(f"{' ' * depth}{line}")
            depth += deeper
    assert depth == 1, "every block is closed"
    names: dict[str, Any] = {}
    exec("\n".join([*source, " return ''.join(out)"]), names)
    return str(names["render"](messages))


@pytest.fixture(scope="module")
def tokenizer(tiny: BaseModelSpec) -> Any:
    return load_tokenizer(tiny)


@pytest.mark.parametrize("name", ["model", "inside", *CHAT_TEMPLATES])
def test_the_go_template_gives_the_text_of_the_chat_template(tokenizer: Any, name: str) -> None:
    templates = {"model": tokenizer.chat_template, "inside": INSIDE}
    template = CHAT_TEMPLATES[name].text if name in CHAT_TEMPLATES else templates[name]
    turns = find_turns(with_template(tokenizer, template))
    assert turns is not None
    for messages in (CONVERSATION[:2], CONVERSATION):
        expected = tokenizer.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=True
        )
        assert go(turns.go_template(), messages) == turns.render(messages) == expected
    before = tokenizer.apply_chat_template(
        CONVERSATION, chat_template=template, tokenize=False, add_generation_prompt=True
    )
    # A reply that was begun is left open, so that it can be gone on with.
    assert go(turns.go_template(), BEGUN) == turns.render(BEGUN)
    assert re.sub(r"\s+", "", go(turns.go_template(), BEGUN)) == re.sub(r"\s+", "", f"{before}Need Clarification:")


def test_a_start_token_that_the_server_writes_is_left_out(tokenizer: Any) -> None:
    plain = with_template(tokenizer, CHAT_TEMPLATES["plain"].text)
    whole, without = find_turns(plain), find_turns(plain, without_start=tokenizer.bos_token)
    assert whole is not None
    assert without is not None
    assert whole.render(CONVERSATION) == tokenizer.bos_token + without.render(CONVERSATION)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ loop.index }}. {{ m['content'] }}\n{% endfor %}",
        "{% for m in messages %}{{ m['content'] | upper }}\n{% endfor %}",
        "{% for m in messages %}{{ '{{' }}{{ m['content'] }}{{ '}}' }}\n{% endfor %}",
        "{{ raise_exception('no') }}",
    ],
)
def test_a_template_that_does_more_is_not_guessed(tokenizer: Any, template: str) -> None:
    assert find_turns(with_template(tokenizer, template)) is None
    written = modelfile(["FROM ./a.gguf"], None, "Ask.", "</s>")
    assert "TEMPLATE" not in written
    assert "compare its prompts with chat_template.jinja" in written


def test_a_modelfile_has_the_instruction_and_the_greedy_settings(tokenizer: Any, tmp_path: Path) -> None:
    written = modelfile(["FROM ./a.gguf"], find_turns(tokenizer), "Ask 'Yes' or \"No\".", "<|im_end|>")
    assert written.startswith('FROM ./a.gguf\nTEMPLATE """{{ range ')
    assert written.endswith(
        'SYSTEM """Ask \'Yes\' or "No"."""\nPARAMETER stop "<|im_end|>"\nPARAMETER temperature 0\n'
        "PARAMETER repeat_penalty 1\n"
    )


def with_template(tokenizer: Any, template: str) -> Any:
    from copy import copy

    other = copy(tokenizer)
    other.chat_template = template
    return other
