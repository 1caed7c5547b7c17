"""What kedro-viz shows of a dataset.

kedro-viz tells the kind of a preview by the name of its type. A table and a text are written into the page as text.
HTML is sanitised, but then searched for Markdown, so that a text with brackets could still become a link of its own
making (kedro-viz 12.5); see :func:`without_markdown`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NewType

from kedro_datasets._typing import TablePreview

#: kedro-viz writes it into ``<pre>``.
TextPreview = NewType("TextPreview", str)

#: Longer texts of a cell are cut.
CELL_CHARS = 200
_TEXT_CHARS = 20_000
_NOT_THERE = "Not there yet: the run command above makes it."
_TAG = re.compile(r"(<[^>]*>)")
_BETWEEN_TAGS = re.compile(r">\s*\n\s*<")
_WORD_JOINER = "\u2060"
# Characters that look alike, for those of which kedro-viz makes emphasis wherever they come in pairs.
_ALIKE = str.maketrans({"_": "\u02cd", "*": "\u2217"})


def table_preview(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> TablePreview:
    """Show the first rows of a table.

    Args:
        columns: Names of the columns.
        rows: The values, one sequence a row.

    Returns:
        Index, columns and data, as ``DataFrame.to_dict("split")`` gives them; nested values as JSON, long texts cut.
    """
    data = [[_cell(value) for value in row] for row in rows]
    return TablePreview({"index": list(range(len(data))), "columns": list(columns), "data": data})


def absent_table() -> TablePreview:
    """Say in the place of a table that it is not there yet."""
    return table_preview([_NOT_THERE], [])


def text_preview(metadata: Mapping[str, Any] | None, text: str | None) -> TextPreview:
    """Show the sentence of a catalog entry and a text.

    Args:
        metadata: That of the catalog entry; ``description`` is the sentence.
        text: Any text, of which up to 20,000 characters are shown; None where it is not there yet.

    Returns:
        The sentence and, below it, the text.
    """
    shown = _NOT_THERE if text is None else text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}…"
    return TextPreview("\n\n".join(filter(None, [str((metadata or {}).get("description") or ""), shown])))


def without_markdown(fragment: str) -> str:
    r"""Leave kedro-viz nothing to take for Markdown in an HTML fragment, which it looks for after sanitising.

    ``[x](" onmouseover="...)`` in a model's reply would otherwise become an attribute that runs. Brackets of links and
    fences of code are broken by a character without width; underscores and asterisks become signs that look alike; line
    ends between tags, of which kedro-viz makes ``<br>``, go.

    Args:
        fragment: HTML whose texts are escaped.

    Returns:
        HTML that looks the same.
    """
    broken = fragment.replace("](", f"]{_WORD_JOINER}(").replace("```", f"`{_WORD_JOINER}`{_WORD_JOINER}`")
    parts = _TAG.split(_BETWEEN_TAGS.sub("><", broken))
    return "".join(part if place % 2 else part.translate(_ALIKE) for place, part in enumerate(parts))


class SettingsPreview:
    """Gives a dataset that holds no rows (a chat model, an adapter, a server) a preview of its settings."""

    metadata: dict[str, Any] | None

    def _describe(self) -> dict[str, Any]:
        raise NotImplementedError

    def preview(self) -> TextPreview:
        """Show the entry's sentence and settings in kedro-viz; a dataset describes itself without secrets.

        Returns:
            The sentence, and one setting a line.
        """
        settings = {name: value for name, value in self._describe().items() if value is not None}
        return text_preview(self.metadata, "\n".join(f"{name}: {_cell(value)}" for name, value in settings.items()))


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    return text if len(text) <= CELL_CHARS else f"{text[: CELL_CHARS - 1]}…"


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
