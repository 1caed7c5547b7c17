"""The GGUF file: what is in it, that it is made once and whole, and what cannot be exported."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_merged, load_tokenizer
from clarilm_kedro.finetuning.gguf_export import Weights, export_gguf, gguf_file
from clarilm_kedro.finetuning.results import TrainedAdapter


@pytest.mark.parametrize(("weights", "tolerance"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 2e-2)])
def test_the_weights_are_those_of_the_merged_model(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, tmp_path: Path, weights: Weights, tolerance: float
) -> None:
    file = export_gguf(tiny, sft_adapter.path, weights, tmp_path)
    model = load_merged(tiny, sft_adapter.path)
    tensors = {each.name: each for each in GGUFReader(file).tensors}
    assert len(tensors) == len(model.state_dict()) - 1, "the tied output head is the embedding"
    read = {name: dequantize(each.data, each.tensor_type) for name, each in tensors.items()}
    embedding = model.get_input_embeddings().weight.detach().numpy()
    np.testing.assert_allclose(read["token_embd.weight"], embedding, atol=tolerance * np.abs(embedding).max())
    norm = model.model.layers[1].input_layernorm.weight.detach().numpy()
    np.testing.assert_array_equal(read["blk.1.attn_norm.weight"], norm)
    # A head of 8: rows 0 and 4 are rotated together, and llama.cpp has them side by side.
    keys = model.model.layers[0].self_attn.k_proj.weight.detach().numpy()
    atol = tolerance * np.abs(keys).max()
    np.testing.assert_allclose(read["blk.0.attn_k.weight"][[0, 1, 2, 3]], keys[[0, 4, 1, 5]], atol=atol)
    np.testing.assert_allclose(read["blk.0.attn_k.weight"][8:10], keys[[8, 12]], atol=atol)


def test_sizes_tokens_and_chat_template_are_those_of_transformers(tiny: BaseModelSpec, tmp_path: Path) -> None:
    fields = {
        name: field.contents() for name, field in GGUFReader(export_gguf(tiny, None, "f16", tmp_path)).fields.items()
    }
    tokenizer = load_tokenizer(tiny)
    assert fields["general.architecture"] == "llama"
    assert (fields["llama.block_count"], fields["llama.attention.head_count_kv"]) == (2, 2)
    assert fields["llama.context_length"] == 512
    assert fields["tokenizer.chat_template"] == tokenizer.chat_template
    assert fields["tokenizer.ggml.eos_token_id"] == tokenizer.eos_token_id == 2
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.ggml.tokens"] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert fields["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]


def test_a_file_is_made_once_and_named_by_what_is_in_it(
    tiny: BaseModelSpec, sft_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    file = export_gguf(tiny, sft_adapter.path, "q8_0", tmp_path / "new" / "gguf")
    written = file.stat().st_mtime_ns
    assert export_gguf(tiny, sft_adapter.path, "q8_0", file.parent) == file
    assert file.stat().st_mtime_ns == written
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, f"{file.name}.lock"]
    in_bfloat16 = tiny.model_copy(update={"dtype": "bfloat16"})
    assert gguf_file(in_bfloat16, sft_adapter.path, "q8_0", file.parent) == file, "it is made in float32 anyway"
    other_template = tiny.model_copy(update={"chat_template": "plain"})
    others = [
        gguf_file(tiny, None, "q8_0", file.parent),
        gguf_file(tiny, sft_adapter.path, "f16", file.parent),
        gguf_file(other_template, sft_adapter.path, "q8_0", file.parent),
    ]
    assert len({file, *others}) == 4


def test_no_room_is_told_before_anything_is_written(
    tiny: BaseModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(ClarilmError, match=r"no room for a GGUF file in .*: 0\.03 GB would be needed.*q8_0"):
        export_gguf(tiny, None, "f16", tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, ClarilmError), (errno.EIO, OSError)])
def test_a_torn_file_is_removed(
    tiny: BaseModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def tear(writer: object, *_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("gguf.GGUFWriter.write_tensor_data", tear)
    with pytest.raises(kind):
        export_gguf(tiny, None, "f32", tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def changed(tiny: BaseModelSpec, folder: Path, **values: object) -> BaseModelSpec:
    """The tiny model with other entries in its configuration, with the weights that belong to it."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    kind = values.pop("model_type", "llama")
    old = AutoConfig.from_pretrained(tiny.source).to_dict()
    kept = {name: value for name, value in old.items() if name not in {"model_type", "architectures", "head_dim"}}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**kept, **values}))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny.source).save_pretrained(folder)
    return BaseModelSpec(source=str(folder), dtype="float32")


def test_other_architectures_are_refused_and_leave_nothing(tiny: BaseModelSpec, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"model_type": "qwen2"}, "architecture qwen2"),
        ({"attention_bias": True}, r"holds model\.layers\.0\.self_attn\.q_proj\.bias"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "rope_type linear"),
    ]
    for number, (values, said) in enumerate(cases):
        spec = changed(tiny, tmp_path / str(number), **values)
        with pytest.raises(ClarilmError, match=rf"{said}.*decoding\.engine"):
            export_gguf(spec, None, "f16", tmp_path / "gguf")
    assert {path.suffix for path in (tmp_path / "gguf").iterdir()} == {".lock"}


def test_weights_that_a_model_folder_lacks_are_named(tiny: BaseModelSpec, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny.source, tmp_path / "torn"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ClarilmError, match=r"lacks 1 of its weights.*model\.layers\.1\.mlp\.up_proj\.weight"):
        export_gguf(BaseModelSpec(source=str(folder)), None, "f16", tmp_path / "gguf")


def test_a_tokenizer_that_llama_cpp_cannot_be_told_is_named(tiny: BaseModelSpec, tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    folder = Path(shutil.copytree(tiny.source, tmp_path / "words"))
    tokenizer = load_tokenizer(tiny)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save_pretrained(folder)
    with pytest.raises(ClarilmError, match=r"tokenizer of .*words' cannot be written.*Whitespace"):
        export_gguf(BaseModelSpec(source=str(folder)), None, "f16", tmp_path / "gguf")
