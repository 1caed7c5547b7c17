"""An adapter knows its base model."""

import json
import shutil
from pathlib import Path

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapters import base_fingerprint, load_adapter
from clarilm_kedro.finetuning.base_model import BaseModelSpec, load_for_inference, load_merged, load_model
from clarilm_kedro.finetuning.results import TrainedAdapter


@pytest.fixture
def copied(sft_adapter: TrainedAdapter, tmp_path: Path) -> Path:
    """The adapter in a folder of its own, to be changed."""
    assert sft_adapter.path is not None
    return Path(shutil.copytree(sft_adapter.path, tmp_path / "copied"))


def other_base(tiny: BaseModelSpec, folder: Path) -> BaseModelSpec:
    """A model of the same shapes with other weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(tiny.source, folder)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny.source)).save_pretrained(folder)
    return BaseModelSpec(source=str(folder), dtype="float32")


def test_a_base_model_has_one_fingerprint_however_it_is_loaded(
    tiny: BaseModelSpec, copied: Path, tmp_path: Path
) -> None:
    import torch

    named = json.loads((copied / "base_model.json").read_text())
    assert named == {"source": tiny.source, "fingerprint": base_fingerprint(load_model(tiny))}
    assert base_fingerprint(load_model(tiny, dtype="bfloat16")) == named["fingerprint"]
    moved = BaseModelSpec(source=str(shutil.copytree(tiny.source, tmp_path / "moved")))
    model = load_model(moved)
    assert base_fingerprint(load_adapter(model, copied, moved.source)) == named["fingerprint"]
    assert base_fingerprint(load_merged(tiny, copied)) != named["fingerprint"]
    with torch.device("meta"):
        assert base_fingerprint(type(model)(model.config)) is None, "weights that are elsewhere"


def test_an_adapter_of_another_base_model_is_refused(tiny: BaseModelSpec, copied: Path, tmp_path: Path) -> None:
    other = other_base(tiny, tmp_path / "other")
    with pytest.raises(
        ClarilmError, match=r"copied was trained on the base model .*tiny.*base_model\.source is .*other"
    ):
        load_for_inference(other, copied)


def test_an_adapter_without_a_note_is_taken_where_it_fits(tiny: BaseModelSpec, copied: Path, tmp_path: Path) -> None:
    (copied / "base_model.json").unlink()
    load_merged(other_base(tiny, tmp_path / "other"), copied)
    smaller = tmp_path / "smaller"
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(tiny.source, hidden_size=16, head_dim=4)
    AutoModelForCausalLM.from_config(config).save_pretrained(smaller)
    with pytest.raises(ClarilmError, match=r"does not fit the base model .*smaller': .*size mismatch"):
        load_merged(BaseModelSpec(source=str(smaller)), copied)


def test_a_note_that_cannot_be_read_is_named(tiny: BaseModelSpec, copied: Path) -> None:
    (copied / "base_model.json").write_text("{")
    with pytest.raises(ClarilmError, match=r"base_model\.json cannot be read"):
        load_merged(tiny, copied)
