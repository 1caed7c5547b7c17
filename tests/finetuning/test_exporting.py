"""Exports: what transformers and llama.cpp make of them, what is written beside them, and that they are whole."""

import errno
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_merged, load_model, load_tokenizer
from clarilm_kedro.finetuning.exporting import Exportable, export
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.finetuning.template import clarification_prompt
from finetuning.test_gguf_export import changed

PROMPT = clarification_prompt("Plan my trip to  Århus in 1917.")
NOTES = {"Modelfile", "SERVING.md", "chat_template.jinja", "export.json", "request.json"}


@pytest.fixture
def trained(tiny: BaseModelSpec, sft_adapter: TrainedAdapter) -> Exportable:
    return Exportable("clarilm", tiny, sft_adapter.path, 0.25)


@pytest.fixture(scope="module")
def from_gguf(tiny: BaseModelSpec, tmp_path_factory: pytest.TempPathFactory) -> BaseModelSpec:
    """The tiny model from a GGUF file with more in its metadata than transformers reads."""
    from clarilm_kedro.finetuning.gguf_export import write_gguf

    folder = tmp_path_factory.mktemp("from_gguf")

    def describe(writer: Any) -> None:
        del writer.kv_data[0]["general.name"], writer.kv_data[0]["tokenizer.ggml.pre"]
        writer.add_name("Tiny")
        writer.add_organization("An organization")
        writer.add_license("mit")
        writer.add_tokenizer_pre("smollm")
        writer.add_rope_scaling_type(writer_scaling())
        writer.add_float32("llama.rope.scaling.factor", 2.0)
        writer.add_uint32("quantize.imatrix.entries_count", 3)
        writer.add_unk_token_id(0)

    write_gguf(tiny, None, "f32", folder / "tiny.gguf", describe)
    return BaseModelSpec(source=str(folder / "tiny.gguf"), dtype="float32", cache_dir=folder / "cache")


def writer_scaling() -> Any:
    from gguf import RopeScalingType

    return RopeScalingType.LINEAR


def logits(model: Any, tokenizer: Any) -> Any:
    import torch

    text = tokenizer.apply_chat_template(PROMPT, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return model.eval()(ids).logits


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "export.json").read_text(encoding="utf-8")))


def fields(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in GGUFReader(file).fields.items()}


def test_a_merged_folder_is_the_adapter_on_its_base(tiny: BaseModelSpec, trained: Exportable, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    export(trained, "merged", out)
    assert not [path.name for path in out.iterdir() if "adapter" in path.name]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == load_tokenizer(tiny).chat_template
    adapted = PeftModel.from_pretrained(load_model(tiny, dtype="float32"), trained.adapter)
    difference = (logits(model, tokenizer) - logits(adapted, load_tokenizer(tiny))).abs().max().item()
    assert difference <= 1e-4
    assert (model.generation_config.do_sample, model.generation_config.eos_token_id) == (False, 2)


def test_merged_weights_are_rounded_once(tiny: BaseModelSpec, trained: Exportable, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    merged = load_merged(tiny, trained.adapter).state_dict()
    for weights, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        export(trained, "merged", tmp_path / weights, weights=weights)
        found = AutoModelForCausalLM.from_pretrained(tmp_path / weights).state_dict()
        assert all(torch.equal(values, merged[name].to(dtype)) for name, values in found.items())


def test_a_merged_folder_holds_the_chat_template_and_end_token_of_the_training(
    tiny: BaseModelSpec, trained: Exportable, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoTokenizer

    template = tmp_path / "own.jinja"
    template.write_text("{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}")
    base = tiny.model_copy(update={"chat_template": str(template)})
    export(Exportable("base", base, None), "merged", tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == template.read_text()
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == template.read_text()
    assert AutoConfig.from_pretrained(tmp_path / "out").eos_token_id == 2
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast", "transformers 4 does not know version 5's name"
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text()


def test_a_gguf_keeps_its_bases_metadata_and_what_the_training_had_otherwise_is_told(
    from_gguf: BaseModelSpec, sft_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    served = export(Exportable("clarilm", from_gguf, sft_adapter.path), "gguf", tmp_path / "out", weights="f32")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*NOTES, "clarilm-f32.gguf"}
    written = fields(tmp_path / "out" / "clarilm-f32.gguf")
    assert written["general.license"] == "mit"
    assert (written["general.name"], written["general.finetune"]) == ("Tiny clarilm", "clarilm")
    assert written["general.base_model.0.name"] == "Tiny"
    assert written["general.base_model.0.organization"] == "An organization"
    assert (written["general.file_type"], written["tokenizer.ggml.unknown_token_id"]) == (0, 0)
    assert written["tokenizer.ggml.pre"] == "gpt-2", "so the tokenizer splits that transformers makes of the file"
    assert not [key for key in written if ".rope.scaling." in key or key.startswith("quantize.")]
    told = {each.key: (each.base, each.trained) for each in served.differences}
    assert told == {
        "tokenizer.ggml.pre": ("smollm", "gpt-2"),
        "llama.rope.scaling.type": ("linear", None),
        "llama.rope.scaling.factor": ("2.0", None),
    }
    assert record(tmp_path / "out")["otherwise_in_the_base_gguf"][0]["key"] in told
    assert "- The base file says tokenizer.ggml.pre = smollm" in (tmp_path / "out" / "SERVING.md").read_text()


def test_a_lora_is_the_difference_between_the_merged_model_and_its_base(
    tiny: BaseModelSpec, trained: Exportable, tmp_path: Path
) -> None:
    export(trained, "lora-gguf", tmp_path / "lora")
    export(trained, "gguf", tmp_path / "merged", weights="f32")
    export(Exportable("base", tiny, None), "gguf", tmp_path / "base", weights="f32")
    lora = tmp_path / "lora" / "clarilm-lora-f32.gguf"
    told = fields(lora)
    assert (told["general.type"], told["adapter.type"], told["adapter.lora.alpha"]) == ("adapter", "lora", 16.0)
    assert told["general.architecture"] == "llama"
    parts = {each.name: each.data for each in GGUFReader(lora).tensors}
    merged, base = (
        {each.name: each.data for each in GGUFReader(tmp_path / file).tensors}
        for file in ("merged/clarilm-f32.gguf", "base/base-f32.gguf")
    )
    names = {name.removesuffix(".lora_a") for name in parts if name.endswith(".lora_a")}
    assert len(names) == 14, "seven linear layers in each of two blocks"
    for name in names:
        low, high = parts[f"{name}.lora_a"], parts[f"{name}.lora_b"]
        change = high @ low * (told["adapter.lora.alpha"] / len(low))
        np.testing.assert_allclose(base[name] + change, merged[name], atol=1e-5)


def test_ranks_and_scales_that_differ_between_layers_are_kept(tiny: BaseModelSpec, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        use_rslora=True,
        rank_pattern={"k_proj": 2},
        alpha_pattern={"v_proj": 3},
        target_modules=["q_proj", "k_proj", "v_proj"],
        task_type="CAUSAL_LM",
        init_lora_weights=False,
    )
    get_peft_model(load_model(tiny), config).save_pretrained(tmp_path / "adapter")
    what = Exportable("clarilm", tiny, tmp_path / "adapter")
    served = export(what, "lora-gguf", tmp_path / "lora")
    export(what, "gguf", tmp_path / "merged", weights="f32")
    assert served.rank == 4
    parts = {each.name: each.data for each in GGUFReader(tmp_path / "lora" / "clarilm-lora-f32.gguf").tensors}
    merged = {each.name: each.data for each in GGUFReader(tmp_path / "merged" / "clarilm-f32.gguf").tensors}
    export(Exportable("base", tiny, None), "gguf", tmp_path / "base", weights="f32")
    base = {each.name: each.data for each in GGUFReader(tmp_path / "base" / "base-f32.gguf").tensors}
    for name in ("blk.0.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_v.weight"):
        low = parts[f"{name}.lora_a"]
        change = parts[f"{name}.lora_b"] @ low * (8 / len(low))
        np.testing.assert_allclose(base[name] + change, merged[name], atol=1e-5)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_what_a_lora_cannot_hold_is_refused(
    tiny: BaseModelSpec, tmp_path: Path, entries: dict[str, Any], said: str
) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **entries)
    get_peft_model(load_model(tiny), config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ClarilmError, match=rf"more than a LoRA on linear layers \({said}\).*--format gguf"):
        export(Exportable("clarilm", tiny, tmp_path / "adapter"), "lora-gguf", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_another_architecture_is_answered_with_the_converters_commands(tiny: BaseModelSpec, tmp_path: Path) -> None:
    spec = changed(tiny, tmp_path / "qwen", model_type="qwen2")
    what = Exportable("clarilm_sft", spec, tmp_path / "adapter")
    with pytest.raises(ClarilmError) as raised:
        export(what, "gguf", tmp_path / "out", weights="q8_0")
    out = tmp_path / "out"
    assert f"  kedro clarilm export --variant clarilm_sft --format merged --out {out}\n" in str(raised.value)
    assert f"convert_hf_to_gguf.py {out} --outfile {out}/clarilm_sft-q8_0.gguf --outtype q8_0" in str(raised.value)
    assert "decoding.engine" not in str(raised.value)
    with pytest.raises(ClarilmError) as raised:
        export(what, "lora-gguf", tmp_path / "out")
    assert f"convert_lora_to_gguf.py --base {tmp_path / 'qwen'} --outfile {out}/" in str(raised.value)
    assert str(raised.value).endswith(str(tmp_path / "adapter"))
    assert not out.exists()
    export(Exportable("base", spec, None), "merged", out)
    assert load_merged(BaseModelSpec(source=str(out)), None).config.model_type == "qwen2"


def test_a_folder_is_replaced_only_where_it_is_an_export_and_that_is_wanted(
    trained: Exportable, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out"
    export(trained, "lora-gguf", out)
    (out / "left over").touch()
    with pytest.raises(ClarilmError, match="is not empty: give another folder, or --force"):
        export(trained, "lora-gguf", out)
    export(trained, "lora-gguf", out, weights="f16", force=True)
    assert {path.name for path in out.iterdir()} == {*NOTES, "clarilm-lora-f16.gguf"}
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(ClarilmError, match=r"holds something else than an export"):
        export(trained, "lora-gguf", tmp_path / "mine", force=True)
    with pytest.raises(ClarilmError, match="is a file"):
        export(trained, "lora-gguf", tmp_path / "mine" / "thesis.txt", force=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("kind", ["merged", "gguf"])
def test_no_room_is_told_before_anything_is_written(
    trained: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(ClarilmError, match=r"no room for the export in .*: 0\.0\d GB would be needed\. Free some"):
        export(trained, kind, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_an_earlier_export_as_it_was(
    trained: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(trained, "lora-gguf", tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def tear(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gguf.GGUFWriter.write_tensors_to_file", tear)
    with pytest.raises(ClarilmError, match="No space left on device"):
        export(trained, "lora-gguf", tmp_path / "out", force=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_formats_that_do_not_go_together_are_refused(trained: Exportable, tiny: BaseModelSpec, tmp_path: Path) -> None:
    with pytest.raises(ClarilmError, match="lora-gguf has its weights as f32, f16, not as q8_0"):
        export(trained, "lora-gguf", tmp_path / "out", weights="q8_0")
    with pytest.raises(ClarilmError, match="no adapter"):
        export(Exportable("base", tiny, None), "lora-gguf", tmp_path / "out")


def test_an_adapter_of_another_base_is_refused(trained: Exportable, tiny: BaseModelSpec, tmp_path: Path) -> None:
    other = changed(tiny, tmp_path / "other", initializer_range=0.1)
    for kind in ("merged", "gguf", "lora-gguf"):
        with pytest.raises(ClarilmError, match="was trained on the base model"):
            export(Exportable("clarilm", other, trained.adapter), kind, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
