"""A tiny random model and an adapter on it, for slices of pipelines."""

from pathlib import Path

import pytest

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from finetuning.tiny import save_random_adapter


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModelSpec:
    """A random two-layer LLaMA with a byte vocabulary, saved as transformers saves models."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_base")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return BaseModelSpec(source=str(folder), chat_template="plain", dtype="float32")


@pytest.fixture(scope="module")
def tiny_adapter(tiny_base: BaseModelSpec, tmp_path_factory: pytest.TempPathFactory) -> TrainedAdapter:
    """A random LoRA adapter on the tiny base."""
    folder = save_random_adapter(Path(tiny_base.source), tmp_path_factory.mktemp("tiny_adapter"))
    return TrainedAdapter(folder, {"status": "trained"})
