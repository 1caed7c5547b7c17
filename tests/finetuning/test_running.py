import logging
from types import SimpleNamespace

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning import running
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.running import attention, one_device


def test_one_process_keeps_to_one_gpu(caplog: pytest.LogCaptureFixture) -> None:
    several = SimpleNamespace(n_gpu=4, _n_gpu=4)
    with caplog.at_level(logging.WARNING):
        assert one_device(several)._n_gpu == 1
    assert "One of 4 GPUs is used" in caplog.text
    assert one_device(SimpleNamespace(n_gpu=0, _n_gpu=0))._n_gpu == 0


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [("cpu", "bfloat16", "eager"), ("cpu", "float32", "sdpa"), ("cuda", "bfloat16", "sdpa")],
)
def test_attention_is_the_one_that_is_fast(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: str, expected: str
) -> None:
    monkeypatch.setattr(running, "device", lambda: device)
    spec = BaseModelSpec.model_validate({"source": "x", "dtype": dtype})
    assert attention(SftOptions(), spec) == expected
    assert attention(SftOptions(attention="eager"), spec) == "eager"


def test_an_attention_that_is_not_installed_is_refused() -> None:
    from transformers.utils import is_flash_attn_2_available

    if is_flash_attn_2_available():
        pytest.skip("flash-attn is installed here")
    with pytest.raises(ClarilmError, match="install flash-attn"):
        attention(SftOptions(attention="flash_attention_2"), BaseModelSpec(source="x"))
