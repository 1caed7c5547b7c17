"""Log-probabilities of the tokens to learn, with as little computing as they need. It imports torch: import it inside
functions.

Only the positions before a token to learn go through the output head: the head and the softmax over the vocabulary
are a fifth of a step of SmolLM2-135M, where prompts are longer than replies.
"""

from typing import Any, NamedTuple

import torch
from accelerate.utils import extract_model_from_parallel, is_compiled_module
from torch.nn.functional import cross_entropy, pad

IGNORED = -100  # label of a token that is not learnt, torch's default in cross_entropy

Positions = tuple[torch.Tensor, torch.Tensor]


class Scoring(NamedTuple):
    """What a model is given, and where it is asked.

    Attributes:
        inputs: Arguments of the model.
        positions: Rows and columns of its output that predict the tokens to learn.
        targets: These tokens, [tokens].
        scored: Where they stand in the labels without their first column, [rows, length - 1].
        kept: Which positions of the input are no padding.
    """

    inputs: dict[str, torch.Tensor]
    positions: Positions
    targets: torch.Tensor
    scored: torch.Tensor
    kept: torch.Tensor


def padded(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> Scoring:
    """Give the rows as they are.

    Args:
        input_ids: Shape [rows, length].
        attention_mask: Shape [rows, length].
        labels: Shape [rows, length]; ``IGNORED`` where a token is not scored.

    Returns:
        What to compute.
    """
    scored = labels[:, 1:] != IGNORED
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    return Scoring(inputs, _rows_and_columns(scored), labels[:, 1:][scored], scored, attention_mask.bool())


def padding_free(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> Scoring:
    """Give the rows one after the other as a single row; positions that start again keep them apart.

    The arguments and what is returned are those of :func:`padded`.
    """
    kept = attention_mask.bool()
    scored = labels[:, 1:] != IGNORED
    inputs = {"input_ids": input_ids[kept][None], "position_ids": (kept.cumsum(dim=1) - 1)[kept][None]}
    positions = _rows_and_columns(pad(scored, (0, 1))[kept][None])  # what predicts a token stands before it
    return Scoring(inputs, positions, labels[:, 1:][scored], scored, kept)


def shared_prompts(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, *, additive: bool
) -> Scoring:
    """Give each pair as one row: the prompt, the chosen reply, and the rejected one, which does not see the chosen.

    The numbers are those of two rows, and the prompt is computed once. Rows are padded on the right.

    Args:
        input_ids: Shape [2 n, length], the n rows with a chosen reply first.
        attention_mask: Shape [2 n, length].
        labels: Shape [2 n, length]; ``IGNORED`` in the prompt.
        additive: Give the attention mask as numbers to add (eager attention), and not as True and False.

    Returns:
        What to compute; ``scored`` is of the 2 n rows.
    """
    n, length = len(input_ids) // 2, input_ids.shape[1]
    scored = labels[:, 1:] != IGNORED
    total = attention_mask.sum(dim=1, keepdim=True)
    reply = (labels != IGNORED).sum(dim=1, keepdim=True)
    prompt, (chosen, rejected) = (total - reply)[:n], reply.split(n)
    columns = torch.arange(int((total[:n] + rejected).max()), device=input_ids.device)[None]
    ends, kept = total[:n], columns < total[:n] + rejected
    in_rejected, in_chosen = columns >= ends, (columns >= prompt) & (columns < ends)
    # A rejected token stands where it would without the chosen ones, which is also its column in its own row.
    places = columns - chosen * in_rejected
    sides = [ids.gather(1, places.clamp(max=length - 1)) for ids in input_ids.split(n)]
    apart = in_rejected[:, :, None] & in_chosen[:, None, :]
    seen = (columns[:, :, None] >= columns[:, None, :]) & kept[:, None, :] & ~apart
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min) if additive else seen
    inputs = {
        "input_ids": torch.where(in_rejected, sides[1], sides[0]),
        "position_ids": places,
        "attention_mask": mask[:, None],
    }
    rows, before = _rows_and_columns(scored)
    pair = rows % n
    moved = (rows >= n) & (before >= prompt[pair, 0])  # the first token of either reply is predicted by the prompt
    positions = pair, before + chosen[pair, 0] * moved
    return Scoring(inputs, positions, labels[:, 1:][scored], scored, kept)


def token_log_probs(model: Any, scoring: Scoring) -> torch.Tensor:
    """Log-probability of every token to learn, given what stands before it.

    Args:
        model: Causal language model, wrapped or not.
        scoring: What to compute.

    Returns:
        Shape of ``scoring.scored``; 0 where that is False.
    """
    logits = _logits(model, scoring.inputs, scoring.positions)
    losses = cross_entropy(logits.float(), scoring.targets, reduction="none")
    return losses.new_zeros(scoring.scored.shape).masked_scatter(scoring.scored, -losses)


def _logits(model: Any, inputs: dict[str, torch.Tensor], positions: Positions) -> torch.Tensor:
    """Run the model, and its output head at some positions only; shape [positions, vocabulary]."""
    if is_compiled_module(model):  # compiled code does not notice a new hook; columns are the best that it offers
        rows, columns = positions
        kept, places = columns.unique(return_inverse=True)
        return model(**inputs, logits_to_keep=kept, use_cache=False).logits[rows, places]
    head = extract_model_from_parallel(model).get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: (given[0][positions][None],))
    try:
        return model(**inputs, use_cache=False).logits[0]
    finally:
        hook.remove()


def _rows_and_columns(mask: torch.Tensor) -> Positions:
    rows, columns = mask.nonzero(as_tuple=True)
    return rows, columns
