import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.options import DpoOptions, SftOptions


def test_the_papers_values_are_the_defaults() -> None:
    sft, dpo = SftOptions(), DpoOptions()
    assert (sft.learning_rate, sft.batch_size, sft.micro_batch_size, sft.epochs, sft.lora_rank) == (1e-4, 32, 8, 1, 8)
    assert (dpo.learning_rate, dpo.batch_size, dpo.beta) == (1e-5, 16, 0.1)
    assert sft.accumulation() == 4


def test_accumulation_counts_the_processes() -> None:
    assert SftOptions().accumulation(4) == 1
    with pytest.raises(ClarilmError, match="batch_size 32 is not a multiple of micro_batch_size 16 times 4"):
        SftOptions(micro_batch_size=16).accumulation(4)


@pytest.mark.parametrize(("batch", "micro"), [(8, 3), (4, 8)])
def test_a_batch_that_does_not_divide_is_refused(batch: int, micro: int) -> None:
    with pytest.raises(ClarilmError, match="Change one of them"):
        SftOptions(batch_size=batch, micro_batch_size=micro).accumulation()


def test_a_mistyped_option_is_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        SftOptions(learning_rat=1e-3)  # type: ignore[call-arg]
