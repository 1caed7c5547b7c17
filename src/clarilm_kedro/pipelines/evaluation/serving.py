"""Replies with a given decision from a server that holds the model: llama.cpp on an exported adapter."""

from collections.abc import Sequence

from clarilm_kedro.chat.stage import ask
from clarilm_kedro.chat.types import ChatModel, ChatRequest, Kind
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.template import Message, decision
from clarilm_kedro.pipelines.stages import as_messages
from clarilm_kedro.text.hashing import stable_seed

STAGE = "replies"


def served_replies(
    prompts: Sequence[Sequence[Message]], asks: Sequence[bool], model: ChatModel, *, seeds: Sequence[int] | None = None
) -> list[str]:
    """Generate replies with the decision line already written, as the last message, which the server continues.

    Args:
        prompts: Chat messages before the reply.
        asks: Per prompt, whether the reply is to be a clarifying question.
        model: Cuts off what is longer than its limit.
        seeds: Per prompt, where the model draws; the prompt goes into what is sent, so that equal seeds of different
            prompts draw by different random numbers. None where it does not draw.

    Returns:
        Per prompt, the clarifying question or the answer; empty where nothing was said.

    Raises:
        ClarilmError: A call failed for another reason than an empty reply.
    """
    drawn = [0] * len(prompts) if seeds is None else [stable_seed(*each) for each in zip(prompts, seeds, strict=True)]
    asked = list(zip(prompts, asks, drawn, strict=True))
    requests = [
        ChatRequest(f"{number:08d}", as_messages(_begun(prompt, asks)), sample_index=seed, whole=False)
        for number, (prompt, asks, seed) in enumerate(asked)
    ]
    results, failures = ask(requests, model, stage=STAGE)
    lost = failures[failures["kind"] != str(Kind.EMPTY)]
    if len(lost):
        raise ClarilmError(
            f"{len(lost)} of {len(requests)} replies could not be had from '{model.name}'; the first error: "
            f"{lost.iloc[0]['error']} Those received are stored: a new run asks only for what is missing. Or set "
            "decoding.engine to transformers."
        )
    texts = {row_id: result.text for row_id, result in results.items()}
    # llama.cpp gives the message back whole, with what it was begun with.
    return [
        texts.get(request.row_id, "").removeprefix(decision(asks)).strip()
        for request, (_, asks, _) in zip(requests, asked, strict=True)
    ]


def _begun(prompt: Sequence[Message], asks: bool) -> list[Message]:
    return [*prompt, {"role": "assistant", "content": decision(asks) + "\n"}]
