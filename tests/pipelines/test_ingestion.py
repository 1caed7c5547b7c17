"""The ingestion pipeline on small files made for a purpose."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ingestion_runs import PARQUET, QUESTIONS, assert_every_row_once, chat, run, write_json, write_parquet
from kedro.io.core import DatasetError

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.pipelines.ingestion.schemas import LOG_FUNNEL, LOG_STATISTICS, REJECTED_SESSIONS, SESSIONS


def test_each_row_goes_where_it_belongs(project: Path, tmp_path: Path) -> None:
    good = {"id": "a", "conversations": chat(*QUESTIONS)}
    sharegpt = [
        good,
        {"id": "b", "conversations": chat(QUESTIONS[0])},
        None,
        {"id": "c", "conversations": []},
        {"id": "d", "conversations": chat(*QUESTIONS)[1:2]},
        {"id": "e", "conversations": chat(*QUESTIONS)},
        {"id": "f", "text": "x"},
        {
            "id": "g",
            "conversations": chat("Wie backe ich ein gutes Brot ohne Ofen?", "Und mit Roggenmehl statt Weizen?"),
        },
        {"id": "h", "conversations": chat("Explain this text: " + "word " * 2000, "Thanks, and shorter please?")},
        {"id": "RoOtIdX_0", "conversations": chat("What is rye?", "What is spelt?")},
        {"id": "RoOtIdX_4", "conversations": chat("What is oat flour?")},
        {"id": "i", "conversations": chat(f"{QUESTIONS[0]}!", "Anything else?")},
    ]
    wildchat = [
        {"conversation": chat(*QUESTIONS, role="role"), "language": "English", "toxic": True},
        {"conversation": chat(*QUESTIONS[1:], role="role"), "language": "English", "toxic": True, "redacted": True},
        {"conversation": chat(*QUESTIONS[::-1], role="role"), "language": "English", "model": "gpt-4"},
    ]
    inputs = {
        "sharegpt": write_json(tmp_path / "s.json", sharegpt),
        "wildchat": write_parquet(tmp_path / "w.parquet", wildchat),
    }
    read = Counter({("sharegpt", "s.json"): 12, ("wildchat", "w.parquet"): 3})
    tables = run(project, tmp_path / "store", **inputs)
    assert_every_row_once(tables, read)
    sessions, rejected = tables["sessions"], tables["rejected_sessions"]
    assert tuple(sessions.columns) == SESSIONS
    assert tuple(rejected.columns) == REJECTED_SESSIONS
    assert sorted(zip(sessions["source"], sessions["position"], strict=True)) == [
        ("sharegpt", 0),
        ("sharegpt", 9),
        ("sharegpt", 11),
        ("wildchat", 2),
    ]
    assert list(zip(rejected["source"], rejected["position"], rejected["reason"], strict=True)) == [
        ("sharegpt", 1, "single_turn"),
        ("sharegpt", 2, "unreadable"),
        ("sharegpt", 3, "empty"),
        ("sharegpt", 4, "no_user_turn"),
        ("sharegpt", 5, "duplicate"),
        ("sharegpt", 6, "unreadable"),
        ("sharegpt", 7, "language"),
        ("sharegpt", 8, "too_long"),
        ("sharegpt", 10, "joined_chunk"),
        ("wildchat", 0, "duplicate"),
        ("wildchat", 1, "toxic"),
    ]
    assert rejected["detail"].notna().all()
    joined = sessions[(sessions["source"] == "sharegpt") & (sessions["position"] == 9)].iloc[0]
    assert list(joined["user_questions"]) == ["What is rye?", "What is spelt?", "What is oat flour?"]
    assert list(joined["positions"]) == [0, 2, 4]
    assert joined["first_answer"] == "Answer to What is rye?"
    # The first of a group is the one with the lowest session_id.
    bread = sessions[sessions["first_question"].str.startswith(QUESTIONS[0])].sort_values("session_id")
    assert bread["near_duplicate_of"].fillna("none").tolist() == ["none", bread["session_id"].iloc[0]]
    assert sessions["near_duplicate_of"].notna().sum() == 1
    used = tables["conversations"]
    taken = used[used["unfit"].notna() | used["filtered"].notna()]
    assert taken[["user_questions", "positions", "first_question", "first_answer"]].isna().all(axis=None)

    apart = run(project, tmp_path / "apart", options={"reading": {"join_chunks": False}}, **inputs)
    assert_every_row_once(apart, read)
    assert "joined_chunk" not in set(apart["rejected_sessions"]["reason"])


def test_nothing_given_makes_typed_tables_without_rows(project: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "s.json", [{"id": "a", "conversations": chat(*QUESTIONS)}])
    nothing = run(project, tmp_path / "nothing")
    run(project, tmp_path / "something", sharegpt=tmp_path / "s.json")
    for name in PARQUET:
        none, some = (
            pq.read_table(tmp_path / store / "02_intermediate" / f"{name}.parquet")
            for store in ("nothing", "something")
        )
        assert none.num_rows == 0
        assert (none.schema.names, none.schema.types) == (some.schema.names, some.schema.types)
    assert list(nothing["log_statistics"].columns) == list(LOG_STATISTICS)
    assert list(nothing["log_funnel"].columns) == list(LOG_FUNNEL)
    assert set(nothing["log_funnel"]["sessions"]) == {0}


def test_no_column_changes_its_type_in_parquet(project: Path, tmp_path: Path) -> None:
    """Sums of whole numbers have 128 bits in DuckDB, which parquet holds as floats."""
    path = write_json(tmp_path / "s.json", [{"id": "a", "conversations": chat(*QUESTIONS)}])
    run(project, tmp_path / "store", sharegpt=path)
    for name in ("conversations", "sessions"):
        schema = pq.read_schema(tmp_path / "store" / "02_intermediate" / f"{name}.parquet")
        numbers = [field for field in schema if field.name.removeprefix("published_").startswith("n_")]
        assert numbers
        assert {str(field.type) for field in numbers} == {"int64"}
        assert str(schema.field("positions").type.value_type) == "int64"
        assert str(schema.field("timestamp").type) == "timestamp[us, tz=UTC]"


TURNS = st.lists(
    st.tuples(st.sampled_from(["human", "gpt", "system"]), st.sampled_from(["", "hi", *QUESTIONS])), max_size=5
)
ROWS = st.lists(
    st.sampled_from([5, {"wrong": 1}])
    | st.builds(
        lambda chat, offset, turns: {
            "id": f"{chat}_{offset}",
            "conversations": [{"from": role, "value": text} for role, text in turns],
        },
        st.sampled_from(["x", "y"]),
        st.integers(0, 6),
        TURNS,
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.slow
# To shrink a failing case would take an hour: an example is two runs.
@settings(max_examples=5, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(ROWS, ROWS, st.randoms())
def test_kept_and_rejected_are_what_was_read(
    project: Path, tmp_path_factory: pytest.TempPathFactory, first: list[Any], second: list[Any], chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("any")
    read = Counter({("sharegpt", "s.json"): len(first), ("wildchat", "w.json"): len(second)})
    paths = {
        "sharegpt": write_json(folder / "s.json", first),
        "wildchat": write_json(folder / "w.json", second),
    }
    tables = run(project, folder / "store", **paths)
    assert_every_row_once(tables, read)
    paths["sharegpt"] = write_json(folder / "mixed" / "s.json", chance.sample(first, len(first)))
    again = run(project, folder / "again", **paths)
    assert_every_row_once(again, read)
    placeless = ["session_id", "language", "user_questions", "n_messages"]
    pd.testing.assert_frame_equal(again["sessions"][placeless], tables["sessions"][placeless])
    reasons = [Counter(each["rejected_sessions"]["reason"]) for each in (tables, again)]
    assert reasons[0] == reasons[1]


def write_logs(folder: Path, names: tuple[str, str]) -> None:
    halves = [
        [{"id": "a_0", "conversations": chat(*QUESTIONS)}, {"id": "b_0", "conversations": chat(*QUESTIONS[:2])}],
        [{"id": "b_4", "conversations": chat(*QUESTIONS[2:])}, {"id": "c_0", "conversations": chat(*QUESTIONS[1:])}],
    ]
    for name, rows in zip(names, halves, strict=True):
        write_json(folder / name, rows)


def test_the_same_sessions_whatever_the_files_are_called(project: Path, tmp_path: Path) -> None:
    write_logs(tmp_path / "one", ("1.json", "2.json"))
    write_logs(tmp_path / "other", ("2.json", "1.json"))
    one = run(project, tmp_path / "first", sharegpt=tmp_path / "one")
    other = run(project, tmp_path / "second", sharegpt=tmp_path / "other")
    columns = [name for name in one["sessions"].columns if name not in ("source_file", "position")]
    # a_0 holds what b_0 and b_4 hold together; the lower chat_id stays, wherever it stands.
    pd.testing.assert_frame_equal(one["sessions"][columns], other["sessions"][columns])
    assert len(one["sessions"]) == 2


def test_bad_files_are_counted_and_the_rest_survives(project: Path, tmp_path: Path) -> None:
    folder, shards = tmp_path / "sharegpt", tmp_path / "wildchat"
    rows = [
        {"id": f"{name}_0", "conversations": chat(f"Tell me about {name} please.", *QUESTIONS)} for name in "abcdefg"
    ]
    whole = json.dumps(rows[:3])
    folder.mkdir()
    (folder / "1_cut.json").write_text(whole[: len(whole) - 40])
    (folder / "2_bytes.json").write_bytes(json.dumps(rows[3:6]).encode().replace(b"about e", b"about \xff"))
    (folder / "3_empty.json").write_bytes(b"")
    escaped = json.dumps(rows[6:]).replace("about g", r"about \u0000g \ud83d")
    (folder / "4_escapes.json").write_text(escaped)
    messages = chat("What can I cook with rice?", *QUESTIONS, role="role")
    old = [{"conversation_id": "i", "conversation": messages, "language": "English", "turn": 2}]
    write_parquet(shards / "0.parquet", old)
    (shards / "1.parquet").write_bytes((shards / "0.parquet").read_bytes()[:-20])
    tables = run(project, tmp_path / "store", sharegpt=folder, wildchat=shards)
    sessions, rejected = tables["sessions"], tables["rejected_sessions"]
    assert Counter(sessions["source_file"]) == {"1_cut.json": 2, "2_bytes.json": 2, "4_escapes.json": 1, "0.parquet": 1}
    assert sessions.loc[sessions["source"] == "wildchat", "chat_id"].item() == "wildchat-i"
    odd = sessions.loc[sessions["source_file"] == "4_escapes.json", "first_question"].item()
    assert odd == "Tell me about g \N{REPLACEMENT CHARACTER} please."
    assert list(zip(rejected["source_file"], rejected["position"], rejected["reason"], strict=True)) == [
        ("1_cut.json", 2, "unreadable"),
        ("2_bytes.json", 1, "unreadable"),
        ("3_empty.json", 0, "unreadable"),
        ("1.parquet", 0, "unreadable"),
    ]
    assert f"byte {whole.index(json.dumps(rows[2])[:12])}" in rejected["detail"][0]
    assert "0xff is not UTF-8" in rejected["detail"][1]
    assert rejected["session_id"].isna().all()


def test_inputs_that_are_no_data_stop_the_run(project: Path, tmp_path: Path) -> None:
    pointer = tmp_path / "train-00000-of-00014.parquet"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(DatasetError, match=r"^wildchat: .*git lfs pull") as caught:
        run(project, tmp_path / "store", wildchat=pointer)
    assert isinstance(caught.value.__cause__, ClarilmError)
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match=r"inputs\.sharegpt holds no file"):
        run(project, tmp_path / "store", sharegpt=tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "parquet"])
def test_long_messages_and_sessions(project: Path, tmp_path: Path, form: str) -> None:
    long = "long \u00e9 " * 7_000_000  # 56 MB in UTF-8
    role, text = ("from", "value") if form == "json" else ("role", "content")
    key = "conversations" if form == "json" else "conversation"
    turns = chat(*(f"Question {number} about bread?" for number in range(50_000)), role=role)
    answered = chat(*QUESTIONS, role=role)
    answered[1][text] = long
    rows = [
        {"id": name, key: each} for name, each in {"a": turns, "b": answered, "c": chat(*QUESTIONS, role=role)}.items()
    ]
    path = write_json(tmp_path / "s.json", rows) if form == "json" else write_parquet(tmp_path / "s.parquet", rows)
    tables = run(project, tmp_path / "store", sharegpt=path)
    found = tables["sessions"].set_index("position")
    assert sorted(found.index) == [0, 1, 2]
    assert (found.loc[0, "n_messages"], len(found.loc[0, "user_questions"])) == (100_000, 50_000)
    assert found.loc[0, "positions"][-1] == 99_998
    assert found.loc[1, "first_answer"] == long.strip()
    assert found.loc[1, "n_chars"] == sum(len(each[text].strip()) for each in answered)
