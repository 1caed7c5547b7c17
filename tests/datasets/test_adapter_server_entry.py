from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from clarilm_kedro.datasets.adapter_server import AdapterServerDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.adapter_server import AdapterServer


def dataset(folder: Path, **options: Any) -> AdapterServerDataset:
    paths = {name: str(folder / name) for name in ("folder", "log_file", "store")}
    return AdapterServerDataset(**{"engine": "llama_cpp", **paths, **options})


def test_transformers_needs_no_server(tmp_path: Path) -> None:
    assert dataset(tmp_path, engine="transformers").load() is None


def test_llama_cpp_is_one_server_that_has_started_nothing(tmp_path: Path) -> None:
    entry = dataset(tmp_path, weights="q8_0", slots=3)
    server = entry.load()
    assert isinstance(server, AdapterServer)
    assert entry.load() is server
    assert (server.options.weights, server.options.slots, server.options.folder) == ("q8_0", 3, tmp_path / "folder")
    assert entry.exists()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DatasetError, match="cannot be saved"):
        entry.save("x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "vllm"}, r"decoding\.engine is 'vllm'; give transformers or llama_cpp"),
        ({"weights": "q2_k"}, r"decoding\.weights: Input should be 'f32', 'f16' or 'q8_0'"),
        ({"slots": 0}, r"decoding\.slots: .*greater than or equal to 1"),
        ({"speed": 9}, r"decoding\.speed: Extra inputs"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ClarilmError, match=said):
        dataset(tmp_path, **options)
