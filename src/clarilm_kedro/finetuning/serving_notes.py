"""What lies beside an export for those who serve it: SERVING.md, a Modelfile, a request, export.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from clarilm_kedro.finetuning.encoding import decision_tokens
from clarilm_kedro.finetuning.gguf_metadata import Difference
from clarilm_kedro.finetuning.ollama import find_turns, modelfile
from clarilm_kedro.finetuning.template import Message, decision

#: The example in a request: put your own there.
QUESTION = "Recommend me a good laptop."
NOTE, REQUEST, MODELFILE, RECORD, TEMPLATE = (
    "SERVING.md",
    "request.json",
    "Modelfile",
    "export.json",
    "chat_template.jinja",
)
# vLLM takes no other ranks (vllm.config.lora.MaxLoRARanks).
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class Served:
    """What was exported, as its notes tell it.

    Attributes:
        variant: The adapter's name; ``base`` for the base model alone.
        format: merged, gguf or lora-gguf.
        weights: The number format.
        file: Name of the GGUF file; None of a folder of transformers.
        source: Name of the base model.
        base_folder: The base model as transformers loads it: a folder or a hub id.
        base_gguf: The base model's GGUF file, where it came from one.
        adapter: The adapter's folder.
        rank: The adapter's.
        system: The instruction that the model learnt.
        decides: Whether replies start with a decision (not those of FM-LOG).
        threshold: On P(ask); None where none was fitted.
        differences: What the base model's GGUF file says otherwise.
        base_adds_start: Whether a server puts the start token before what it reads with the base model's GGUF file.
    """

    variant: str
    format: str
    weights: str
    file: str | None
    source: str
    base_folder: str
    base_gguf: Path | None
    adapter: Path | None
    rank: int | None
    system: str
    decides: bool
    threshold: float | None
    differences: tuple[Difference, ...] = ()
    base_adds_start: bool = False


def write_notes(served: Served, tokenizer: Any, folder: Path) -> None:
    """Write the notes.

    Args:
        served: What was exported.
        tokenizer: With the chat template and the end token of the training.
        folder: The export's.
    """
    tokens = decision_tokens(tokenizer)
    started = str(tokenizer.decode(tokens.before))
    record = {
        "variant": served.variant,
        "format": served.format,
        "weights": served.weights,
        "base_model": served.source,
        "system": served.system,
        "end_of_turn": tokenizer.eos_token,
        "decision": None
        if not served.decides
        else {
            "reply_starts_with": started,
            "yes": {"id": tokens.yes, "text": str(tokenizer.decode([tokens.yes]))},
            "no": {"id": tokens.no, "text": str(tokenizer.decode([tokens.no]))},
            "threshold": served.threshold,
        },
        "otherwise_in_the_base_gguf": [each._asdict() for each in served.differences],
    }
    _write_json(folder / RECORD, record)
    _write_json(folder / REQUEST, _request(served, started))
    turns = find_turns(tokenizer, without_start=(tokenizer.bos_token or "") if served.base_adds_start else "")
    (folder / MODELFILE).write_text(
        modelfile(_origin(served), turns, served.system, tokenizer.eos_token), encoding="utf-8"
    )
    (folder / TEMPLATE).write_text(tokenizer.chat_template, encoding="utf-8")
    (folder / NOTE).write_text(_note(served, record), encoding="utf-8")


def _request(served: Served, started: str) -> dict[str, Any]:
    messages: list[Message] = [
        {"role": "system", "content": served.system},
        {"role": "user", "content": QUESTION},
    ]
    if not served.decides:
        return {"model": served.variant, "messages": messages, "temperature": 0}
    return {
        "model": served.variant,
        "messages": [*messages, {"role": "assistant", "content": started}],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 20,
        # vLLM needs both to go on with the assistant's message; llama.cpp does so by itself.
        "add_generation_prompt": False,
        "continue_final_message": True,
    }


def _origin(served: Served) -> list[str]:
    if served.format == "merged":
        return ["FROM ."]
    if served.format == "gguf":
        return [f"FROM ./{served.file}"]
    if served.base_gguf is None:
        return [f"# {_OWN_BASE}", "FROM ./base/base-f16.gguf", f"ADAPTER ./{served.file}"]
    lines = [f"FROM {served.base_gguf}", f"ADAPTER ./{served.file}"]
    if _other_tokens(served):
        lines.insert(0, f"# The base file splits text in another way than the training did. {_OWN_BASE}")
    return lines


_OWN_BASE = (
    "This makes a base file that reads text as the training did: "
    "kedro clarilm export --variant base --format gguf --out base"
)


def _other_tokens(served: Served) -> Difference | None:
    return next((each for each in served.differences if each.key == "tokenizer.ggml.pre"), None)


def _note(served: Served, record: dict[str, Any]) -> str:
    title = (
        f"# {served.variant}: {served.format}, {served.weights}, of {served.source}\n\n"
        "The commands are run in this folder; whole paths are those of the machine that wrote it.\n"
    )
    parts = [title, _llama_cpp(served), _ollama(served), _vllm(served), _contract(served, record)]
    return "\n".join(part for part in parts if part)


def _llama_cpp(served: Served) -> str:
    if served.file is None:
        return ""
    told = [
        f"- The base file says {each.key} = {each.base}; the model was trained with {each.trained or 'none'}."
        for each in served.differences
    ]
    if served.format == "gguf":
        command = f"llama-server -m {served.file} --jinja"
        told += ["", "This file says what the model was trained with."] if told else []
    else:
        other = _other_tokens(served)
        splits = f" --override-kv {other.key}=str:{other.trained}" if other else ""
        command = (
            f"llama-server -m {quote(str(served.base_gguf or 'BASE.gguf'))} --lora {served.file}{splits} \\\n"
            f"  --jinja --chat-template-file {TEMPLATE}"
        )
        told += ["", _OWN_BASE] if told or served.base_gguf is None else []
    lines = ["## llama.cpp", "", "```bash", command, "```"]
    return "\n".join([*lines, "", *told] if told else lines) + "\n"


def _ollama(served: Served) -> str:
    name = served.variant.replace("_", "-")
    lines = ["## Ollama", "", "```bash", f"ollama create {name} -f Modelfile", f'ollama run {name} "{QUESTION}"', "```"]
    if served.format == "merged":
        lines += ["", "Ollama converts the weights itself; `--format gguf` gives it a file instead."]
    return "\n".join(lines) + "\n"


def _vllm(served: Served) -> str:
    if served.format == "merged":
        return f"## vLLM\n\n```bash\nvllm serve . --served-model-name {served.variant}\n```\n"
    if served.adapter is None or served.rank is None:
        return ""
    rank = next((rank for rank in _VLLM_RANKS if rank >= served.rank), served.rank)
    return f"""## vLLM, adapter beside base model

```bash
vllm serve {quote(served.base_folder)} --enable-lora --max-lora-rank {rank} \\
  --lora-modules {served.variant}={quote(str(served.adapter))} --chat-template {TEMPLATE}
```

`--format merged` gives a folder that vLLM serves without an adapter.
"""


def _contract(served: Served, record: dict[str, Any]) -> str:
    asked = f"""## How it is asked

System message, always this one: `{served.system}`

Then the user's question, in the chat template of {TEMPLATE}; a reply ends with `{record["end_of_turn"]}`.
"""
    decided = record["decision"]
    if decided is None:
        return f"{asked}The reply is a detail that the request leaves open, and on the next line the question for it.\n"
    limit = "was not fitted: take 0.5" if served.threshold is None else f"is {served.threshold:.4f}"
    yes, no = (f"`{decided[name]['text']}` (token {decided[name]['id']})" for name in ("yes", "no"))
    return f"""{asked}
A reply is `{decision(True)}` or `{decision(False)}`, a line break, then a clarifying question or an answer.
The decision that was evaluated is P(ask) against a threshold, which {limit}:

```bash
curl -s http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' -d @{REQUEST}
```

{REQUEST} begins the reply with `{decided["reply_starts_with"]}` and asks for one token and the likeliest in its place.
Take the logprobs of {yes} and {no}:
P(ask) = exp(yes) / (exp(yes) + exp(no)); one that is not among them counts as 0. Ask where P(ask) is at least the
threshold. Then send the messages again, the last one being `{decision(True)}` or `{decision(False)}` with a line
break, without max_tokens and logprobs: the server goes on with the question or the answer. The port is llama.cpp's;
vLLM listens on 8000.
"""


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
