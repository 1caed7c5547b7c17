"""Test questions: which they are, which log questions may become some, and what leaks where it is like one.

A question leaks where its normal form equals that of a test question, where their character 5-grams have a Jaccard
similarity of at least 0.6, or where the cosine of their embeddings is at least 0.9; from 0.8 on a pair is reported for
review. The thresholds are those at which pairs of IN3's and CLAMBER's questions, read one by one, were the same task.
A test set is never changed: what leaks is dropped on the other side.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd
from pydantic import Field, model_validator

from clarilm_kedro.logs.question_sets import read_clamber, read_in3
from clarilm_kedro.logs.records import Records
from clarilm_kedro.options import Options
from clarilm_kedro.pipelines.dropping import LEAK, dropped
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.hashing import stable_unit
from clarilm_kedro.text.similarity import SEMANTIC, NearDuplicateRule, pairs_between

CLAMBER = "clamber"
#: The row is left out; it is close enough to look at; options ask for it; it is still there at the end.
DROPPED, REVIEW, ALLOWED, REMAINS = "dropped", "review", "allowed", "remains"
BENCHMARK_QUESTIONS = {"test_set": "str", "test_id": "str", "question": "str"}
LEAKAGE = {
    "test_set": "str",
    "test_id": "str",
    "train_table": "str",
    "train_id": "str",
    "method": "str",
    "score": "float64",
    "action": "str",
    "test_text": "str",
    "train_text": "str",
}


class ClusterRule(NearDuplicateRule):
    """Which questions share a split: those that the leak guard would find in each other's (section 4.2)."""

    jaccard: float = Field(0.6, gt=0, le=1, description="Jaccard similarity of character 5-grams from which on they do")
    cosine: float | None = Field(0.9, gt=0, le=1, description="or, in the band, this cosine of embeddings; null: never")
    band_from: float = Field(0.4, ge=0, le=1, description="Jaccard similarity at which the band begins; 0: every pair")


class LeakageOptions(ClusterRule):
    """What counts as a test question in a training table."""

    review_cosine: float = Field(0.8, gt=0, le=1, description="from this cosine on a pair is reported, and not dropped")

    @model_validator(mode="after")
    def _review(self) -> "LeakageOptions":
        if self.cosine is not None and self.review_cosine > self.cosine:
            raise ValueError(f"review_cosine = {self.review_cosine:g} is above cosine = {self.cosine:g}")
        return self


class SplitOptions(Options):
    """How many questions are held out (sections 3.3.3 and 4.2)."""

    seed: int = Field(7, description="draws the held-out questions")
    test_questions: int = Field(2000, ge=0, description="size of Our-test (section 4.2: 2k)")
    validation_questions: int = Field(1000, ge=0, description="questions that only fit the asking threshold")
    held_back_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of the sessions that FM-LOG learns nothing from; Q^L's held-out questions are theirs",
    )
    synthetic_target: int = Field(124_000, ge=1, description="expected size of Q^G, for proportional shares")


def collect_benchmark_questions(in3_test: Records, clamber: Records) -> pd.DataFrame:
    """Gather the questions of the public test sets, all of them.

    Args:
        in3_test: IN3 test rows.
        clamber: CLAMBER rows.

    Returns:
        Columns test_set, test_id, question.
    """
    rows = [
        {"test_set": name, "test_id": row.row_id, "question": row.question}
        for name, items in (("in3", read_in3(in3_test)), (CLAMBER, read_clamber(clamber)))
        for row in items
    ]
    return table(rows, BENCHMARK_QUESTIONS)


def held_back(session_id: str, options: SplitOptions) -> bool:
    """Say whether FM-LOG learns nothing from a session, so that its first question may be a test question.

    Sessions are drawn before anything is mined from them: were FM-LOG's questions simply kept out of Our-test, it would
    have no question that a user clarified later, and those are what it has to tell apart from others.

    Args:
        session_id: The session.
        options: The share and the seed.

    Returns:
        The same for the same session, whatever other sessions there are.
    """
    return stable_unit(options.seed, "held back", session_id) < options.held_back_share


def find_leaks(
    questions: Mapping[str, str],
    tests: pd.DataFrame,
    train_table: str,
    options: LeakageOptions,
    *,
    allowed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Compare questions with every test question.

    Args:
        questions: Row id to question.
        tests: Columns test_set, test_id, question.
        train_table: Where the questions stand.
        options: What counts as a leak.
        allowed: Test sets that the options ask for as examples.

    Returns:
        Rows of :data:`LEAKAGE`, one per pair.
    """
    ids, texts = list(questions), list(questions.values())
    items = records(tests)
    wanted = options.model_dump(exclude={"review_cosine"})
    if options.cosine is not None:
        wanted["cosine"] = options.review_cosine
    pairs = pairs_between(texts, [item["question"] for item in items], NearDuplicateRule(**wanted))
    return [
        {
            "test_set": items[pair["right"]]["test_set"],
            "test_id": items[pair["right"]]["test_id"],
            "train_table": train_table,
            "train_id": ids[pair["left"]],
            "method": pair["method"],
            "score": pair["score"],
            "action": _action(pair, items[pair["right"]]["test_set"], options, allowed),
            "test_text": items[pair["right"]]["question"],
            "train_text": texts[pair["left"]],
        }
        for pair in records(pairs)
    ]


def drop_leaks(
    rows: Iterable[Mapping[str, Any]], leaks: Iterable[Mapping[str, Any]], stage: str, *, key: str = "question_id"
) -> tuple[list[Mapping[str, Any]], list[dict[str, Any]]]:
    """Drop the rows that leak.

    Args:
        rows: Rows with ``key`` and question.
        leaks: What :func:`find_leaks` gives for them.
        stage: The node that drops them.
        key: The column that names a row.

    Returns:
        The rows that stay, and the dropped ones with the most similar test item.
    """
    worst: dict[str, Mapping[str, Any]] = {}
    for leak in leaks:
        if leak["action"] == DROPPED and leak["score"] > worst.get(leak["train_id"], {"score": -1})["score"]:
            worst[leak["train_id"]] = leak
    stay, gone = [], []
    for row in rows:
        found = worst.get(row[key])
        if found is None:
            stay.append(row)
        else:
            # A first question's row is named by its session, whatever the key.
            name = None if "row_id" in row else row[key]
            gone.append(dropped(row, stage, LEAK, row_id=name, other_id=found["test_id"], score=found["score"]))
    return stay, gone


def _action(pair: Mapping[str, Any], test_set: str, options: LeakageOptions, allowed: Collection[str]) -> str:
    if test_set in allowed:
        return ALLOWED
    if pair["method"] == SEMANTIC and options.cosine is not None and pair["score"] < options.cosine:
        return REVIEW
    return DROPPED
