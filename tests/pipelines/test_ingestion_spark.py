"""The same nodes on DuckDB and on Spark give the same rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ingestion_runs import run_pipeline

from clarilm_kedro.config import ChainedConfigLoader

pytest.importorskip("pyspark", reason="Spark is not installed here (the extra `spark`)")
pytestmark = pytest.mark.slow

TABLES = (
    "conversations",
    "duplicates",
    "detected_languages",
    "near_duplicates",
    "sessions",
    "rejected_sessions",
    "log_statistics",
    "log_funnel",
)


@pytest.fixture(scope="module", autouse=True)
def _spark_ends() -> Iterator[None]:
    yield
    from pyspark.sql import SparkSession

    if session := SparkSession.getActiveSession():
        session.stop()


def ingest(project: Path, env: str | None, store: Path, inputs: dict[str, str]) -> dict[str, pd.DataFrame]:
    local = {"connection": {"master": "local[2]", "conf": {"spark.sql.shuffle.partitions": 2}}}
    loader = ChainedConfigLoader(
        project / "conf",
        base_env="base",
        default_run_env="local",
        env=env,
        runtime_params={"store": str(store), "inputs": inputs, **({"engine": local} if env == "cluster" else {})},
    )
    run_pipeline(loader)
    # A file, or Spark's folder of files.
    return {name: pd.read_parquet(next(store.rglob(f"{name}.parquet"))) for name in TABLES}


def plain(value: Any) -> Any:
    if hasattr(value, "tolist") and getattr(value, "shape", ()):
        return value.tolist()
    return value if isinstance(value, list) or pd.notna(value) else None


def same_rows(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name in TABLES:
        assert list(one[name].columns) == list(other[name].columns), name
        rows = [
            sorted(
                ({column: plain(value) for column, value in row.items()} for row in tables[name].to_dict("records")),
                key=str,
            )
            for tables in (one, other)
        ]
        assert len(rows[0]) == len(rows[1]), name
        for left, right in zip(*rows, strict=True):
            assert left == right, name
    assert list(one["sessions"]["session_id"]) == list(other["sessions"]["session_id"])


def test_the_sample_world(project: Path, tmp_path: Path) -> None:
    sample = project / "data" / "01_raw" / "sample"
    inputs = {"sharegpt": str(sample / "sharegpt.json"), "wildchat": str(sample / "wildchat")}
    duckdb = ingest(project, None, tmp_path / "duckdb", inputs)
    assert len(duckdb["sessions"]) > 300
    same_rows(duckdb, ingest(project, "cluster", tmp_path / "spark", inputs))


@pytest.mark.real_data
def test_the_real_samples(project: Path, real_data: Path, tmp_path: Path) -> None:
    inputs = {"sharegpt": str(real_data / "sharegpt"), "wildchat": str(real_data / "wildchat")}
    duckdb = ingest(project, None, tmp_path / "duckdb", inputs)
    assert len(duckdb["sessions"]) > 600
    same_rows(duckdb, ingest(project, "cluster", tmp_path / "spark", inputs))
