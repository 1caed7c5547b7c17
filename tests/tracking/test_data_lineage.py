"""What data a run read and made."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from clarilm_kedro.tracking import lineage
from clarilm_kedro.tracking.lineage import Fingerprint, as_mlflow, fingerprint


def rows(n: int = 50) -> pd.DataFrame:
    return pd.DataFrame(
        {"q": [f"question {i}" for i in range(n)], "asks": [i % 2 == 0 for i in range(n)], "n": range(n)}
    )


def seen(path: Path) -> Fingerprint:
    found = fingerprint(path)
    assert found is not None
    return found


def saved(frame: pd.DataFrame, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, **options)  # type: ignore[call-overload]
    return path


def test_a_table_has_rows_columns_and_a_digest(tmp_path: Path) -> None:
    found = seen(saved(rows(), tmp_path / "t.parquet"))
    assert (found.rows, found.files, found.whole) == (50, 1, True)
    assert found.columns == (("q", "string"), ("asks", "boolean"), ("n", "long"))
    assert len(found.digest) == 16


def test_the_same_rows_have_the_same_digest_however_they_are_written(tmp_path: Path) -> None:
    frame = rows()
    one = seen(saved(frame, tmp_path / "one.parquet"))
    shuffled = saved(
        frame.sample(frac=1, random_state=1), tmp_path / "two.parquet", compression="gzip", row_group_size=7
    )
    for number, part in enumerate((frame[30:], frame[:30])):
        saved(part, tmp_path / "spark" / f"part-{number}.parquet")
    (tmp_path / "spark" / "_SUCCESS").touch()
    assert seen(shuffled).digest == one.digest
    assert (seen(tmp_path / "spark").digest, seen(tmp_path / "spark").rows) == (one.digest, 50)


@pytest.mark.parametrize("change", ["cell", "twice", "column", "type", "less"])
def test_other_rows_have_another_digest(tmp_path: Path, change: str) -> None:
    frame = rows()
    changed = {
        "cell": frame.assign(q=["other", *frame["q"][1:]]),
        "twice": pd.concat([frame, frame[:1], frame[:1]]),  # a pair cancels out in a plain exclusive or
        "column": frame.rename(columns={"q": "question"}),
        "type": frame.astype({"n": "float64"}),
        "less": frame[:-1],
    }[change]
    assert seen(saved(changed, tmp_path / "b.parquet")).digest != seen(saved(frame, tmp_path / "a.parquet")).digest


def test_nested_and_empty_tables_are_told_apart(tmp_path: Path) -> None:
    nested = pd.DataFrame({"facets": [["a", "b"], []]})
    other = pd.DataFrame({"facets": [["a"], ["b"]]})
    digests = {
        seen(saved(frame, tmp_path / f"{number}.parquet")).digest
        for number, frame in enumerate((nested, other, nested[:0]))
    }
    assert len(digests) == 3


def test_files_are_told_by_content_and_not_by_place_or_time(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.json").write_text("[1]")
    (folder / "b.json").write_text("[2]")
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    os.utime(copy / "a.json", (0, 0))
    assert seen(folder) == seen(copy)
    assert (seen(folder).files, seen(folder).size) == (2, 6)
    (copy / "a.json").write_text("[3]")
    assert seen(folder).digest != seen(copy).digest


def test_a_glob_names_its_files(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "c.txt"):
        (tmp_path / name).write_text(name)
    assert seen(tmp_path / "*.json").files == 2


def test_of_large_data_the_ends_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "READ_WHOLE", 100)
    monkeypatch.setattr(lineage, "_END", 10)
    log, table = tmp_path / "log.jsonl", saved(rows(1000), tmp_path / "t.parquet")
    log.write_bytes(b"a" * 1000)
    before = seen(log)
    assert not before.whole
    log.write_bytes(b"a" * 999 + b"b")
    assert seen(log).digest != before.digest
    log.write_bytes(b"a" * 1001)
    assert seen(log).digest != before.digest
    assert (seen(table).whole, seen(table).rows) == (False, 1000)


def test_what_is_not_there_or_not_what_its_name_says_stops_nothing(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "nothing.json") is None
    (tmp_path / "empty").mkdir()
    assert fingerprint(tmp_path / "empty") is None
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 torn")
    assert seen(torn).rows is None


def test_of_an_adapter_the_weights_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "report.json").write_text(f'{{"seconds": "{name}"}}')
    assert seen(tmp_path / "a") == seen(tmp_path / "b")


def test_mlflow_is_told_rows_and_columns(tmp_path: Path) -> None:
    told = as_mlflow("sft_train", seen(saved(rows(), tmp_path / "t.parquet")), "data/t.parquet")
    assert (told.name, told.source) == ("sft_train", '{"uri": "data/t.parquet"}')
    assert json.loads(told.profile)["num_rows"] == 50
    assert [each["name"] for each in json.loads(told.schema)["mlflow_colspec"]] == ["q", "asks", "n"]
