"""Runs of the ingestion pipeline with the project's own catalog and parameters, on files."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.logs.filters import REASONS
from clarilm_kedro.pipelines.ingestion import create_pipeline
from clarilm_kedro.pipelines.ingestion.schemas import (
    IngestionOptions,
    LanguageOptions,
    NearDuplicateOptions,
    SessionFilters,
)

Tables = dict[str, pd.DataFrame]
Row = dict[str, Any]
OPTIONS = {
    "reading": IngestionOptions,
    "filters": SessionFilters,
    "languages": LanguageOptions,
    "near_duplicates": NearDuplicateOptions,
}
PARQUET = ("conversations", "duplicates", "detected_languages", "near_duplicates", "sessions", "rejected_sessions")
QUESTIONS = ["How do I bake a good loaf of bread?", "How do I bake a good loaf of rye bread?", "And without an oven?"]


def run(
    project: Path,
    store: Path,
    *,
    options: dict[str, dict[str, Any]] | None = None,
    careful: bool = False,
    **inputs: Path | None,
) -> Tables:
    """Run the pipeline; options change parameters by group."""
    given = {name: None if path is None else str(path) for name, path in inputs.items()}
    loader = ChainedConfigLoader(
        project / "conf",
        base_env="base",
        default_run_env="local",
        runtime_params={
            "store": str(store),
            "inputs": {"sharegpt": None, "wildchat": None, **given},
            "engine": {"careful": careful},
        },
    )
    catalog = run_pipeline(loader, options)
    intermediate = store / "02_intermediate"
    tables = {name: pd.read_parquet(intermediate / f"{name}.parquet") for name in PARQUET}
    assert not [each.name for each in intermediate.iterdir() if "partial" in each.name]
    return tables | {name: catalog.load(name) for name in ("log_statistics", "log_funnel")}


def run_pipeline(loader: ChainedConfigLoader, options: dict[str, dict[str, Any]] | None = None) -> DataCatalog:
    """Run every node with a configuration; give the catalog."""
    names = {name for name in create_pipeline().datasets() if not name.startswith("params:")}
    catalog = DataCatalog.from_config({name: loader["catalog"][name] for name in names})
    for group, model in OPTIONS.items():
        values = {**loader["parameters"]["ingestion"][group], **(options or {}).get(group, {})}
        catalog[f"params:ingestion.{group}"] = MemoryDataset(model(**values))
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def chat(*questions: str, role: str = "from") -> list[dict[str, str]]:
    names = ("human", "gpt") if role == "from" else ("user", "assistant")
    text = "value" if role == "from" else "content"
    return [{role: names[index % 2], text: each} for q in questions for index, each in enumerate((q, f"Answer to {q}"))]


def write_json(path: Path, rows: Sequence[Any]) -> Path:
    """Write an array; None is an element that is torn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = ['{"id": "torn", "conversations": [' if row is None else json.dumps(row) for row in rows]
    path.write_text("[" + ",\n".join(texts) + "]")
    return path


def write_parquet(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def assert_every_row_once(tables: Tables, read: Counter[tuple[str, str]]) -> None:
    """Kept + rejected = read, row by row; read counts the rows of each source and file."""
    columns = ["source", "source_file", "position"]
    held = pd.concat([tables["sessions"][columns], tables["rejected_sessions"][columns]])
    places = [(*file, position) for file, count in read.items() for position in range(count)]
    assert sorted(held.itertuples(index=False, name=None)) == sorted(places)
    statistics, funnel = tables["log_statistics"], tables["log_funnel"]
    for source in {source for source, _ in read}:
        counts = statistics[statistics["source"] == source].groupby("stage")["sessions"].sum()
        count = sum(number for file, number in read.items() if file[0] == source)
        assert counts.get("read", 0) == counts.get("kept", 0) + counts.get("rejected", 0) == count
        left = funnel.loc[funnel["source"] == source, "sessions"].tolist()
        assert (left[0], left[-1]) == (count, counts.get("kept", 0))
        assert left == sorted(left, reverse=True)
    sessions, rejected = tables["sessions"], tables["rejected_sessions"]
    assert sessions["session_id"].is_unique
    assert sessions["session_id"].is_monotonic_increasing
    assert set(rejected["reason"]) <= {reason for reasons in REASONS.values() for reason in reasons}
    places = list(rejected[columns].itertuples(index=False, name=None))
    assert places == sorted(places)
