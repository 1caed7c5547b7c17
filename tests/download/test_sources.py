from pathlib import Path
from typing import Any

import pytest
import yaml

from clarilm_kedro.download.options import DownloadOptions
from clarilm_kedro.download.sources import FileSpec, choose, licence_notices, read_sources
from clarilm_kedro.errors import ClarilmError

SOURCE: dict[str, Any] = {
    "what": "Three rows.",
    "homepage": "https://example.org",
    "licence": {"name": "CC0", "url": "https://example.org/cc0", "notice": "Be kind."},
    "download": "3 bytes",
    "files": [{"url": "https://example.org/a%20b.json?x=1"}],
}


def listed(**changes: Any) -> dict[str, Any]:
    return {"one": {**SOURCE, **changes}}


def test_a_target_is_the_last_part_of_its_address() -> None:
    assert read_sources(listed())["one"].files[0].target == "a b.json"
    assert FileSpec(url="https://example.org/x.zip", to="y/z.zip").target == "y/z.zip"
    assert FileSpec.model_validate({"hf": {"repo": "a/b", "path": "data/x.parquet"}}).target == "data/x.parquet"
    assert FileSpec.model_validate({"hf": {"repo": "a/b", "pattern": "*"}}).target is None


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ({}, "either a url or hf"),
        ({"url": "https://x.org/a", "hf": {"repo": "a/b", "path": "a"}}, "either a url or hf"),
        ({"hf": {"repo": "a/b"}}, "either a path or a pattern"),
        ({"hf": {"repo": "a/b", "pattern": "*"}, "sha256": "0" * 64}, "do not go with a pattern"),
        ({"hf": {"repo": "../b", "path": "a"}}, "repo"),
        ({"url": "ftp://x.org/a"}, "starts with https"),
        ({"url": "https://user:pass@x.org/a"}, "no name or password"),
        ({"url": "https://x.org/"}, "is refused"),
        ({"url": "https://x.org/..%5Ca"}, "is refused"),
        ({"url": "https://x.org/a", "to": "../../a"}, "is refused"),
        ({"url": "https://x.org/a", "sha256": "abc"}, "sha256"),
        ({"url": "https://x.org/a", "md5": "abc"}, "md5"),
    ],
)
def test_a_wrong_entry_is_named(file: dict[str, Any], told: str) -> None:
    with pytest.raises(ClarilmError, match=rf"sources\.yml: one\.files\.0.*{told}"):
        read_sources(listed(files=[file]))


def test_two_files_may_not_land_on_one_name() -> None:
    with pytest.raises(ClarilmError, match="the same name"):
        read_sources(listed(files=[{"url": "https://x.org/a"}, {"url": "https://y.org/a"}]))
    with pytest.raises(ClarilmError, match=r"'\.\./x' must be"):
        read_sources({"../x": SOURCE})


def test_sources_are_chosen_by_name() -> None:
    sources = read_sources(dict.fromkeys(("a", "b", "c"), SOURCE))
    assert list(choose(sources, None)) == ["a", "b", "c"]
    assert list(choose(sources, ["c", "a"])) == ["a", "c"]
    with pytest.raises(ClarilmError, match=r"names d, which sources.yml does not list. It lists: a, b, c"):
        choose(sources, ["d"])


def test_names_come_as_a_list_or_as_one_text() -> None:
    assert DownloadOptions(sources="wildchat in3").sources == ("wildchat", "in3")  # type: ignore[arg-type]
    assert DownloadOptions(sources=["in3"]).sources == ("in3",)  # type: ignore[arg-type]
    assert DownloadOptions(sources="all").sources is None  # type: ignore[arg-type]


def test_a_notice_names_licence_address_and_size() -> None:
    assert licence_notices(read_sources(listed())) == ["one (3 bytes): CC0 <https://example.org/cc0>. Be kind."]


def test_the_shipped_list_holds_every_source_and_every_input(project: Path) -> None:
    base = project / "conf" / "base"
    sources = read_sources(yaml.safe_load((project / "src" / "clarilm_kedro" / "download" / "sources.yml").read_text()))
    inputs = yaml.safe_load((base / "globals.yml").read_text())["inputs"]
    served = {key for source in sources.values() for key in source.inputs}
    assert served == {
        "sharegpt",
        "wildchat",
        "personas",
        "ambigqa",
        "natural_questions",
        "popqa",
        "in3_train",
        "in3_test",
        "clamber",
    }
    assert served <= set(inputs)
    default = yaml.safe_load((base / "download" / "parameters.yml").read_text())["download"]
    assert set(default) == set(DownloadOptions.model_fields)
    assert set(sources) - set(choose(sources, DownloadOptions(**default).sources)) == {"wildchat"}
    for source in sources.values():
        assert source.licence.notice.endswith(".")
        assert all(file.hf or str(file.url).startswith("https://") for file in source.files)
