"""Exports in llama.cpp: greedy texts of the merged model in transformers, and P(ask) as SERVING.md says."""

import json
import math
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clarilm_kedro.chat.llama_cpp import LlamaCppServer
from clarilm_kedro.chat.options import LlamaCppOptions
from clarilm_kedro.chat.servers import weights_identity
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoding import SamplingOptions, ask_probabilities, sample_generations
from clarilm_kedro.finetuning.exporting import Exportable, export
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import clarification_prompt
from finetuning.conftest import CLEAR, VAGUE

pytest.importorskip("xllamacpp")

QUESTIONS = [*VAGUE, *CLEAR, "Is it  25 or 1,250 euros?\n\n\tWhich  one – the “old” one? 日本"]
# llama.cpp keeps keys and values in float16.
APART = 2e-3
COLD = SamplingOptions(k=1, temperature=1e-6, max_new_tokens=24)


@contextmanager
def served(tmp_path: Path, gguf: Path, lora: Path | None = None) -> Iterator[str]:
    server = LlamaCppServer(options(tmp_path, gguf, lora))
    try:
        yield server.start()
    finally:
        server.stop()


def options(tmp_path: Path, gguf: Path, lora: Path | None) -> LlamaCppOptions:
    return LlamaCppOptions(
        kind="llama_cpp",
        gguf=str(gguf),
        lora=str(lora) if lora else None,
        slots=1,
        n_ctx=512,
        threads=1,
        log_file=tmp_path / "llama.log",
    )


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
        return dict(json.load(answer)["choices"][0])


def said(url: str, question: str, max_tokens: int = 24) -> str:
    body = {"messages": clarification_prompt(question), "max_tokens": max_tokens, "temperature": 0}
    return str(post(url, body)["message"]["content"]).strip()


def p_ask(url: str, export_folder: Path, question: str) -> float:
    """Send the request that lies beside an export, and read the answer as SERVING.md says."""
    request = json.loads((export_folder / "request.json").read_text(encoding="utf-8"))
    decided = json.loads((export_folder / "export.json").read_text(encoding="utf-8"))["decision"]
    request["messages"][1]["content"] = question
    likeliest = post(url, request)["logprobs"]["content"][0]["top_logprobs"]
    found = {each["id"]: math.exp(each["logprob"]) for each in likeliest}
    yes, no = (found.get(decided[name]["id"], 0.0) for name in ("yes", "no"))
    return yes / (yes + no)


def in_transformers(base: BaseModelSpec, adapter: Path | None, questions: list[str]) -> list[str]:
    return [
        row[0].text for row in sample_generations(base, adapter, [clarification_prompt(q) for q in questions], COLD)
    ]


def test_merged_and_as_a_lora_on_its_base_it_says_what_transformers_says(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    trained = Exportable("clarilm", tiny, sft_adapter.path, 0.5)
    export(trained, "gguf", tmp_path / "gguf", weights="f32")
    export(trained, "lora-gguf", tmp_path / "lora")
    export(Exportable("base", tiny, None), "gguf", tmp_path / "base", weights="f32")
    expected = in_transformers(tiny, sft_adapter.path, QUESTIONS)
    probabilities = ask_probabilities(tiny, sft_adapter.path, QUESTIONS)
    merged, base = tmp_path / "gguf" / "clarilm-f32.gguf", tmp_path / "base" / "base-f32.gguf"
    with served(tmp_path, merged) as url:
        assert [said(url, question) for question in QUESTIONS] == expected
        assert [p_ask(url, tmp_path / "gguf", question) for question in QUESTIONS] == pytest.approx(
            list(probabilities), abs=APART
        )
    lora = tmp_path / "lora" / "clarilm-lora-f32.gguf"
    with served(tmp_path, base, lora) as url:
        assert [said(url, question) for question in QUESTIONS] == expected
        assert [p_ask(url, tmp_path / "lora", question) for question in QUESTIONS] == pytest.approx(
            list(probabilities), abs=APART
        )
    with served(tmp_path, base) as url:
        assert [said(url, question) for question in QUESTIONS] != expected, "the base model alone says something else"
    assert weights_identity(options(tmp_path, base, lora)) != weights_identity(options(tmp_path, base, None))
    with (
        pytest.raises(ClarilmError, match=r"no GGUF file .*: check the option server\.lora"),
        served(tmp_path, base, tmp_path / "none.gguf"),
    ):
        pass


@pytest.mark.slow
def test_the_packaged_model_says_the_same_from_its_export(tmp_path: Path) -> None:
    """A LoRA of random numbers on SmolLM2; benchmarks/export_equality.py has the figures of a trained one."""
    import torch
    from peft import LoraConfig, get_peft_model

    from clarilm_kedro.finetuning.base_model import gguf_source, load_model

    base = BaseModelSpec(source="packaged:smollm2", dtype="float32", cache_dir=tmp_path / "cache")
    torch.manual_seed(5)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(load_model(base, dtype="float32"), config)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if "lora_B" in name:
                values.normal_(std=0.005)
    model.save_pretrained(tmp_path / "adapter")
    trained = Exportable("clarilm", base, tmp_path / "adapter")
    questions = QUESTIONS[4:8]
    expected = in_transformers(base, trained.adapter, questions)
    differences = export(trained, "gguf", tmp_path / "gguf", weights="f32").differences
    assert [(each.key, each.base, each.trained) for each in differences] == [("tokenizer.ggml.pre", "smollm", "gpt-2")]
    with served(tmp_path, tmp_path / "gguf" / "clarilm-f32.gguf") as url:
        texts = [said(url, question) for question in questions]
    assert sum(a == b for a, b in zip(texts, expected, strict=True)) >= 3
    export(trained, "lora-gguf", tmp_path / "lora")
    packaged = gguf_source(base)
    assert packaged is not None
    with served(tmp_path, packaged, tmp_path / "lora" / "clarilm-lora-f32.gguf") as url:
        probability = p_ask(url, tmp_path / "lora", questions[0])
    assert probability == pytest.approx(ask_probabilities(base, trained.adapter, questions[:1])[0], abs=0.1)
