import threading
import time
from pathlib import Path

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning import base_model
from clarilm_kedro.finetuning.base_model import (
    BaseModelSpec,
    load_for_inference,
    load_model,
    load_tokenizer,
    ready_base_model,
    resolve_dtype,
)
from clarilm_kedro.finetuning.encoding import encode
from clarilm_kedro.finetuning.template import clarification_prompt
from finetuning.tiny import save_tiny_model


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose tokenizer has no chat template."""
    return save_tiny_model(tmp_path_factory.mktemp("bare"), chat_template=None)


def test_folders_and_hub_ids_pass_through(tiny: BaseModelSpec, tmp_path: Path) -> None:
    assert ready_base_model(tiny) == Path(tiny.source)
    assert str(ready_base_model(BaseModelSpec(source="meta-llama/Meta-Llama-3-8B"))) == "meta-llama/Meta-Llama-3-8B"


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "model.with spaces", "a/b/c"])
def test_a_source_that_is_nothing_is_named(source: str) -> None:
    with pytest.raises(ClarilmError, match="does not exist here"):
        ready_base_model(BaseModelSpec(source=source))


def test_files_and_folders_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(ClarilmError, match="not a GGUF file"):
        ready_base_model(BaseModelSpec(source=str(tmp_path / "weights.bin")))
    with pytest.raises(ClarilmError, match=r"without config\.json"):
        ready_base_model(BaseModelSpec(source=str(tmp_path)))


def test_a_model_that_cannot_be_fetched_is_explained() -> None:
    with pytest.raises(ClarilmError, match=r"'no-such/model' could not be loaded: .*Check base_model\.source"):
        load_tokenizer(BaseModelSpec(source="no-such/model"))


def test_model_asks_for_a_template_of_its_own(bare: Path) -> None:
    with pytest.raises(ClarilmError, match=r"brings no chat template\. Set base_model\.chat_template to chatml"):
        load_tokenizer(BaseModelSpec(source=str(bare)))


@pytest.mark.parametrize(
    ("name", "rendered"),
    [
        ("chatml", "<|im_start|>system\n"),
        ("llama3", "<|im_start|><|start_header_id|>system<|end_header_id|>\n\n"),
        ("plain", "<|im_start|>State"),
    ],
)
def test_every_template_ends_its_turns_with_the_end_token(bare: Path, name: str, rendered: str) -> None:
    tokenizer = load_tokenizer(BaseModelSpec(source=str(bare), chat_template=name))
    row = encode(tokenizer, clarification_prompt("Plan my trip."), "Where to?")
    assert tokenizer.decode(row.prompt).startswith(rendered)
    assert tokenizer.eos_token_id in row.completion
    assert "Where to?<|im_end|>" in tokenizer.decode(row.completion)


def test_a_template_that_knows_its_end_token_makes_it_the_tokenizers(bare: Path) -> None:
    tokenizer = load_tokenizer(BaseModelSpec(source=str(bare), chat_template="plain"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|eot_id|>"]})
    tokenizer.save_pretrained(bare)
    assert load_tokenizer(BaseModelSpec(source=str(bare), chat_template="llama3")).eos_token == "<|eot_id|>"
    assert load_tokenizer(BaseModelSpec(source=str(bare), chat_template="plain")).eos_token == "<|im_end|>"


def test_a_tokenizer_without_an_end_or_padding_token(bare: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bare)
    (tmp_path / "config.json").write_text((bare / "config.json").read_text())
    spec = BaseModelSpec(source=str(tmp_path), chat_template="plain")
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(spec).pad_token == tokenizer.eos_token
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ClarilmError, match="has no end-of-sequence token"):
        load_tokenizer(spec)


def test_a_template_may_come_from_a_file(bare: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% for message in messages %}[{{ message['content'] }}]{% endfor %}", encoding="utf-8")
    tokenizer = load_tokenizer(BaseModelSpec(source=str(bare), chat_template=str(file)))
    assert tokenizer.apply_chat_template([{"role": "user", "content": "q"}], tokenize=False) == "[q]"
    with pytest.raises(ClarilmError, match=r"'no\.jinja' is neither model, chatml, llama3, plain nor a file"):
        load_tokenizer(BaseModelSpec(source=str(bare), chat_template="no.jinja"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("flags : avx512f amx_bf16 sse", "bfloat16"), ("flags\t: avx512_bf16", "float32"), ("flags: avx2", "float32")],
)
def test_auto_takes_bfloat16_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, flags: str, expected: str
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"model name : X\n{flags}\n")
    monkeypatch.setattr(base_model, "device", lambda: "cpu")
    base_model._cpu_has_bfloat16.cache_clear()
    assert resolve_dtype(BaseModelSpec(source="x")) == expected
    base_model._cpu_has_bfloat16.cache_clear()


def test_auto_takes_bfloat16_on_a_gpu_and_obeys_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_model, "device", lambda: "cuda")
    assert resolve_dtype(BaseModelSpec(source="x")) == "bfloat16"
    assert resolve_dtype(BaseModelSpec(source="x", dtype="float32")) == "float32"


def test_a_merged_adapter_computes_what_the_adapter_does(tiny: BaseModelSpec, sft_adapter: "object") -> None:
    import torch
    from peft import PeftModel

    folder = sft_adapter.path  # type: ignore[attr-defined]
    merged, tokenizer = load_for_inference(tiny, folder)
    unmerged = PeftModel.from_pretrained(load_model(tiny), str(folder)).eval()
    ids = tokenizer("Recommend me a laptop.", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert torch.allclose(merged(ids).logits, unmerged(ids).logits, atol=1e-4)
        assert not torch.allclose(merged(ids).logits, load_model(tiny)(ids).logits, atol=1e-1)
    assert tokenizer.padding_side == "left"


def test_a_merged_model_decodes_at_full_precision_and_speed(tiny: BaseModelSpec, sft_adapter: "object") -> None:
    """Rotary frequencies are no weights and stay float32; frozen weights would make torch copy the output head."""
    spec = tiny.model_copy(update={"dtype": "bfloat16"})
    model, _ = load_for_inference(spec, sft_adapter.path)  # type: ignore[attr-defined]
    assert {str(parameter.dtype) for parameter in model.parameters()} == {"torch.bfloat16"}
    assert {str(buffer.dtype) for buffer in model.buffers()} == {"torch.float32"}
    assert all(parameter.requires_grad for parameter in model.parameters())


def fake_save(gguf: Path, folder: Path) -> None:
    time.sleep(0.2)
    (folder / "config.json").write_text("{}")


def test_a_gguf_file_is_materialised_once_whoever_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []
    monkeypatch.setattr(base_model, "_save_plain", lambda gguf, folder: (calls.append(folder), fake_save(gguf, folder)))
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"one")
    spec = BaseModelSpec(source=str(gguf), cache_dir=tmp_path / "cache")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(ready_base_model(spec))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(set(found)) == 1
    assert (found[0] / "config.json").is_file()
    gguf.write_bytes(b"another")
    assert ready_base_model(spec) != found[0]


def test_a_broken_gguf_file_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(gguf: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise OSError("disk full")

    monkeypatch.setattr(base_model, "_save_plain", fail)
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"one")
    with pytest.raises(OSError, match="disk full"):
        ready_base_model(BaseModelSpec(source=str(gguf), cache_dir=tmp_path / "cache"))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
