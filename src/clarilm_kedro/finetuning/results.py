"""What a training hands on: an adapter and the report on how it came about."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TRAINED = "trained"
SKIPPED = "skipped"
NOT_WANTED = "not wanted"


@dataclass(frozen=True)
class TrainedAdapter:
    """A LoRA adapter, or the record of why there is none.

    Attributes:
        path: Folder with ``adapter_config.json`` and ``adapter_model.safetensors``; None where training was skipped.
        report: What can be written as JSON: ``status`` (trained, skipped or not wanted), ``reason`` of a skip, rows,
            steps, losses, seconds, options.
        folder: Holds a temporary folder in existence for as long as this object lives, where ``path`` lies in one.
    """

    path: Path | None
    report: dict[str, Any]
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def skipped(cls, reason: str) -> "TrainedAdapter":
        """Record that nothing was trained.

        Args:
            reason: A sentence for the report.

        Returns:
            An adapter without a path.
        """
        return cls(None, {"status": SKIPPED, "reason": reason})

    @classmethod
    def not_wanted(cls) -> "TrainedAdapter":
        """Record that the options do not list this training."""
        return cls(None, {"status": NOT_WANTED, "reason": "It is not listed in training.variants.train."})

    @property
    def wanted(self) -> bool:
        """Whether the options list this training."""
        return bool(self.report.get("status") != NOT_WANTED)

    def with_report(self, **entries: Any) -> "TrainedAdapter":
        """Give the same adapter with more in its report."""
        return replace(self, report={**self.report, **entries})
