"""TRL's trainers with our losses. It imports torch and TRL: import it inside functions."""

import math
from typing import Any, NamedTuple

import torch
from torch.nn.functional import logsigmoid
from trl import DPOTrainer, SFTTrainer
from trl.trainer.utils import use_adapter

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning._resumable import Resumable
from clarilm_kedro.finetuning._scoring import IGNORED, Scoring, padded, padding_free, shared_prompts, token_log_probs
from clarilm_kedro.finetuning._watch import INSTEAD
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions, TrainingOptions
from clarilm_kedro.text.hashing import stable_unit


class PreferenceLoss(NamedTuple):
    """The parts of the DPO loss over one batch of pairs, each a scalar tensor."""

    total: torch.Tensor
    preference: torch.Tensor
    supervised: torch.Tensor
    kl: torch.Tensor
    margin: torch.Tensor
    accuracy: torch.Tensor


def preference_loss(
    policy: torch.Tensor,
    reference: torch.Tensor,
    mask: torch.Tensor,
    *,
    beta: float,
    supervised_weight: float,
    kl_coef: float,
    supervised: torch.Tensor | None = None,
) -> PreferenceLoss:
    """Combine DPO (Eq. 6; Rafailov et al. 2023, Eq. 7) with the paper's two regularisers (section 3.3.5).

    * preference: ``-log sigmoid(beta * ((pi(r+) - ref(r+)) - (pi(r-) - ref(r-))))``, with log-probabilities summed over
      tokens.
    * supervised: mean negative log-likelihood of the examples' tokens, the "supervised examples mixed in"; the chosen
      replies unless others are given.
    * kl: the "mild KL term to the SFT model", by the k3 estimator ``exp(d) - 1 - d`` with ``d = ref - pi`` per token
      (Schulman, joschu.net/blog/kl-approx.html), on the chosen replies' tokens. The tokens come from the data and not
      from the policy, so it is a penalty that is zero at equality and grows with the distance, not an unbiased KL.

    Args:
        policy: Log-probabilities [2 n, columns], the n chosen replies first.
        reference: The same under the frozen SFT model.
        mask: Which tokens count.
        beta: Strength of the implicit KL constraint.
        supervised_weight: Weight of the supervised term.
        kl_coef: Weight of the KL term.
        supervised: The supervised term where its examples are not the chosen replies.

    Returns:
        The total and its parts; margin is ``beta`` times the difference of log-ratios, accuracy the share above zero.
    """
    n = len(policy) // 2
    log_ratios = (policy - reference).sum(dim=1)
    margins = beta * (log_ratios[:n] - log_ratios[n:])
    preference = -logsigmoid(margins).mean()
    chosen = mask[:n]
    supervised = -policy[:n][chosen].mean() if supervised is None else supervised
    difference = (reference[:n] - policy[:n])[chosen]
    kl = (torch.exp(difference) - 1 - difference).mean()
    return PreferenceLoss(
        total=preference + supervised_weight * supervised + kl_coef * kl,
        preference=preference.detach(),
        supervised=supervised.detach(),
        kl=kl.detach(),
        margin=margins.detach().mean(),
        accuracy=(margins > 0).float().mean(),
    )


class ClarilmSFTTrainer(Resumable, SFTTrainer):
    """SFT on completion tokens (Eq. 2 and Eq. 5), through :func:`token_log_probs`."""

    options: SftOptions

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Mean negative log-likelihood over the completion tokens of the whole effective batch."""
        scoring = _rows_of(inputs, self.options)
        scores = token_log_probs(model, scoring)
        self.count(scoring)
        tokens = scoring.scored.sum() if num_items_in_batch is None else num_items_in_batch
        loss = -scores.sum() / tokens
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # as in transformers' Trainer.compute_loss
        return _finite(loss, self.state.global_step)


class SupervisedRows:
    """Supervised examples that DPO mixes in, drawn by the seed and the step, so that a resumed training draws the same.

    Args:
        rows: Token ids (prompt_ids, completion_ids).
        options: ``seed`` and ``supervised_share``.
        pad_token_id: Fills short rows.
    """

    def __init__(self, rows: Any, options: DpoOptions, pad_token_id: int) -> None:
        self._rows, self._options, self._pad = rows, options, pad_token_id

    def draw(self, n: int, *moment: int) -> dict[str, torch.Tensor] | None:
        """Draw a batch of n examples for a moment (step, micro batch, process); None where none is due."""
        seed, step = self._options.seed, moment[0]
        if stable_unit(seed, "supervised", step) >= self._options.supervised_share:
            return None
        chosen = [self._rows[int(stable_unit(seed, *moment, at) * len(self._rows))] for at in range(n)]
        ids = [row["prompt_ids"] + row["completion_ids"] for row in chosen]
        longest = max(map(len, ids))
        return {
            "input_ids": torch.tensor([row + [self._pad] * (longest - len(row)) for row in ids]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids]),
            "labels": torch.tensor(
                [
                    [IGNORED] * len(row["prompt_ids"])
                    + row["completion_ids"]
                    + [IGNORED] * (longest - len(row["prompt_ids"]) - len(row["completion_ids"]))
                    for row in chosen
                ]
            ),
        }


class ClarilmDPOTrainer(Resumable, DPOTrainer):
    """DPO from an SFT adapter against a frozen copy of it, with :func:`preference_loss`.

    TRL copies the adapter ``default`` to a frozen one called ``ref`` when it is given a PEFT model and nothing else;
    given a ``peft_config`` it would start from the base model. Two things are overridden: ``_prepare_dataset``, a
    private method (hence the pin trl<1.17; under another name the trainer would stop at our columns), because the rows
    come tokenized, and the loss, because TRL has no KL term and scores every position on a CPU.
    """

    options: DpoOptions
    supervised_rows: SupervisedRows | None = None
    first_preference_loss: float | None = None
    _micro = (-1, 0)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Total of :func:`preference_loss` over one micro batch."""
        scoring = self._scoring(inputs)
        policy, reference = self._log_probs(model, scoring)
        parts = preference_loss(
            policy,
            reference,
            scoring.scored,
            beta=self.options.beta,
            supervised_weight=self.options.supervised_weight,
            kl_coef=self.options.kl_coef,
            supervised=self._supervised(model, len(policy) // 2),
        )
        if self.first_preference_loss is None and self.options.reference == "sft" and self.state.global_step == 0:
            self.first_preference_loss = _at_ln_2(float(parts.preference))
        self.count(scoring, reference=self.options.reference)
        for name, value in parts._asdict().items():
            if name != "total":
                self._metrics["train"][name].append(float(value))  # DPOTrainer.log averages and clears them
        return _finite(parts.total, self.state.global_step)

    def _scoring(self, inputs: dict[str, Any]) -> Scoring:
        ids = inputs["input_ids"]
        labels = ids.masked_fill(inputs["completion_mask"] == 0, IGNORED)
        attention = self.model.config._attn_implementation
        if self.options.share_prompts and not self.options.padding_free and attention in {"sdpa", "eager"}:
            return shared_prompts(ids, inputs["attention_mask"], labels, additive=attention == "eager")
        return _rows_of({**inputs, "labels": labels}, self.options)

    def _log_probs(self, model: Any, scoring: Scoring) -> tuple[torch.Tensor, torch.Tensor]:
        policy = token_log_probs(model, scoring)
        # Without an adapter the base model answers.
        adapter = "ref" if self.options.reference == "sft" else None
        with torch.no_grad(), use_adapter(self.accelerator.unwrap_model(self.model), adapter):
            return policy, token_log_probs(model, scoring)

    def _supervised(self, model: Any, n: int) -> torch.Tensor | None:
        """The supervised term where it is not on the chosen replies: zero in a step that mixes none in."""
        if self.supervised_rows is None:
            due = stable_unit(self.options.seed, "supervised", self.state.global_step) < self.options.supervised_share
            return None if due else torch.zeros((), device=self.accelerator.device)
        step, micro = self.state.global_step, self._micro[1] + 1 if self._micro[0] == self.state.global_step else 0
        self._micro = (step, micro)
        batch = self.supervised_rows.draw(n, step, micro, self.accelerator.process_index)
        if batch is None:
            return torch.zeros((), device=self.accelerator.device)
        batch = {key: each.to(model.device) for key, each in batch.items()}
        scoring = _rows_of(batch, self.options)
        scores = token_log_probs(model, scoring)
        self.count(scoring)
        return -scores[scoring.scored].mean()


#: Policy and reference compute the same numbers in the same order then, in bfloat16 too.
_LN_2_TOLERANCE = 1e-4


def _at_ln_2(loss: float) -> float:
    """Hold the loss of the first pairs against ln 2; TRL switches dropout off for DPO, so it is exact."""
    if abs(loss - math.log(2)) > _LN_2_TOLERANCE:
        raise ClarilmError(
            f"DPO's first loss is {loss:.4f} and not ln 2 = 0.6931, so the policy does not start at its reference, "
            "the SFT model. The installed versions of trl and peft do not fit together; install those of "
            "requirements.lock."
        )
    return loss


def _rows_of(batch: dict[str, Any], options: TrainingOptions) -> Scoring:
    form = padding_free if options.padding_free else padded
    return form(batch["input_ids"], batch["attention_mask"], batch["labels"])


def _finite(loss: torch.Tensor, step: int) -> torch.Tensor:
    value = float(loss.detach())
    if not math.isfinite(value):
        before = (
            ""
            if step
            else "Before the first update this comes from the base model's weights: check that they are whole. "
        )
        raise ClarilmError(f"The loss became {value} at step {step + 1}. {before}{INSTEAD}")
    return loss
