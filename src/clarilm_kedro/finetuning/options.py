"""Options that SFT and DPO share, with the paper's values (section 4.5) as defaults where it gives one."""

from typing import Literal

from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.options import Options

#: What becomes of a training that has too few rows: the run records the skip, or stops.
OnTooFew = Literal["skip", "fail"]


class TrainingOptions(Options):
    """How an adapter is trained; the cosine schedule and AdamW are fixed."""

    seed: int = Field(0, ge=0, description="Seeds the adapter's start, the order of rows and dropout.")
    learning_rate: float = Field(gt=0, description="Peak learning rate; falls to zero along a cosine.")
    epochs: int = Field(1, ge=1, description="Passes over the rows.")
    batch_size: int = Field(ge=1, description="Rows per optimizer step, over all devices.")
    micro_batch_size: int = Field(8, ge=1, description="Rows per device and forward pass; must divide batch_size.")
    max_length: int = Field(512, ge=16, description="Tokens of prompt and reply; longer rows are left out and counted.")
    warmup_share: float = Field(0.0, ge=0, lt=1, description="Share of steps in which the learning rate rises.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm.")
    gradient_checkpointing: bool = Field(False, description="Trade a third more computing for less memory.")
    logging_steps: int = Field(1, ge=1, description="Optimizer steps between two points of the loss curve.")

    group_by_length: bool = Field(
        False,
        description="Batches of rows of like length: less padding, but like labels, as vague questions are short.",
    )

    padding_free: bool = Field(
        False,
        description="Rows of a batch run as one, without padding. Pays with attention: flash_attention_2 on a GPU.",
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        "auto", description="Implementation; auto: torch's (sdpa), on a CPU in bfloat16 the plain formula (eager)."
    )
    torch_compile: bool = Field(False, description="Compile the model; every new length of rows costs time first.")

    def accumulation(self, processes: int = 1) -> int:
        """Derive how many forward passes make one optimizer step.

        Args:
            processes: Processes that train together, over all machines.

        Returns:
            ``batch_size / (micro_batch_size * processes)``.

        Raises:
            ClarilmError: That is not a whole number.
        """
        steps, rest = divmod(self.batch_size, self.micro_batch_size * processes)
        if rest or not steps:
            raise ClarilmError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size} times "
                f"{processes} process(es). Change one of them, so that every optimizer step sees batch_size rows."
            )
        return steps


class LoraOptions(TrainingOptions):
    """Options of the low-rank adapter (Hu et al. 2022), on every linear layer but the output head."""

    lora_rank: int = Field(8, ge=1, description="Rank r of the update.")
    lora_alpha: int = Field(16, ge=1, description="The update is scaled by alpha / r.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the update.")


class SftOptions(LoraOptions):
    """Options of SFT; defaults from section 4.5 (batch 32 = 8 x 4 accumulation, lr 1e-4, rank 8, one epoch)."""

    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate; falls to zero along a cosine.")
    batch_size: int = Field(32, ge=1, description="Rows per optimizer step, over all devices.")


class DpoOptions(TrainingOptions):
    """Options of DPO; learning rate, beta and batch from section 4.5."""

    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate; falls to zero along a cosine.")
    batch_size: int = Field(16, ge=1, description="Pairs per optimizer step, over all devices.")
    beta: float = Field(
        0.1, gt=0, description="Scale of the log-ratios in Eq. 6: higher stays closer to the reference."
    )
    reference: Literal["sft", "base"] = Field(
        "sft", description="What the policy is held to: the SFT model it starts from (the paper), or the base model."
    )
    supervised_weight: float = Field(
        0.2, ge=0, description="Weight of the likelihood of supervised examples that are mixed in (section 3.3.5)."
    )
    supervised_source: Literal["chosen", "sft_rows"] = Field(
        "chosen", description="The examples: the pairs' chosen replies, or rows of the SFT training table."
    )
    supervised_share: float = Field(
        1.0, ge=0, le=1, description="Share of optimizer steps that mix examples in; the paper says occasionally."
    )
    kl_coef: float = Field(0.05, ge=0, description="Weight of the mild KL term towards the SFT model (section 3.3.5).")
