"""What of an adapter's folder is laid out for publication."""

import json
from pathlib import Path

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.publishing.files import CARD, Upload, split_card
from clarilm_kedro.publishing.model import model_upload

CARD_TEXT = "---\nbase_model: packaged:smollm2\nlicense: apache-2.0\n---\n# ClariLM\n"


def adapter(folder: Path, base: str = "org/base") -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 8}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "base_model.json").write_text(json.dumps({"source": base, "fingerprint": "f"}))
    (folder / "report.json").write_text(json.dumps({"base_model": base, "status": "trained"}))
    return folder


def read(upload: Upload, path: str) -> bytes:
    content = next(file.content for file in upload.files if file.path == path)
    return content if isinstance(content, bytes) else content.read_bytes()


def test_the_adapter_goes_with_threshold_and_card(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "clarilm")
    (folder / "private_notes.txt").write_text("mine")
    upload = model_upload(folder, {}, CARD_TEXT, {"threshold": 0.7})
    assert {file.path for file in upload.files} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "base_model.json",
        "report.json",
        "calibration.json",
        CARD,
    }
    assert json.loads(read(upload, "calibration.json")) == {"threshold": 0.7}
    assert upload.left_out == ("private_notes.txt: not a file that a training writes",)
    assert upload.size == sum(len(read(upload, file.path)) for file in upload.files)


@pytest.mark.parametrize("base", ["/home/me/llama", "./llama", "~/llama", "C:\\llama"])
def test_a_path_of_this_machine_is_not_published(tmp_path: Path, base: str) -> None:
    folder = adapter(tmp_path / "clarilm", base)
    with pytest.raises(ClarilmError, match="--base-model OWNER/NAME"):
        model_upload(folder, {}, CARD_TEXT, None)
    upload = model_upload(folder, {"base_model": base, "status": "trained"}, CARD_TEXT, None, base_model="org/base")
    assert json.loads(read(upload, "adapter_config.json")) == {"base_model_name_or_path": "org/base", "r": 8}
    assert split_card(read(upload, CARD).decode(), "card")[0]["base_model"] == "org/base"
    assert not any(base.encode() in read(upload, file.path) for file in upload.files)


def test_a_folder_of_the_working_folder_is_a_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "llama").mkdir(parents=True)
    with pytest.raises(ClarilmError, match="a path of this machine"):
        model_upload(adapter(tmp_path / "clarilm", "models/llama"), {}, CARD_TEXT, None)


def test_a_packaged_base_model_is_warned_of(tmp_path: Path) -> None:
    upload = model_upload(adapter(tmp_path / "clarilm", "packaged:smollm2"), {}, CARD_TEXT, None)
    assert "only this project understands" in upload.warnings[0]


def test_a_skipped_or_incomplete_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClarilmError, match="only 3 rows"):
        model_upload(None, {"status": "skipped", "reason": "only 3 rows"}, CARD_TEXT, None)
    folder = adapter(tmp_path / "clarilm")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ClarilmError, match=r"adapter_model\.safetensors"):
        model_upload(folder, {}, CARD_TEXT, None)
