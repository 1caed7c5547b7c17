"""Nodes that bring published rows into the tables that training and evaluation read."""

from typing import Any

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.logs.records import Records
from clarilm_kedro.pipelines.dropping import DROPPED, LEAK, dropped
from clarilm_kedro.pipelines.held_out import (
    BENCHMARK_QUESTIONS,
    LEAKAGE,
    ClusterRule,
    LeakageOptions,
    SplitOptions,
    drop_leaks,
    find_leaks,
)
from clarilm_kedro.pipelines.ofs.leakage import OUR_TEST as OUR_TEST_SET
from clarilm_kedro.pipelines.ofs.schemas import DPO_ROWS, OUR_TEST, SFT_ROWS
from clarilm_kedro.pipelines.ofs.splits import TEST, TRAIN, VALID, draw_splits, held_out_sizes
from clarilm_kedro.pipelines.published.reading import PublishedRow, read_pairs, read_rows
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.deduplication import clusters
from clarilm_kedro.text.similarity import pairs_within

STAGE = "split_published_rows"
LOG, GENERATED, PUBLISHED = "log", "generated", "published"
HELD_OUT = {"question_id": "str", "question": "str", "split": "str"}


def read_published_rows(
    published_train: Records, published_preferences: Records, published_test: Records
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read published rows, whatever their columns are called.

    Args:
        published_train: Rows (q, r+).
        published_preferences: Rows (q, r+, r-); may be none, and then nothing is aligned.
        published_test: Held-out rows (q, r+); may be none, and then some are drawn.

    Returns:
        Rows and test rows (columns of SFT_ROWS), and preferences (DPO_ROWS).

    Raises:
        ClarilmError: There are no training rows, or an input cannot be understood.
    """
    rows = read_rows(published_train)
    if not rows:
        raise ClarilmError("inputs.published_train is not given or empty: point it at the published rows (q, r+).")
    pairs = [
        {
            "row_id": pair.row_id,
            "question": pair.question,
            "chosen": pair.chosen.text,
            "rejected": pair.rejected.text,
            "chosen_asks": pair.chosen.asks,
            "rejected_asks": pair.rejected.asks,
            "type": PUBLISHED,
        }
        for pair in read_pairs(published_preferences)
    ]
    return _sft_rows(rows), table(pairs, DPO_ROWS), _sft_rows(read_rows(published_test))


def split_published_rows(
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    tests: pd.DataFrame,
    benchmark_questions: pd.DataFrame,
    split: SplitOptions,
    rule: ClusterRule,
    leakage: LeakageOptions,
) -> tuple[pd.DataFrame, ...]:
    """Hold rows out by whole clusters, and drop what is like a test question.

    Args:
        rows: Published rows (q, r+).
        pairs: Published preferences.
        tests: Published test rows; where there are none, Our-test is drawn from the rows.
        benchmark_questions: Questions of IN3 test and CLAMBER.
        split: How many rows are held out.
        rule: Which questions share a split.
        leakage: What counts as a test question.

    Returns:
        sft_train, dpo_train, validation, our_test, the held-out questions with their split, the dropped rows and the
        leaks.
    """
    given = [
        {"test_set": OUR_TEST_SET, "test_id": row["row_id"], "question": row["question"]} for row in records(tests)
    ]
    against = table([*records(benchmark_questions), *given], BENCHMARK_QUESTIONS)
    kept: dict[str, list[Any]] = {}
    gone: list[dict[str, Any]] = []
    leaks: list[dict[str, Any]] = []
    for name, frame in (("sft_train", rows), ("dpo_train", pairs)):
        found = find_leaks(dict(zip(frame["row_id"], frame["question"], strict=True)), against, name, leakage)
        kept[name], leaking = drop_leaks(records(frame), found, STAGE, key="row_id")
        gone, leaks = [*gone, *leaking], [*leaks, *found]
    questions = [row["question"] for name in kept for row in kept[name]]
    names = clusters(questions, pairs_within(questions, rule))
    n = len(kept["sft_train"])
    sizes = held_out_sizes(split, n, n)
    if given:
        del sizes[TEST]
    cluster_of = {row["row_id"]: name for row, name in zip(kept["sft_train"], names, strict=False)}
    drawn = draw_splits(cluster_of, sizes, split.seed)
    parts: dict[str, list[Any]] = {TRAIN: [], VALID: [], TEST: records(tests)}
    for row in kept["sft_train"]:
        parts[drawn[row["row_id"]]].append(row)
    held_out = {cluster_of[row_id]: row_id for row_id, part in drawn.items() if part != TRAIN}
    used = []
    for row, name in zip(kept["dpo_train"], names[n:], strict=True):
        if name in held_out:
            gone.append(dropped(row, STAGE, LEAK, other_id=held_out[name]))
        else:
            used.append(row)
    return (
        table(parts[TRAIN], SFT_ROWS, sort_by="row_id"),
        table(used, DPO_ROWS, sort_by="row_id"),
        table(parts[VALID], SFT_ROWS, sort_by="row_id"),
        table([_test_item(row) for row in parts[TEST]], OUR_TEST, sort_by="item_id"),
        table(
            [{**row, "question_id": row["row_id"], "split": name} for name in (TEST, VALID) for row in parts[name]],
            HELD_OUT,
            sort_by="question_id",
        ),
        table(gone, DROPPED, sort_by="row_id"),
        table(leaks, LEAKAGE),
    )


def note_what_published_rows_lack() -> tuple[TrainedAdapter, pd.DataFrame]:
    """Record for the report that no facet model was trained and no logs were read."""
    return TrainedAdapter.skipped("The training rows are published ones, which need no facets."), pd.DataFrame()


def _sft_rows(rows: list[PublishedRow]) -> pd.DataFrame:
    return table(
        [
            {
                "row_id": row.row_id,
                "question": row.question,
                "asks": row.asks,
                "text": row.text,
                "teacher": PUBLISHED,
                "origin": row.origin if row.origin in (LOG, GENERATED) else PUBLISHED,
            }
            for row in rows
        ],
        SFT_ROWS,
    )


def _test_item(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "item_id": row["row_id"],
        "question": row["question"],
        "needs_clarification": row["asks"],
        "reference": row["text"],
        "references": [row["text"]] if row["asks"] else [],
        "facet": "",
        "thought": "",
        "teacher": row["teacher"],
    }
