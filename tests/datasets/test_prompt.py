"""Prompts as catalog entries: shipped with the package, replaced by name."""

from pathlib import Path

import pytest
import yaml
from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from clarilm_kedro.chat.prompts import PromptTemplate
from clarilm_kedro.datasets.prompt import PromptDataset, digest, shipped_prompts
from clarilm_kedro.errors import ClarilmError

# Replies are stored under these: a change of a text sends every request anew. Whoever changes a prompt changes it here.
DIGESTS = {
    "annotation": "20b94e6fcdd8",
    "answer": "c443affd31d5",
    "extraction": "a42a2bc95c24",
    "facets": "c019d3313023",
    "judge": "2d8dfe5bd70e",
    "question_quality": "6d9238ad940e",
    "synthesis": "d22f6fb0e8ac",
    "tuning": "ff00f9a5c434",
    "zero_shot": "48ae50c33484",
}


def test_the_shipped_prompts_are_those_that_replies_are_stored_under() -> None:
    texts = {name: PromptDataset(name=name).load() for name in shipped_prompts()}
    assert {name: PromptTemplate.from_text(name, text).sha256[:12] for name, text in texts.items()} == DIGESTS
    assert all(PromptTemplate.from_text(name, text).sha256 == digest(text) for name, text in texts.items())


def test_every_prompt_is_an_entry_of_the_catalog(project: Path) -> None:
    named = {}
    for pipeline in ("chat", "judge"):
        listed = yaml.safe_load((project / "conf" / "base" / pipeline / "catalog.yml").read_text())
        named |= {key: entry["name"] for key, entry in listed.items() if key.endswith("_prompt") and key[0] != "_"}
    assert named == {f"{name}_prompt": name for name in shipped_prompts()}


def test_a_folder_replaces_prompts_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "facets.jinja").write_text("## user\nFärbe <b>\n", encoding="utf-8")
    (tmp_path / "mine" / "notes.md").write_text("no prompt")
    mine = PromptDataset(name="facets", folder="mine")
    assert mine.load() == "## user\nFärbe <b>\n"
    assert mine._describe() == {"filepath": str(tmp_path / "mine" / "facets.jinja"), "replaced": True}
    assert PromptDataset(name="answer", folder="mine").load() == PromptDataset(name="answer").load()
    assert "Färbe <b>" in mine.preview()  # kedro-viz writes it as text
    assert digest(mine.load()) in mine.preview()


def test_a_replacement_that_replaces_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "facet.jinja").write_text("## user\n")
    with pytest.raises(ClarilmError, match=r"facet\.jinja replaces no prompt.*facets"):
        PromptDataset(name="facets", folder=str(tmp_path))
    with pytest.raises(ClarilmError, match="which is no folder"):
        PromptDataset(name="facets", folder=str(tmp_path / "absent"))
    entry = {"type": PromptDataset, "name": "facets", "folder": str(tmp_path / "absent")}
    with pytest.raises(DatasetError) as caught:
        AbstractDataset.from_config("facets_prompt", entry)
    assert isinstance(caught.value.__cause__, ClarilmError)  # so that the command ends with its sentence


def test_a_prompt_that_is_no_text_and_one_that_is_saved(tmp_path: Path) -> None:
    (tmp_path / "facets.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match="UTF-8"):
        PromptDataset(name="facets", folder=str(tmp_path)).load()
    with pytest.raises(DatasetError, match="only read"):
        PromptDataset(name="facets").save("text")  # type: ignore[arg-type]
