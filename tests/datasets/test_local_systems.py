from pathlib import Path

import pytest
from kedro.io import AbstractDataset, DatasetError

TYPE = "clarilm_kedro.datasets.local_systems.LocalSystemsDataset"


def load(**systems):
    return AbstractDataset.from_config("local_systems", {"type": TYPE, "systems": systems}).load()


def test_systems_are_named_with_their_model_and_adapter(project: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    found = load(
        plain={"source": "org/model", "prompt": "zero_shot", "dtype": "bfloat16"},
        tuned={"source": "packaged:smollm2", "adapter": str(tmp_path), "threshold": 0.3},
        gone=None,
    )
    assert list(found) == ["plain", "tuned"]
    plain, tuned = found.values()
    assert (plain.model.source, plain.model.dtype, plain.adapter, plain.prompt, plain.threshold) == (
        "org/model", "bfloat16", None, "zero_shot", 0.5,
    )  # fmt: skip
    assert plain.model.cache_dir == project / "data/06_models/base_models"
    assert (tuned.adapter, tuned.prompt, tuned.threshold) == (tmp_path, "clarilm", 0.3)
    assert load() == {}


def test_a_wrong_system_is_named() -> None:
    with pytest.raises(DatasetError, match=r"'x' is not configured right: source: Field required; promt: Extra"):
        load(x={"promt": "clarilm"})
    with pytest.raises(DatasetError, match=r"'x': there is no adapter_config\.json in .*nowhere"):
        load(x={"source": "a", "adapter": "nowhere"})
