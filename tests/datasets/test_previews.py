"""Previews of tables, texts, settings and HTML for kedro-viz."""

import inspect
import json
from pathlib import Path
from typing import Any

import pandas as pd

from clarilm_kedro.datasets.chat_endpoint import ChatEndpointDataset
from clarilm_kedro.datasets.html import HTMLDataset
from clarilm_kedro.datasets.parquet import ParquetDataset
from clarilm_kedro.datasets.previews import CELL_CHARS, text_preview, without_markdown
from clarilm_kedro.datasets.text import TextDataset

META = {"description": "What it is."}


def kind(dataset: Any) -> str:
    """How kedro-viz tells the kind of a preview."""
    return str(inspect.signature(dataset.preview).return_annotation.__name__)


def test_a_table_shows_its_first_rows_with_nested_values_and_long_texts(tmp_path: Path) -> None:
    dataset = ParquetDataset(filepath=(tmp_path / "t.parquet").as_posix(), metadata=META)
    frame = pd.DataFrame({"n": range(9), "turns": [["a", "b"]] * 9, "text": ["x" * 999] * 9, "p": [None, *[0.5] * 8]})
    dataset.save(frame)
    shown: Any = dataset.preview(nrows=2)
    assert kind(dataset) == "TablePreview"
    assert shown["columns"] == ["n", "turns", "text", "p"]
    assert shown["data"] == [[0, '["a", "b"]', "x" * (CELL_CHARS - 1) + "…", None], [1, *shown["data"][1][1:]]]
    json.dumps(shown)
    assert dataset.preview(nrows=0) == {"index": [], "columns": shown["columns"], "data": []}
    dataset.save(frame.head(0))
    assert dataset.preview()["data"] == []  # type: ignore[index]


def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    table: Any = ParquetDataset(filepath=(tmp_path / "t.parquet").as_posix()).preview()
    assert "Not there yet" in table["columns"][0]
    assert "Not there yet" in TextDataset(filepath=(tmp_path / "t.md").as_posix(), metadata=META).preview()
    assert "Not there yet" in HTMLDataset(filepath=(tmp_path / "t.html").as_posix()).preview()


def test_a_text_stands_below_its_sentence(tmp_path: Path) -> None:
    dataset = TextDataset(filepath=(tmp_path / "t.md").as_posix(), metadata=META)
    dataset.save("# Results\n\n| <b> |")
    assert kind(dataset) == "TextPreview"
    assert dataset.preview() == "What it is.\n\n# Results\n\n| <b> |"
    assert len(text_preview(None, "x" * 50_000)) == 20_001


def test_a_chat_model_shows_its_settings_and_no_key(tmp_path: Path) -> None:
    dataset = ChatEndpointDataset(
        model="m", base_url="http://127.0.0.1:1/v1", credentials={"api_key": "sk-secret"},
        store=str(tmp_path / "s.sqlite"), metadata=META,
    )  # fmt: skip
    shown = dataset.preview()
    assert kind(dataset) == "TextPreview"
    assert shown.startswith("What it is.\n\n")
    assert "model: m" in shown
    assert "sk-secret" not in shown


def test_no_markdown_is_left_in_html() -> None:
    """Made into a link after sanitising, the first would be an attribute that runs."""
    hostile = '<p>[x](" onmouseover="alert(1)) [y](javascript:alert(1))</p>\n<p>```js\nx```</p>'
    broken = without_markdown(hostile)
    assert "](" not in broken
    assert "```" not in broken
    assert without_markdown('<a href="#a_b">session_id *</a>') == '<a href="#a_b">session\u02cdid \u2217</a>'
    assert without_markdown("<tr>\n  <td>a\nb</td>\n</tr>") == "<tr><td>a\nb</td></tr>"
