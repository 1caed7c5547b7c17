"""The model repository: an adapter's files, its threshold and its card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.publishing.files import CARD, RepoFile, Upload, joined_card, split_card

_CONFIG, _NOTE = "adapter_config.json", "base_model.json"
# What a training writes; anything else in the folder is somebody's, and stays.
FILES = {
    _CONFIG: "PEFT's settings, the base model's name among them",
    "adapter_model.safetensors": "the adapter's weights",
    _NOTE: "which base weights it was trained on",
    "report.json": "steps, losses and speed of the training",
}
CALIBRATION = "calibration.json"
_PACKAGED = "packaged:"


def model_upload(
    folder: Path | None,
    report: Mapping[str, Any],
    card: str,
    calibration: Mapping[str, Any] | None,
    *,
    base_model: str | None = None,
) -> Upload:
    """Lay out the model repository.

    Args:
        folder: The adapter's folder; None where its training was skipped.
        report: Its training report.
        card: The model card.
        calibration: The system's threshold on P(ask) with its curve; None leaves it out.
        base_model: Id of the base model on the hub, in place of the name that the training used.

    Returns:
        The files and the card.

    Raises:
        ClarilmError: The training was skipped, files are missing, the base model's name is a path of this machine, or
            the card has no head.
    """
    if folder is None:
        reason = report.get("reason") or report.get("status") or "its training was skipped"
        raise ClarilmError(
            f"There is no adapter to upload: {reason}. Train it, or push the data alone: --type dataset."
        )
    missing = [name for name in (_CONFIG, "adapter_model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise ClarilmError(f"{folder} does not hold {', '.join(missing)}: train this adapter again.")
    head, text = split_card(card, "the model card")
    config = _read(folder / _CONFIG)
    named = str(config.get("base_model_name_or_path") or "")
    warnings = []
    if base_model is None and _is_local(named):
        raise ClarilmError(
            f"The adapter names its base model '{named}', a path of this machine, which nobody else can load and which "
            "should not be published. Name the same model on the hub: --base-model OWNER/NAME."
        )
    if base_model is None and named.startswith(_PACKAGED):
        warnings.append(
            f"The adapter names its base model '{named}', which only this project understands. If the same weights are "
            "on the hub, name them: --base-model OWNER/NAME."
        )
    changed: dict[str, bytes] = {}
    if base_model is not None:
        changed[_CONFIG] = _json({**config, "base_model_name_or_path": base_model})
        if (folder / _NOTE).is_file():
            changed[_NOTE] = _json({**_read(folder / _NOTE), "source": base_model})
        changed["report.json"] = _json({**report, "base_model": base_model})
        head["base_model"] = base_model
    files = [
        RepoFile(name, changed.get(name, folder / name), note)
        for name, note in FILES.items()
        if name in changed or (folder / name).is_file()
    ]
    if calibration is not None:
        files.append(RepoFile(CALIBRATION, _json(calibration), "the threshold on P(ask), and how it was fitted"))
    files.append(RepoFile(CARD, joined_card(head, text), "the model card"))
    other = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
    left_out = [f"{name}: not a file that a training writes" for name in other]
    return Upload("model", tuple(files), tuple(left_out), tuple(warnings))


def _is_local(name: str) -> bool:
    return name.startswith((".", "/", "~", "\\")) or name[1:3] == ":\\" or Path(name).exists()


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ClarilmError(f"{path} cannot be read ({error}); train this adapter again.") from error


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
