"""Scores of text pairs that outlive a run."""

from pathlib import Path

import pytest
from kedro.io import DatasetError

from clarilm_kedro.datasets.cache import ScoreCacheDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.score_cache import ScoreCache

PAIRS = [("a", "b"), ("a", "c"), ("\ud800", "b")]


def test_scores_are_found_again_under_their_measure_only(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "deep" / "scores.sqlite")
    assert cache.get("m", PAIRS) == {}
    cache.put("m", {PAIRS[0]: 0.25, PAIRS[2]: 1 / 3})
    again = ScoreCache(tmp_path / "deep" / "scores.sqlite")
    assert again.get("m", PAIRS) == {PAIRS[0]: 0.25, PAIRS[2]: 1 / 3}
    assert again.get("other", PAIRS) == {}
    assert again.get("m", []) == {}


def test_more_pairs_than_one_statement_takes(tmp_path: Path) -> None:
    many = {(f"q{i}", "r"): i / 2000 for i in range(1200)}
    cache = ScoreCache(tmp_path / "scores.sqlite")
    cache.put("m", many)
    assert cache.get("m", many) == many


def test_another_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "scores.sqlite").write_text("no database, and long enough to be looked at " * 100, encoding="utf-8")
    with pytest.raises(ClarilmError, match=r"scores\.sqlite cannot be used: .*move it away"):
        ScoreCache(tmp_path / "scores.sqlite").get("m", PAIRS)


def test_as_a_catalog_entry(tmp_path: Path) -> None:
    dataset = ScoreCacheDataset(filepath=str(tmp_path / "scores.sqlite"))
    assert dataset.exists()
    assert dataset.load().path == tmp_path / "scores.sqlite"
    with pytest.raises(DatasetError, match="cannot be saved"):
        dataset.save(0)
