"""The ingestion pipeline on the bundled sample and on the real ones."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingestion_runs import Row, Tables, assert_every_row_once, run, write_json

from clarilm_kedro.logs.filters import REASONS
from clarilm_kedro.logs.statistics import AVERAGES
from clarilm_kedro.pipelines.ingestion.nodes import draw_log_funnel
from clarilm_kedro.pipelines.ingestion.schemas import SESSIONS


@pytest.fixture(scope="module")
def sample_run(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tables]:
    """The pipeline on the bundled sample."""
    store = tmp_path_factory.mktemp("sample")
    sample = project / "data" / "01_raw" / "sample"
    return store, run(project, store, sharegpt=sample / "sharegpt.json", wildchat=sample / "wildchat")


def shards_of(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    for path in sorted(folder.glob("**/*.parquet")):
        yield path.relative_to(folder).as_posix(), pq.read_table(path)


def test_the_sample_keeps_every_row_once(project: Path, sample_run: tuple[Path, Tables]) -> None:
    sample = project / "data" / "01_raw" / "sample"
    read = Counter({("wildchat", name): table.num_rows for name, table in shards_of(sample / "wildchat")})
    read["sharegpt", "sharegpt.json"] = len(json.loads((sample / "sharegpt.json").read_bytes()))
    assert_every_row_once(sample_run[1], read)


def test_the_sample_gives_the_same_bytes_again(project: Path, tmp_path: Path, sample_run: tuple[Path, Tables]) -> None:
    sample = project / "data" / "01_raw" / "sample"
    run(project, tmp_path, sharegpt=sample / "sharegpt.json", wildchat=sample / "wildchat")
    names = ("sessions", "rejected_sessions", "detected_languages", "near_duplicates")
    for name in (
        *(f"02_intermediate/{name}" for name in names),
        "08_reporting/log_statistics",
        "08_reporting/log_funnel",
    ):
        files = [store / f"{name}.parquet" for store in (sample_run[0], tmp_path)]
        assert files[0].read_bytes() == files[1].read_bytes(), name


def test_the_sample_gives_the_same_sessions_from_other_shards(
    project: Path, tmp_path: Path, sample_run: tuple[Path, Tables]
) -> None:
    sample = project / "data" / "01_raw" / "sample"
    whole = pa.concat_tables(table for _, table in shards_of(sample / "wildchat"))
    chance = random.Random(5)
    whole = whole.take(chance.sample(range(whole.num_rows), whole.num_rows))
    third = whole.num_rows // 3
    (tmp_path / "w").mkdir()
    for name, start in {"z": 0, "a": third, "m": 2 * third}.items():
        pq.write_table(whole.slice(start, whole.num_rows if name == "m" else third), tmp_path / "w" / f"{name}.parquet")
    rows = json.loads((sample / "sharegpt.json").read_bytes())
    chance.shuffle(rows)
    write_json(tmp_path / "s" / "2.json", rows[:100])
    (tmp_path / "s" / "1.jsonl").write_text("\n".join(json.dumps(row) for row in rows[100:]))
    found = run(project, tmp_path / "store", sharegpt=tmp_path / "s", wildchat=tmp_path / "w", careful=True)
    columns = [name for name in SESSIONS if name not in ("source_file", "position")]
    pd.testing.assert_frame_equal(found["sessions"][columns], sample_run[1]["sessions"][columns])
    what = ["source", "reason", "session_id"]
    tables = (found["rejected_sessions"], sample_run[1]["rejected_sessions"])
    rejected = [each[what].fillna("").sort_values(what, ignore_index=True) for each in tables]
    pd.testing.assert_frame_equal(*rejected)


def test_the_funnel_is_drawn(sample_run: tuple[Path, Tables]) -> None:
    figure = draw_log_funnel(sample_run[1]["log_funnel"])
    assert [axes.get_title() for axes in figure.axes] == ["sharegpt", "wildchat", "total"]
    assert [len(axes.patches) for axes in figure.axes] == [1 + len(REASONS)] * 3
    assert (sample_run[0] / "08_reporting" / "log_funnel.png").stat().st_size > 10_000


def words(text: str) -> int:
    return len([word for word in re.split(r"[ \t\n\r]+", text) if word])


def independent_means(conversations: list[list[str]]) -> list[float]:
    """Mean messages, words and characters of conversations whose texts are stripped, the plain way."""
    stripped = [[text.strip() for text in texts] for texts in conversations]
    count = len(stripped)
    return [
        sum(map(len, stripped)) / count,
        sum(words(text) for texts in stripped for text in texts) / count,
        sum(len(text) for texts in stripped for text in texts) / count,
    ]


def real_rows(real_data: Path) -> tuple[list[Row], list[Row]]:
    sharegpt = json.loads((real_data / "sharegpt" / "sharegpt_sample.json").read_bytes())
    paths = sorted((real_data / "wildchat").glob("*.parquet"))
    return sharegpt, [row for path in paths for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def real_run(project: Path, tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Tables:
    """The pipeline on the real samples."""
    sharegpt = real_data / "sharegpt" / "sharegpt_sample.json"
    return run(project, tmp_path_factory.mktemp("real"), sharegpt=sharegpt, wildchat=real_data / "wildchat")


@pytest.mark.real_data
def test_the_real_samples_agree_with_an_independent_count(real_run: Tables, real_data: Path) -> None:
    sessions, rejected = real_run["sessions"], real_run["rejected_sessions"]
    sharegpt, wildchat = real_rows(real_data)
    read = Counter({("sharegpt", "sharegpt_sample.json"): 605})
    read |= {("wildchat", f"train-0000{number}-of-00002.parquet"): 180 for number in range(2)}
    assert_every_row_once(real_run, read)

    asked = [[each["content"].strip() for each in row["conversation"] if each["role"] == "user"] for row in wildchat]
    asked = [[text for text in texts if text] for texts in asked]
    wanted = [
        row["conversation_hash"]
        for row, texts in zip(wildchat, asked, strict=True)
        if row["language"] == "English" and len(texts) >= 2 and len(texts[0]) <= 8000
    ]
    published = sessions[(sessions["source"] == "wildchat") & sessions["language_confidence"].isna()]
    assert sorted(published["chat_id"]) == sorted(f"wildchat-{each}" for each in wanted)

    spans = sorted((*row["id"].rsplit("_", 1), len(row["conversations"])) for row in sharegpt)
    spans = sorted((root, int(start), int(start) + length) for root, start, length in spans)
    meets = sum(one[0] == other[0] and other[1] <= one[2] for one, other in pairwise(spans))
    assert (rejected["reason"] == "joined_chunk").sum() == meets == 2
    silent = sum(
        not any(each["from"] == "human" and each["value"].strip() for each in row["conversations"]) for row in sharegpt
    )
    assert (rejected["reason"] == "no_user_turn").sum() == silent

    asked = [list(each) for each in sessions["user_questions"]]
    assert [len(each) for each in asked] == list(sessions["n_user_turns"])
    assert [each[0] for each in asked] == list(sessions["first_question"])
    assert (sessions["n_user_turns"] >= 2).all()
    again = sessions["near_duplicate_of"].dropna()
    assert set(again) <= set(sessions["session_id"])
    assert not set(again) & set(sessions.loc[again.index, "session_id"])


@pytest.mark.real_data
def test_uncleaned_the_averages_of_the_real_samples_are_those_of_a_plain_loop(
    project: Path, tmp_path: Path, real_data: Path
) -> None:
    sharegpt, wildchat = real_rows(real_data)
    options = {
        "reading": {"join_chunks": False, "clean_page_remnants": False},
        "filters": {"languages": None, "max_first_question_chars": None},
    }
    path = real_data / "sharegpt" / "sharegpt_sample.json"
    tables = run(project, tmp_path, options=options, sharegpt=path, wildchat=real_data / "wildchat")
    statistics = tables["log_statistics"].set_index(["stage", "source"])
    texts = {
        "sharegpt": [[each["value"] for each in row["conversations"]] for row in sharegpt],
        "wildchat": [[each["content"] for each in row["conversation"]] for row in wildchat],
    }
    means = ["mean_messages", "mean_words", "mean_chars"]
    for source, conversations in texts.items():
        read = statistics.loc[("read", source)]
        assert read["sessions"] == len(conversations)
        assert read[means].tolist() == pytest.approx(independent_means(conversations), rel=1e-12)

    wanted = [
        number
        for number, row in enumerate(sharegpt)
        if sum(each["from"] == "human" and bool(each["value"].strip()) for each in row["conversations"]) >= 2
    ]
    sessions = tables["sessions"]
    assert sorted(sessions.loc[sessions["source"] == "sharegpt", "position"]) == wanted
    kept = [texts["sharegpt"][number] for number in wanted]
    assert statistics.loc[("kept", "sharegpt"), means].tolist() == pytest.approx(independent_means(kept), rel=1e-12)
    first = [
        next(
            each["value"].strip()
            for each in sharegpt[number]["conversations"]
            if each["from"] == "human" and each["value"].strip()
        )
        for number in wanted
    ]
    assert statistics.loc[
        ("kept", "sharegpt"), ["mean_first_question_words", "mean_first_question_chars"]
    ].tolist() == (pytest.approx([sum(map(words, first)) / len(first), sum(map(len, first)) / len(first)], rel=1e-12))
    assert set(AVERAGES) <= set(statistics.columns)
