"""The leak guard, and what it finds in the published files."""

from pathlib import Path

import pandas as pd
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.pipelines.held_out import (
    LEAKAGE,
    LeakageOptions,
    collect_benchmark_questions,
    drop_leaks,
    find_leaks,
)
from clarilm_kedro.pipelines.ofs.leakage import check_leakage, find_leakage, with_held_out
from clarilm_kedro.pipelines.ofs.schemas import DPO_ROWS, OUR_TEST, SFT_ROWS, SynthesisOptions
from clarilm_kedro.tables import table
from clarilm_kedro.text import cosine as cosine_module
from pipelines.question_rows import LEAKAGE as LEXICAL_GUARD
from pipelines.question_rows import benchmark, clamber, examples, in3, judged, seeds
from text.similar_texts import WordVectors

OIL = "How do I change the oil of my old car?"


def test_every_question_of_the_public_test_sets_counts() -> None:
    found = collect_benchmark_questions(in3("Plan my trip.", "Plan my trip."), clamber("Who won?"))
    assert list(found["test_id"]) == ["in3-0", "in3-1", "clamber-0"]
    held_out = seeds(judged("a b", split="test"), judged("c d", split="valid"), judged("e f", split="train"))
    assert list(with_held_out(found, held_out)["test_set"]) == ["in3", "in3", "clamber", "our_test", "validation"]


def test_equal_similar_and_close_questions_leak_and_closeness_below_is_for_review(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cosine_module, "get_embedder", lambda model: WordVectors())
    tests = benchmark(in3="how do i change the oil of a car", clamber="which hotel in berlin")
    questions = {
        "equal": "How do I change the oil of a car?",
        "similar": "how do i change the oil of a car in",
        "close": "a car how do i of change the oil",
        "review": "hotel in berlin which best",
        "far": "the best truck",
    }
    leaks = table(find_leaks(questions, tests, "t", LeakageOptions(band_from=0.3)), LEAKAGE)
    assert {row.train_id: (row.test_set, row.method, row.action) for row in leaks.itertuples()} == {
        "equal": ("in3", "exact_normalised", "dropped"),
        "similar": ("in3", "char5_jaccard", "dropped"),
        "close": ("in3", "embedding", "dropped"),
        "review": ("clamber", "embedding", "review"),
    }
    rows = [{"question_id": name, "question": text} for name, text in questions.items()]
    kept, dropped = drop_leaks(rows, leaks.to_dict("records"), "stage")
    assert [row["question_id"] for row in kept] == ["review", "far"]
    assert {row["other_id"] for row in dropped} == {"in3-0"}


def test_everything_is_embedded_where_the_band_begins_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = WordVectors()
    monkeypatch.setattr(cosine_module, "get_embedder", lambda model: encoder)
    tests = benchmark(in3="oil car truck")
    leaks = find_leaks({"x": "truck oil car", "y": "best hotel"}, tests, "t", LeakageOptions(band_from=0))
    assert [(leak["train_id"], leak["method"]) for leak in leaks] == [("x", "embedding")]
    assert len(encoder.seen) == 3


def test_a_review_threshold_above_the_other_is_refused() -> None:
    with pytest.raises(ValueError, match=r"review_cosine = 0.95 is above cosine = 0.9"):
        LeakageOptions(review_cosine=0.95)


def rows(kind: dict[str, str], **questions: str) -> pd.DataFrame:
    blank = dict.fromkeys(kind, "") | {"asks": False, "chosen_asks": False, "rejected_asks": False}
    ids = {"row_id", "item_id", "example_id"} & {*kind}
    return table([{**blank, **dict.fromkeys(ids, name), "question": text} for name, text in questions.items()], kind)


def guard(
    sft: dict[str, str], *, tested: str = OIL, mined: str = "", shown: tuple[str, ...] = (), clamber_weight: float = 0
) -> pd.DataFrame:
    weights = {**SynthesisOptions().example_weights, "clamber": clamber_weight}
    early = find_leaks({"f1": "Plan my trip!"}, benchmark(in3="plan my trip"), "first_questions", LEXICAL_GUARD)
    nothing = table([], LEAKAGE)
    return find_leakage(
        nothing,
        table(early, LEAKAGE),
        nothing,
        nothing,
        nothing,
        benchmark(in3="plan my trip", clamber="Who won the cup?"),
        rows({**OUR_TEST, "needs_clarification": "str"}, o1=tested),
        examples(*shown),
        rows({"example_id": "str", "question": "str"}, m1=mined),
        rows(SFT_ROWS, **sft),
        rows(DPO_ROWS),
        rows(SFT_ROWS),
        LEXICAL_GUARD,
        SynthesisOptions(example_weights=weights),
    )


def test_a_run_without_leaks_passes_and_counts_what_was_dropped() -> None:
    summary = check_leakage(guard({"s1": "What is new?"}, mined="What is newer?"))
    assert [tuple(row) for row in summary.itertuples(index=False)] == [
        ("first_questions", "in3", "exact_normalised", "dropped", 1),
    ]


def test_an_exact_hit_in_a_finished_table_stops_the_run_and_is_named() -> None:
    leakage = guard({"s1": OIL.lower(), "s2": "WHO won the cup"})
    with pytest.raises(ClarilmError, match=r"2 rows .*sft_train s1 is our_test o1; sft_train s2 is clamber clamber-0"):
        check_leakage(leakage)
    assert set(leakage.loc[leakage["train_table"] == "sft_train", "action"]) == {"remains"}


def test_fm_log_is_trained_on_no_test_question() -> None:
    with pytest.raises(ClarilmError, match=r"fm_log_examples m1 is our_test o1.*run cfd and ofs again"):
        check_leakage(guard({}, mined=OIL))


def test_a_similar_row_in_a_finished_table_is_reported_and_does_not_stop_the_run() -> None:
    leakage = guard({"s1": OIL[:-1] + ", please?"})
    assert list(leakage.loc[leakage["train_table"] == "sft_train", "action"]) == ["remains"]
    assert check_leakage(leakage)["n"].sum() == 2


def test_clamber_is_an_example_only_where_its_weight_says_so() -> None:
    allowed = guard({}, shown=("who won the cup",), clamber_weight=1)
    assert check_leakage(allowed)["action"].tolist() == ["dropped", "allowed"]
    with pytest.raises(ClarilmError, match="in_context_examples"):
        check_leakage(guard({}, shown=("who won the cup",)))


def test_nothing_leaks_from_nothing() -> None:
    assert find_leaks({}, benchmark(), "t", LEXICAL_GUARD) == []
    assert check_leakage(table([], LEAKAGE)).empty


@pytest.mark.real_data
def test_the_published_in3_train_holds_42_of_the_108_test_tasks(real_data: Path) -> None:
    train, test = (read_records(str(real_data / "in3" / f"{name}.jsonl"), "in3") for name in ("train", "test"))
    questions = {str(record.position): record.data["task"] for record in train.rows}
    tests = collect_benchmark_questions(test, clamber())
    assert len(tests) == 108
    leaks = table(find_leaks(questions, tests, "in3_train", LeakageOptions()), LEAKAGE)
    exact = leaks[leaks["method"] == "exact_normalised"]
    assert (exact["test_id"].nunique(), exact["train_id"].nunique()) == (42, 42)
    dropped = leaks[leaks["action"] == "dropped"]
    assert (dropped["test_id"].nunique(), dropped["train_id"].nunique()) == (43, 44)
