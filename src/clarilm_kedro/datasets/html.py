"""An HTML page as a dataset, shown by kedro-viz beside the graph."""

import os
import re
from typing import Any

from kedro_datasets._typing import HTMLPreview
from kedro_datasets.text import TextDataset

from clarilm_kedro.datasets.previews import without_markdown

_STYLE = re.compile(r"<style\b.*?</style>", re.DOTALL | re.IGNORECASE)
_BODY = re.compile(r"<main\b[^>]*>(?P<main>.*)</main>", re.DOTALL | re.IGNORECASE)
_PREVIEW_CHARS = 200_000


class HTMLDataset(TextDataset):
    """Save and load an HTML document as UTF-8 text.

    kedro-viz sanitises a preview and puts it into its own page, so the preview is the ``<main>`` part without style
    sheets, which would restyle kedro-viz itself, and without what kedro-viz would take for Markdown; a long one is left
    out rather than cut in the middle of a tag.

    Args:
        filepath: Where the document is written.
        metadata: For Kedro plugins; not used here.
    """

    def __init__(self, *, filepath: str | os.PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        encoded = {
            "open_args_load": {"mode": "r", "encoding": "utf-8"},
            "open_args_save": {"mode": "w", "encoding": "utf-8"},
        }
        super().__init__(filepath=filepath, metadata=metadata, fs_args=encoded)

    def preview(self) -> HTMLPreview:
        """Return the document's main part for kedro-viz.

        Returns:
            An HTML fragment, or a sentence that names the file where the document is too long to preview.
        """
        if not self.exists():
            return HTMLPreview("<p>Not there yet: the run command above makes it.</p>")
        document = _STYLE.sub("", self.load())
        match = _BODY.search(document)
        fragment = match["main"] if match else document
        if len(fragment) > _PREVIEW_CHARS:
            return HTMLPreview("<p>The page is too long for a preview: open the file in a browser.</p>")
        return HTMLPreview(without_markdown(fragment))
