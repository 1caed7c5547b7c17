"""How long it takes to score five systems on a benchmark of CLAMBER's size and to compare all of them.

The rows are CLAMBER's, drawn with replacement up to the published 3,202; the systems are the predictions that the file
ships, four of them with some decisions turned over by hash, so that they differ. BERTScore is timed by itself: the
first pass computes it, the second takes it from the cache.

    python benchmarks/scoring.py PATH/clamber.jsonl
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.aggregation import results_table
from clarilm_kedro.metrics.benchmarks.clamber import parse_clamber
from clarilm_kedro.metrics.benchmarks.shape import read_rows
from clarilm_kedro.metrics.categories import CategoryOptions, category_results
from clarilm_kedro.metrics.comparing import ComparisonOptions, category_comparisons, comparison_matrix, comparisons
from clarilm_kedro.metrics.question_quality import clean_question
from clarilm_kedro.metrics.score_cache import ScoreCache
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS, ScoringOptions, score_rows
from clarilm_kedro.tables import table
from clarilm_kedro.text.hashing import stable_unit
from machine import describe_machine

NAME = "clamber"
PACKAGES = ["pandas", "numpy", "torch", "transformers", "bert-score"]
SYSTEMS = {"clarilm": 0.0, "clarilm-sft": 0.1, "sft-full": 0.2, "base": 0.3, "sft-in3": 0.4}


def draw(records: Records, n: int) -> Records:
    """Draw rows with replacement, seeded, under positions of their own."""
    rows = [records.rows[int(stable_unit(7, i) * len(records.rows))] for i in range(n)]
    return Records(NAME, [Record(i, row.data, row.source_file) for i, row in enumerate(rows)])


def predict(items: pd.DataFrame, drawn: Records) -> pd.DataFrame:
    """Make five systems of the shipped predictions."""
    rows = []
    for system, turned_over in SYSTEMS.items():
        for item, record in zip(items.to_dict("records"), drawn.rows, strict=True):
            text = str(record.data["predict_clarifying_question"])
            asked = bool(record.data["predict_ambiguous"]) ^ (stable_unit(system, item["item_id"]) < turned_over)
            rows.append(
                {
                    "benchmark": NAME,
                    "system": system,
                    "seed": 0,
                    "item_id": item["item_id"],
                    "text": text,
                    "asked": asked,
                    "p_ask": None,
                    "question": clean_question(text) if asked else "",
                    "parsed": True,
                    "threshold": None,
                }
            )
    return table(rows, PREDICTION_COLUMNS)


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do it and print a row of the table."""
    started = perf_counter()
    done = work()
    print(f"| {what} | {perf_counter() - started:.1f} |", flush=True)
    return done


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clamber", type=Path)
    parser.add_argument("--rows", type=int, default=3202)
    given = parser.parse_args()
    drawn = draw(read_records(str(given.clamber), NAME), given.rows)
    items, _ = read_rows(NAME, drawn, parse_clamber)
    predictions = predict(items, drawn)
    print(describe_machine(PACKAGES))
    print(f"{len(items):,} items, {len(SYSTEMS)} systems, 10,000 resamples\n")
    print("| what | s |")
    print("|---|---:|")
    options, categories, scoring = ComparisonOptions(), CategoryOptions(), ScoringOptions()
    with tempfile.TemporaryDirectory(prefix="scoring-") as folder:
        cache = ScoreCache(Path(folder) / "scores.sqlite")
        timed(
            "row scores with BERTScore (MiniLM, loading included)",
            lambda: score_rows(items, predictions, scoring, cache),
        )
        scores = timed("row scores, BERTScore from the cache", lambda: score_rows(items, predictions, scoring, cache))
    timed("results table", lambda: results_table(scores, {}, {}, "hash", options))
    timed("results by category and subclass", lambda: category_results(scores, items, categories))
    timed("one system against the others", lambda: comparisons(scores, options))
    timed("every pair", lambda: comparison_matrix(scores, options))
    timed("every pair within categories", lambda: category_comparisons(scores, items, options, categories))


if __name__ == "__main__":
    main()
