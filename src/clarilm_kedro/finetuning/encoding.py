"""Messages to token ids, one way for training and decoding: a model is to meet at inference what it was trained on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.template import Message, decision

_BREAK = "\u200b"  # zero-width space


class Encoded(NamedTuple):
    """Token ids of a prompt and of the reply to it, end of turn included."""

    prompt: list[int]
    completion: list[int]

    @property
    def length(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.completion)


def render_prompt(tokenizer: Any, messages: Sequence[Message]) -> str:
    """Render chat messages up to where the reply starts.

    Args:
        tokenizer: Holds the chat template.
        messages: Role and content; control tokens inside a content are broken, since contents are data.

    Returns:
        The text to tokenize without adding special tokens.
    """
    return str(tokenizer.apply_chat_template(_as_data(tokenizer, messages), tokenize=False, add_generation_prompt=True))


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Tokenize text as it stands."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


class DecisionTokens(NamedTuple):
    """Where the reply decides: the tokens before, and the two that part there."""

    before: list[int]
    yes: int
    no: int


def decision_tokens(tokenizer: Any) -> DecisionTokens:
    """Find where the decision lines Yes and No part: after ":" in most vocabularies, after a space of its own in some.

    Args:
        tokenizer: The model's.

    Returns:
        Token ids.
    """
    yes, no = (token_ids(tokenizer, decision(asks) + "\n") for asks in (True, False))
    parting = next(at for at, (a, b) in enumerate(zip(yes, no, strict=False)) if a != b)
    return DecisionTokens(yes[:parting], yes[parting], no[parting])


def encode(tokenizer: Any, prompt: Sequence[Message], completion: str) -> Encoded:
    """Tokenize a prompt and the reply that is to follow it.

    They are tokenized apart, so that the prompt has the same tokens with and without its reply.

    Args:
        tokenizer: Holds the chat template.
        prompt: The messages before the reply.
        completion: The reply.

    Returns:
        Ids of both.

    Raises:
        ClarilmError: The chat template renders the prompt in another way when a reply follows.
    """
    before = render_prompt(tokenizer, prompt)
    messages = _as_data(tokenizer, [*prompt, {"role": "assistant", "content": completion}])
    whole = str(tokenizer.apply_chat_template(messages, tokenize=False))
    if not whole.startswith(before):
        raise ClarilmError(
            "The chat template renders a prompt differently when a reply follows it, so the model would not be trained "
            "on what it meets later. Set base_model.chat_template to chatml, llama3, plain or another file."
        )
    return Encoded(token_ids(tokenizer, before), token_ids(tokenizer, whole[len(before) :]))


def _as_data(tokenizer: Any, messages: Sequence[Message]) -> list[Message]:
    """Break every control token inside contents, so that a chat log cannot open or close a turn."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    control = sorted(added | set(tokenizer.all_special_tokens))
    cleaned = []
    for message in messages:
        content = message["content"]
        for token in control:
            content = content.replace(token, token[:1] + _BREAK + token[1:])
        cleaned.append({**message, "content": content})
    return cleaned
