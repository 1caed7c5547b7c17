"""A tokenizer as llama.cpp reads it from a GGUF file: byte-level BPE, as LLaMA 3 and SmolLM2 have it."""

import json
from typing import Any

from clarilm_kedro.errors import ClarilmError

# llama.cpp knows the regular expressions that text is split by before merging under names (llama-vocab.cpp).
_PLAIN, _DIGITS, _LLAMA_3 = "gpt-2", "smollm", "llama-bpe"
# Of Llama 3's tokenizer.json.
_LLAMA_3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


class NotForGgufError(ClarilmError):
    """A base model that is not written to GGUF here.

    Args:
        reason: What about it, as a sentence.

    Attributes:
        reason: That sentence; the error's text also says what a pipeline does instead.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason} Set decoding.engine to transformers.")
        self.reason = reason


def write_tokens(writer: Any, tokenizer: Any, vocab_size: int, source: str) -> None:
    """Write vocabulary, merges, special tokens and chat template.

    Args:
        writer: A ``gguf.GGUFWriter``.
        tokenizer: A transformers tokenizer, with its chat template and end token in place.
        vocab_size: Rows of the embedding; those without a token are filled up.
        source: Name of the base model, for errors.

    Raises:
        NotForGgufError: It is no byte-level BPE, or splits text in a way that llama.cpp has no name for.
    """
    from gguf import TokenType

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unknown(source, "it is not one of the library tokenizers")
    described = json.loads(backend.to_str())
    if described["model"]["type"] != "BPE" or described.get("normalizer"):
        raise _unknown(source, f"{described['model']['type']} with normalizer {described.get('normalizer')}")
    tokens = [f"[PAD{number}]" for number in range(vocab_size)]
    types = [TokenType.UNUSED] * vocab_size
    for token, number in tokenizer.get_vocab().items():
        tokens[number], types[number] = token, TokenType.NORMAL
    for number, token in tokenizer.added_tokens_decoder.items():
        types[number] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(described["pre_tokenizer"], source))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = described["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    # The chat template writes every token that a prompt starts with.
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _splitting(pre_tokenizer: dict[str, Any] | None, source: str) -> str:
    steps = (pre_tokenizer or {}).get("pretokenizers", [pre_tokenizer or {}])
    match [step.get("type") for step in steps]:
        case ["ByteLevel"] if steps[0]["use_regex"] and not steps[0]["add_prefix_space"]:
            return _PLAIN
        case ["Digits", "ByteLevel"] if steps[0]["individual_digits"] and steps[1]["use_regex"]:
            return _DIGITS
        case ["Split", "ByteLevel"] if steps[0]["pattern"].get("Regex") == _LLAMA_3_PATTERN:
            return _LLAMA_3
    raise _unknown(source, f"it splits text by {json.dumps(pre_tokenizer)[:300]}")


def _unknown(source: str, why: str) -> NotForGgufError:
    return NotForGgufError(f"The tokenizer of '{source}' cannot be written to a GGUF file: {why}.")
