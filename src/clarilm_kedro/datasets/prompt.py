"""A prompt as a catalog entry: the one that the package ships, or a file that replaces it."""

import hashlib
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from clarilm_kedro.datasets.paths import in_project
from clarilm_kedro.datasets.previews import TextPreview, text_preview
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.shipped import shipped_file

SUFFIX = ".jinja"


class PromptDataset(AbstractDataset[NoReturn, str]):
    """A prompt's text, read as UTF-8.

    Example:
    ```yaml
    facets_prompt:
      type: clarilm_kedro.datasets.prompt.PromptDataset
      name: facets
      folder: "${globals:prompts}"
    ```

    Args:
        name: Its file without ``.jinja``.
        folder: Files of this name there replace the package's; relative to the Kedro project. None replaces none.
        metadata: Free entries for plugins such as kedro-viz.

    Raises:
        ClarilmError: The folder is not there, or holds a prompt of a name that replaces nothing.
    """

    def __init__(self, *, name: str, folder: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata
        self._filepath = shipped_prompts().get(name) or shipped_file(f"prompts/{name}{SUFFIX}")
        self._replaced = False
        own = own_prompts(folder) if folder else {}
        if name in own:
            self._filepath, self._replaced = own[name], True

    def load(self) -> str:
        """Read the prompt.

        Returns:
            The template's text.

        Raises:
            DatasetError: The file cannot be read as UTF-8.
        """
        try:
            return self._filepath.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"The prompt {self._filepath} cannot be read as UTF-8 text ({error}).") from error

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: prompts are written by people."""
        raise DatasetError(f"The prompt {self._filepath} is only read.")

    def preview(self) -> TextPreview:
        """Show the entry's sentence, the digest that the response store keeps, and the text in kedro-viz."""
        text = self.load()
        origin = "In place of the package's own" if self._replaced else "Shipped with the package"
        return text_preview(self.metadata, f"{origin}; SHA-256 {digest(text)}\n\n{text}")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "replaced": self._replaced}


def digest(text: str) -> str:
    """Give the digest that tables and the response store call ``prompt_sha``."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def shipped_prompts() -> dict[str, Path]:
    """Give the package's prompts: name to file."""
    return {path.stem: path for path in sorted(shipped_file("prompts").glob(f"*{SUFFIX}"))}


def own_prompts(folder: str) -> dict[str, Path]:
    """Give the prompts of a folder: name to file.

    Args:
        folder: Relative to the Kedro project.

    Raises:
        ClarilmError: See :class:`PromptDataset`.
    """
    place = Path(in_project(folder))
    if not place.is_dir():
        raise ClarilmError(
            f"The global `prompts` names {place}, which is no folder. `clarilm prompts --to DIR` writes the package's "
            "prompts to a folder; null takes them as they are."
        )
    own = {path.stem: path for path in sorted(place.glob(f"*{SUFFIX}"))}
    known = shipped_prompts()
    if unknown := sorted(own.keys() - known.keys()):
        raise ClarilmError(
            f"{place / unknown[0]}{SUFFIX} replaces no prompt: there is none of that name. Known: {', '.join(known)}."
        )
    return own
