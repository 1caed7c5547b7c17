"""Exports in llama.cpp beside the merged model in transformers: greedy texts of the same prompts, and P(ask).

The merged export in float32 is the reference: transformers decodes it one prompt at a time. Then llama.cpp answers the
same chat messages with each GGUF export, and with the LoRA beside a base model's file: the one it was trained on, which
is quantised, and one written by `--variant base`. P(ask) is read from logprobs as SERVING.md says.

    kedro run --env test
    python benchmarks/export_equality.py --store data/test
"""

import argparse
import json
import math
import re
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clarilm_kedro.chat.llama_cpp import LlamaCppServer
from clarilm_kedro.chat.options import LlamaCppOptions
from clarilm_kedro.finetuning.base_model import BaseModelSpec, gguf_source
from clarilm_kedro.finetuning.exporting import Exportable, export
from clarilm_kedro.finetuning.template import clarification_prompt
from machine import describe_machine

ROOT = Path(__file__).parents[1]
MAX_NEW_TOKENS = 64


class Reply(NamedTuple):
    """What a program made of a prompt."""

    tokens: list[int]
    text: str
    p_ask: float


class Way(NamedTuple):
    """A way of serving: its name, the file, a LoRA beside it."""

    name: str
    gguf: Path
    lora: Path | None = None


def in_transformers(merged: Path, questions: Sequence[str]) -> list[Reply]:
    """Decode with the exported folder alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(merged)
    decided = json.loads((merged / "export.json").read_text(encoding="utf-8"))["decision"]
    replies = []
    for question in questions:
        prompt = tokenizer.apply_chat_template(
            clarification_prompt(question), tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        begun = tokenizer(decided["reply_starts_with"], add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_NEW_TOKENS)
            logits = model(torch.cat([ids, begun], dim=1)).logits[0, -1]
        new = out[0, ids.shape[1] :].tolist()
        p_ask = torch.softmax(logits[[decided["yes"]["id"], decided["no"]["id"]]], dim=-1)[0].item()
        replies.append(Reply(new, tokenizer.decode(new, skip_special_tokens=True), p_ask))
    return replies


def in_llama_cpp(way: Way, folder: Path, questions: Sequence[str], slots: int) -> list[Reply]:
    """Ask a llama.cpp server, one request after the other."""
    options = LlamaCppOptions(
        kind="llama_cpp",
        gguf=str(way.gguf),
        lora=str(way.lora) if way.lora else None,
        slots=slots,
        n_ctx=1024,
        threads=None,
        log_file=folder / "llama.log",
    )
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    decided = json.loads((folder / "export.json").read_text(encoding="utf-8"))["decision"]
    with served(options) as url:
        replies = []
        for question in questions:
            messages = [dict(message) for message in request["messages"]]
            messages[1]["content"] = question
            asked = {"messages": messages[:2], "max_tokens": MAX_NEW_TOKENS, "temperature": 0, "logprobs": True}
            choice = post(url, asked)["choices"][0]
            content = choice["logprobs"]["content"]
            deciding = post(url, {**request, "messages": messages})["choices"][0]["logprobs"]["content"][0]
            found = {each["id"]: each["logprob"] for each in deciding["top_logprobs"]}
            yes, no = (math.exp(found.get(decided[name]["id"], -math.inf)) for name in ("yes", "no"))
            replies.append(Reply([each["id"] for each in content], choice["message"]["content"], yes / (yes + no)))
    return replies


@contextmanager
def served(options: LlamaCppOptions) -> Iterator[str]:
    """Run a server for the length of a block."""
    server = LlamaCppServer(options)
    try:
        yield server.start()
    finally:
        server.stop()


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a chat request to a server on this machine."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/chat/completions", data, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as answer:
        return dict(json.load(answer))


def first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the tokens that two replies begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def row(name: str, size: int, found: Sequence[Reply], reference: Sequence[Reply], threshold: float) -> str:
    """Compare with the reference, as a row of the table."""
    pairs = list(zip(found, reference, strict=True))
    same = sum(one.text == other.text for one, other in pairs)
    firsts = sorted(first_difference(one.tokens, other.tokens) for one, other in pairs if one.text != other.text)
    apart = max(abs(one.p_ask - other.p_ask) for one, other in pairs)
    decisions = sum((one.p_ask >= threshold) == (other.p_ask >= threshold) for one, other in pairs)
    told = ", ".join(str(first) for first in firsts) or "none"
    return (
        f"| {name} | {size / 1e6:.0f} | {same} of {len(pairs)} | {told} | {apart:.5f} | {decisions} of {len(pairs)} |"
    )


def main() -> None:
    """Export, ask, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=ROOT / "data")
    parser.add_argument("--base", default="packaged:smollm2")
    parser.add_argument("--variant", default="clarilm")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--show", action="store_true", help="Print the texts that differ.")
    given = parser.parse_args()
    models = given.store / "06_models"
    threshold = json.loads((models / "calibrations.json").read_text(encoding="utf-8"))[given.variant]["threshold"]
    base = BaseModelSpec(source=given.base, cache_dir=models / "base_models")
    model = Exportable(given.variant, base, models / given.variant, threshold)
    bare = Exportable("base", base, None)
    table = pd.read_parquet(given.store / "05_model_input" / "our_test.parquet")
    questions = table["question"].head(given.questions).tolist()
    print(describe_machine(["torch", "transformers", "xllamacpp", "gguf"]) + "\n", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reference = in_transformers(exported(model, "merged", "f32", folder), questions)
        lora = only_gguf(exported(model, "lora-gguf", "f32", folder))
        ways = [
            Way(f"gguf {weights}", only_gguf(exported(model, "gguf", weights, folder)))
            for weights in ("f32", "f16", "q8_0")
        ]
        if own := gguf_source(base):
            ways.append(Way(f"lora-gguf f32 on {own.name}", own, lora))
        ways += [
            Way(f"lora-gguf f32 on the base in {weights}", only_gguf(exported(bare, "gguf", weights, folder)), lora)
            for weights in ("f32", "f16")
        ]
        digits = sum(bool(re.search(r"\d\d", question)) for question in questions)
        print(f"{len(questions)} questions of Our-test, {digits} of them with a number of several digits.\n")
        print(
            "| export | MB | same text | tokens alike before the others part | P(ask) apart at most | same decision |"
        )
        print("|---|---:|---:|---|---:|---:|", flush=True)
        for way in ways:
            found = in_llama_cpp(way, lora.parent, questions, slots=1)
            print(row(way.name, way.gguf.stat().st_size, found, reference, threshold), flush=True)
            for one, other in zip(found, reference, strict=True):
                if given.show and one.text != other.text:
                    print(f"    {other.text!r}\n    {one.text!r}", flush=True)


def exported(what: Exportable, kind: Any, weights: str, folder: Path) -> Path:
    """Export into a folder of its own."""
    out = folder / f"{what.variant}-{kind}-{weights}"
    export(what, kind, out, weights=weights)
    return out


def only_gguf(folder: Path) -> Path:
    """Find the one GGUF file of an export."""
    (file,) = folder.glob("*.gguf")
    return file


if __name__ == "__main__":
    main()
