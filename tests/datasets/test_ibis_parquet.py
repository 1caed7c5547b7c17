import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io.core import DatasetError

from clarilm_kedro.datasets.ibis_parquet import IbisParquetDataset
from clarilm_kedro.datasets.previews import CELL_CHARS
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.engines import read_batches

DUCKDB = {"backend": "duckdb", "threads": 2}


def dataset(path: Path, **options: Any) -> IbisParquetDataset:
    return IbisParquetDataset(filepath=str(path), connection=DUCKDB, **options)


def numbers(*values: str) -> ibis.Table:
    return ibis.memtable({"number": list(values)}, schema={"number": "string"})


def test_round_trip(tmp_path: Path) -> None:
    one = dataset(tmp_path / "sub" / "t.parquet", save_args={"compression": "zstd"})
    assert not one.exists()
    one.save(numbers("1", "2"))
    assert one.exists()
    assert one.load().to_pyarrow().to_pylist() == [{"number": "1"}, {"number": "2"}]
    assert pq.ParquetFile(tmp_path / "sub" / "t.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    assert [each.name for each in (tmp_path / "sub").iterdir()] == ["t.parquet"]


def test_a_table_can_be_made_of_what_it_replaces(tmp_path: Path) -> None:
    one = dataset(tmp_path / "t.parquet")
    one.save(numbers("1"))
    old = one.load()
    one.save(old.union(old))
    assert one.load().count().execute() == 2


def test_an_expression_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    one = dataset(tmp_path / "t.parquet")
    one.save(numbers("1"))
    before = (tmp_path / "t.parquet").read_bytes()
    bad = numbers("1", "x")
    with pytest.raises(
        DatasetError, match=r"t\.parquet' cannot be written; what was there before is unchanged"
    ) as caught:
        one.save(bad.mutate(number=bad.number.cast("int64")))
    assert isinstance(caught.value.__cause__, ClarilmError)
    assert "Could not convert string 'x'" in str(caught.value)
    assert (tmp_path / "t.parquet").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


def test_an_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = dataset(tmp_path / "t.parquet")
    one.save(numbers("1"))

    def interrupted(_: Any, path: str, **__: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(one.connection, "to_parquet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.save(numbers("2"))
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]
    assert pq.read_table(tmp_path / "t.parquet")["number"].to_pylist() == ["1"]


def test_what_a_killed_run_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".t.parquet.partial").mkdir()
    (tmp_path / "t.parquet").mkdir()  # as Spark writes a table
    (tmp_path / "t.parquet" / "part-0.parquet").write_bytes(b"x")
    dataset(tmp_path / "t.parquet").save(numbers("1"))
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 1


FULL_DISK = """
import resource, sys
import ibis
from clarilm_kedro.datasets.ibis_parquet import IbisParquetDataset
from clarilm_kedro.datasets.previews import CELL_CHARS
table = ibis.range(200_000).unnest().name("number").as_table()
one = IbisParquetDataset(filepath=sys.argv[1], connection={"backend": "duckdb", "threads": 2})
one.save(table.limit(10))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    one.save(table.mutate(text=table.number.cast("string").hexdigest("sha256")))
except Exception as error:
    print(error)
print(one.load().count().execute())
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes here")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "t.parquet")], capture_output=True, text=True, check=True
    )
    assert "t.parquet' cannot be written; what was there before is unchanged." in done.stdout
    assert "Free some space and run again." in done.stdout
    assert done.stdout.endswith("\n10\n")
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"]


def test_a_damaged_input_is_named_with_a_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in ("a", "b"):
        rows = pa.table({"text": [f"{name}{number * 7919}" for number in range(3000)]})
        pq.write_table(rows, folder / f"{name}.parquet", compression="snappy")
    whole = (folder / "b.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(whole[:100] + bytes(200) + whole[300:])
    one = dataset(tmp_path / "t.parquet")
    shards = [one.connection.read_parquet(str(folder / f"{name}.parquet")) for name in ("a", "b")]
    with pytest.raises(DatasetError, match=r"shards/b\.parquet.* --params engine\.careful=true") as caught:
        one.save(ibis.union(*shards))
    assert "a.parquet" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["shards"]


def test_two_savings_give_the_same_bytes(tmp_path: Path) -> None:
    rows = 30_000
    keys = ibis.memtable(
        pa.table(
            {
                "key": [number * 7919 % rows for number in range(rows)],
                "text": [f"text {n % 97}" * 9 for n in range(rows)],
            }
        )
    )
    copies = []
    for name in ("one", "two"):
        one = dataset(tmp_path / f"{name}.parquet", save_args={"compression": "zstd"})
        one.save(keys.mutate(copied=keys.text.upper()).order_by("key"))
        copies.append((tmp_path / f"{name}.parquet").read_bytes())
        assert one.load().to_pyarrow()["key"].to_pylist() == list(range(rows))
    assert copies[0] == copies[1]


def test_preview(tmp_path: Path) -> None:
    one = dataset(tmp_path / "t.parquet")
    rows = {"n": [1, 2, 3], "x": [0.5, None, 1.0], "text": ["a" * 999, "b", None], "turns": [["q"], [], None]}
    one.save(ibis.memtable(pa.table(rows)))
    assert one.preview(2) == {
        "index": [0, 1],
        "columns": ["n", "x", "text", "turns"],
        "data": [[1, 0.5, "a" * (CELL_CHARS - 1) + "…", '["q"]'], [2, None, "b", "[]"]],
    }
    assert len(one.preview()["data"]) == 3


def test_entries_with_equal_connections_share_one(tmp_path: Path) -> None:
    one, other = dataset(tmp_path / "a.parquet"), dataset(tmp_path / "b.parquet")
    assert one.connection is other.connection
    one.save(numbers("1"))
    other.save(one.load().mutate(twice=ibis._.number))
    assert other.load().join(one.load(), "number").to_pyarrow().to_pylist() == [{"number": "1", "twice": "1"}]


def test_batches_stream_a_table_in_its_order(tmp_path: Path) -> None:
    one = dataset(tmp_path / "t.parquet")
    one.save(ibis.range(5000).unnest().name("number").as_table())
    batches = list(read_batches(one.load().order_by(ibis.desc("number")), 2000))
    assert [number for batch in batches for number in batch["number"]] == list(range(4999, -1, -1))
    assert len(batches) > 1
    assert list(read_batches(one.load().limit(0), 10)) == []
