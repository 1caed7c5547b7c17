"""A repository's files before they are uploaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from clarilm_kedro.errors import ClarilmError

RepoType = Literal["model", "dataset"]
CARD = "README.md"


@dataclass(frozen=True)
class RepoFile:
    """One file.

    Attributes:
        path: Where it goes in the repository.
        content: Its bytes, or the file that holds them.
        note: What it is, in a few words.
    """

    path: str
    content: bytes | Path
    note: str = ""

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


@dataclass(frozen=True)
class Upload:
    """What goes into one repository.

    Attributes:
        repo_type: ``model`` or ``dataset``.
        files: Its files, the card among them.
        left_out: What is not uploaded and why, a sentence each.
        warnings: What to know before it is made public, a sentence each.
    """

    repo_type: RepoType
    files: tuple[RepoFile, ...]
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def licence(self) -> list[str]:
        """The lines of the card that speak of licences."""
        card = next(file.content for file in self.files if file.path == CARD)
        text = card.decode("utf-8") if isinstance(card, bytes) else card.read_text(encoding="utf-8")
        return [line.strip() for line in text.splitlines() if "licen" in line.lower() and line.strip()]


def split_card(card: str, name: str) -> tuple[dict[str, Any], str]:
    """Take a card apart.

    Args:
        card: Markdown with a YAML head between two lines ``---``, as the hub reads it.
        name: What to call it in errors.

    Returns:
        The head and the Markdown.

    Raises:
        ClarilmError: There is no such head, or it cannot be read.
    """
    lines = card.replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != "---" or "---" not in [line.rstrip() for line in lines[1:]]:
        raise ClarilmError(f"{name} does not begin with a YAML head between two lines '---', which the hub reads.")
    end = 1 + [line.rstrip() for line in lines[1:]].index("---")
    try:
        head = yaml.safe_load("\n".join(lines[1:end])) or {}
    except yaml.YAMLError as error:
        raise ClarilmError(f"The YAML head of {name} cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(head, dict):
        raise ClarilmError(f"The YAML head of {name} must map names to values.")
    return head, "\n".join(lines[end + 1 :])


def joined_card(head: dict[str, Any], text: str) -> bytes:
    """Put a card together again."""
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n{text}".encode()
