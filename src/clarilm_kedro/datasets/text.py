"""Text files, shown by kedro-viz."""

from typing import Any

from kedro_datasets.text import TextDataset as KedroTextDataset

from clarilm_kedro.datasets.previews import TextPreview, text_preview


class TextDataset(KedroTextDataset):
    """``text.TextDataset`` with a preview, which Kedro's has not; the arguments are the same."""

    metadata: dict[str, Any] | None

    def preview(self) -> TextPreview:
        """Show the entry's sentence and the text in kedro-viz.

        Returns:
            The sentence and, below it, the text.
        """
        return text_preview(self.metadata, self.load() if self.exists() else None)
