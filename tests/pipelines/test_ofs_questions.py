"""Q^L, the plan of the synthesis and Q^G; and that every question is kept or stands among the dropped."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import ibis
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.chat.types import ChatRequest, ChatResult
from clarilm_kedro.pipelines.dropping import (
    CALL_FAILED,
    EMPTY,
    EQUAL,
    LEAK,
    MARKED,
    NEAR,
    NOT_KEPT,
    OVER_TARGET,
    TOO_SHORT,
)
from clarilm_kedro.pipelines.held_out import SplitOptions
from clarilm_kedro.pipelines.ofs.schemas import (
    EXAMPLES,
    FIRST_QUESTIONS,
    JUDGEMENTS,
    PLAN,
    TUNED,
    WRITTEN,
    SeedOptions,
    SynthesisOptions,
    TunedQuestion,
)
from clarilm_kedro.pipelines.ofs.seeds import accept_seed_questions, question_identity, select_first_questions
from clarilm_kedro.pipelines.ofs.synthesis import accept_synthetic_questions, plan_synthesis, tune_clarification
from clarilm_kedro.tables import table
from pipelines.question_rows import (
    CLUSTERS,
    LEAKAGE,
    LEXICAL,
    NO_RECORDS,
    benchmark,
    examples,
    failed,
    fm_log,
    judged,
    recorded,
    seeds,
    session,
    shuffled,
    with_ids,
    written,
)

SEEDS = SeedOptions(max_questions=None, max_chars=80, min_words=2, max_failed_share=0.02)
SPLIT = SplitOptions(test_questions=10, validation_questions=5, synthetic_target=50, held_back_share=1)
WORDS = ("how", "do", "i", "change", "the", "oil", "of", "a", "car", "truck", "in", "berlin", "which", "hotel", "best")
question_texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
OIL = "How do I change the oil of my old car?"


def select(rows: list[dict[str, Any]], tests: pd.DataFrame, options: SeedOptions = SEEDS) -> tuple[pd.DataFrame, ...]:
    sessions = ibis.memtable(table(rows, {**dict.fromkeys(session(0, ""), "str"), "starts_mid_chat": "bool"}))
    return select_first_questions(sessions, tests, options, LEXICAL, LEAKAGE)


def test_only_usable_first_questions_are_taken_and_the_others_say_why() -> None:
    chosen, dropped, leaks = select(
        [
            session(1, "Where is it?"),
            session(2, "where is it"),
            session(3, "continue please", mid=True),
            session(4, "x" * 90 + " y"),
            session(5, "Hi"),
            session(6, "Where is it now?", like="s001"),
            session(7, "How are these three alike?", like="s003"),  # the one it is like is not usable itself
            session(8, "How are those three alike?", like="s003"),
            session(9, OIL),
            session(10, OIL.replace("?", ", please?")),
            session(11, "Plan my trip to Rome."),
        ],
        benchmark(in3="plan my trip to rome"),
    )
    assert with_ids(chosen, "question") <= {"How are these three alike?", "Where is it?", OIL, OIL[:-1] + ", please?"}
    assert len(chosen) == 3
    why = {row.row_id: (row.reason, row.other_id) for row in dropped.itertuples()}
    near = why.pop("s010", None) or why.pop("s009")
    assert near[0] == NEAR
    assert near[1] in with_ids(chosen)
    assert why == {
        "s002": (EQUAL, question_identity("Where is it?")),
        "s005": (TOO_SHORT, why["s005"][1]),
        "s006": (MARKED, question_identity("Where is it?")),
        "s008": (MARKED, question_identity("How are these three alike?")),
        "s011": (LEAK, "in3-0"),
    }
    assert list(leaks["action"]) == ["dropped"]


@settings(max_examples=25)
@given(texts=st.lists(question_texts, max_size=12), limit=st.none() | st.integers(1, 5))
def test_first_questions_and_dropped_ones_are_all_sessions(texts: list[str], limit: int | None) -> None:
    rows = [session(number, text) for number, text in enumerate(texts)]
    options = SEEDS.model_copy(update={"max_questions": limit})
    chosen, dropped, _ = select(rows, benchmark(clamber="how do i change the oil"), options)
    assert sorted([*chosen["session_id"], *dropped["row_id"]]) == sorted(row["session_id"] for row in rows)
    assert OVER_TARGET not in set(dropped["reason"]) or len(chosen) == limit


def accepted(rows: list[dict[str, Any]], *failures: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame = table(rows, JUDGEMENTS)
    asked = [*rows, *(judged(text) for text in failures)]
    options = SEEDS.model_copy(update={"max_failed_share": 1})
    return accept_seed_questions(
        table(asked, FIRST_QUESTIONS),
        frame,
        failed(*map(question_identity, failures)),
        fm_log(),
        options,
        SPLIT,
        CLUSTERS,
    )


def distinct(number: int) -> str:
    return f"{WORDS[number % 15]} {number * 7919} {WORDS[number // 15 % 15]} {number * 104729}?"


def test_the_held_out_part_of_the_seed_questions_is_drawn_in_proportion() -> None:
    rows = [judged(distinct(number)) for number in range(50)]
    found, dropped = accepted(rows)
    assert Counter(found["split"]) == {"test": 5, "valid": 2, "train": 43}
    assert dropped.empty
    pd.testing.assert_frame_equal(found, accepted(rows[::-1])[0])
    assert set(found["reason"]) == {"it stands on its own"}
    assert set(found["request_key"]) == {"k"}


def test_judged_questions_are_kept_or_dropped_with_their_reason() -> None:
    found, dropped = accepted([judged("Where is it?"), judged("And then?", keep=False)], "Never answered?")
    assert list(found["question"]) == ["Where is it?"]
    assert dict(zip(dropped["question"], dropped["reason"], strict=True)) == {
        "And then?": NOT_KEPT,
        "Never answered?": CALL_FAILED,
    }


@settings(max_examples=25)
@given(texts=st.lists(question_texts, max_size=10, unique=True), verdicts=st.lists(st.booleans(), min_size=10))
def test_judged_questions_are_all_kept_or_dropped(texts: list[str], verdicts: list[bool]) -> None:
    rows = [judged(text, keep=keep) for text, keep in zip(texts, verdicts, strict=False)]
    found, dropped = accepted(rows, "Never answered?")
    assert len(found) + len(dropped) == len(rows) + 1
    assert with_ids(found).isdisjoint(dropped["question_id"])
    assert with_ids(found) == {row["question_id"] for row in rows if row["keep"]}


def test_too_many_failed_judgements_stop_the_run() -> None:
    rows = table([judged("Where is it?")], JUDGEMENTS)
    with pytest.raises(TooManyFailures, match="seed_questions_failed"):
        accept_seed_questions(table([], FIRST_QUESTIONS), rows, failed("a"), fm_log(), SEEDS, SPLIT, CLUSTERS)


def test_sources_are_drawn_by_weight_whatever_their_size() -> None:
    rows = [{"example_id": f"n{number}", "origin": "natural_questions", "question": "q"} for number in range(300)]
    rows += [{"example_id": f"s{number}", "origin": "seed_questions", "question": "q"} for number in range(20)]
    options = SynthesisOptions(target=300, per_call=3, oversample=1, examples_per_call=4)
    plan = plan_synthesis(recorded({"persona": "A nurse."}), table(rows, EXAMPLES), options)
    drawn = Counter(example[0] for ids in plan["example_ids"] for example in ids)
    assert len(plan) == 100
    assert 0.4 < drawn["s"] / sum(drawn.values()) < 0.6


def test_without_personas_nothing_is_planned() -> None:
    assert plan_synthesis(NO_RECORDS, table([], EXAMPLES), SynthesisOptions(target=5)).empty


class Tuner:
    """A chat model that tunes every question."""

    name = "tuner"

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        for request in requests:
            changed = TunedQuestion(question=f" tuned {request.row_id} ")
            yield ChatResult(request.row_id, f"{stage}-{request.row_id}", "ok", parsed=changed, attempts=1)

    def close(self) -> None:
        pass


def test_tuning_changes_a_tenth_each_way_and_says_who_did() -> None:
    """Each share is binomial: 3,000 draws at 10 % stray by 16.4 in one standard deviation; five are allowed."""
    rows = [written(number, f"Question {number}?") for number in range(3000)]
    prompt = '## user\n{{ block("question", question) }} {{ block("adjustment", adjustment) }}'
    tuned, failures = tune_clarification(table(rows, WRITTEN), prompt, Tuner(), SynthesisOptions())
    counts = Counter(tuned["tuning"])
    assert abs(counts["enrich"] - 300) < 5 * 16.5
    assert abs(counts["simplify"] - 300) < 5 * 16.5
    assert failures.empty
    kept, changed = tuned[tuned["tuning"] == "keep"], tuned[tuned["tuning"] != "keep"]
    assert kept[["parent", "tuning_teacher", "tuning_prompt_sha", "tuning_request_key"]].isna().all(axis=None)
    assert (changed["question"] == "tuned " + changed["row_id"]).all()
    assert changed[["parent", "tuning_teacher", "tuning_prompt_sha", "tuning_request_key"]].notna().all(axis=None)
    assert set(tuned["request_key"]) == {"k"}
    assert set(tuned["call_id"]) == {row["call_id"] for row in rows}


def accept(
    rows: list[dict[str, Any]],
    *,
    lost: tuple[str, ...] = (),
    target: int = 100,
    known: tuple[str, ...] = (),
    shown: tuple[str, ...] = (),
    tests: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, ...]:
    before = [{**row, "question": row["parent"] or row["question"]} for row in rows]
    return accept_synthetic_questions(
        shuffled(table(before, WRITTEN)),
        shuffled(table([row for row in rows if row["row_id"] not in lost], TUNED)),
        failed(),
        failed(*lost),
        table([], PLAN),
        seeds(*(judged(text) for text in known)),
        examples(*shown),
        benchmark() if tests is None else tests,
        SynthesisOptions(target=target, max_failed_share=1),
        LEXICAL,
        LEAKAGE,
    )


def test_written_questions_are_new_or_say_what_they_repeat() -> None:
    rows = [
        written(0, OIL),
        written(1, OIL[:-1] + ", please?"),
        written(2, "Where is it?"),
        {**written(3, "", tuning="simplify"), "parent": "Which hotel is best?"},
        written(4, "Never tuned?"),
        written(5, "Plan my trip to Rome."),
        written(6, "who wrote it"),
        written(7, "How do magnets work?"),
        written(8, "how do magnets work"),
    ]
    found, dropped, leaks = accept(
        rows,
        lost=("r004",),
        known=("where is it",),
        shown=("Who wrote it?",),
        tests=benchmark(in3="Plan my trip to Rome!"),
    )
    why = dict(zip(dropped["row_id"], dropped["reason"], strict=True))
    assert why.pop("r000", None) == NEAR or why.pop("r001") == NEAR
    assert why == {"r002": EQUAL, "r003": EMPTY, "r004": CALL_FAILED, "r005": LEAK, "r006": EQUAL, "r008": EQUAL}
    assert len(found) == 2
    assert dropped.set_index("row_id").loc["r003", "question"] == "Which hotel is best?"
    assert list(leaks["train_table"]) == ["synthetic_questions"]


@settings(max_examples=25)
@given(
    texts=st.lists(question_texts | st.just(""), max_size=12),
    known=st.lists(question_texts, max_size=3),
    shown=st.lists(question_texts, max_size=3),
    target=st.integers(1, 6),
    lost=st.sets(st.integers(0, 11)),
)
def test_written_questions_are_all_kept_or_dropped(
    texts: list[str], known: list[str], shown: list[str], target: int, lost: set[int]
) -> None:
    rows = [{**written(number, text), "parent": None if text else "was there"} for number, text in enumerate(texts)]
    gone = tuple(row["row_id"] for row in rows if int(row["row_id"][1:]) in lost)
    tests = benchmark(clamber="how do i change the oil", in3="which hotel")
    found, dropped, _ = accept(rows, lost=gone, target=target, known=tuple(known), shown=tuple(shown), tests=tests)
    assert len(found) + len(dropped) == len(texts)
    assert len(found) <= target
    assert dropped["row_id"].is_unique
    assert with_ids(found).isdisjoint(map(question_identity, (*known, *shown)))
    assert with_ids(dropped[dropped["reason"] == NEAR], "other_id") <= {
        *map(question_identity, (*known, *shown)),
        *found["question_id"],
        *dropped.loc[dropped["reason"] == OVER_TARGET, "question_id"],
    }


def test_shares_that_exceed_one_are_refused() -> None:
    with pytest.raises(ValueError, match="exceed 1"):
        SynthesisOptions(enrich_share=0.8, simplify_share=0.5)
