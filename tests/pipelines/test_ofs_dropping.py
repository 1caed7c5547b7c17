"""One table of what fell away on the way to Q."""

from clarilm_kedro.pipelines.dropping import (
    DROPPED,
    NEAR,
    OVER_TARGET,
    collect_dropped_questions,
    drop_near_duplicates,
    dropped,
)
from clarilm_kedro.tables import table
from pipelines.question_rows import LEXICAL, judged, written

OIL = "How do I change the oil of my old car?"


def test_a_dropped_question_is_named_as_its_stage_names_it() -> None:
    seed, row = judged(OIL), written(3, OIL)
    assert dropped(seed, "s", OVER_TARGET)["row_id"] == seed["question_id"]
    assert dropped(row, "s", OVER_TARGET)["row_id"] == "r003"
    assert dropped(row, "s", OVER_TARGET, row_id="x")["row_id"] == "x"


def test_near_duplicates_name_what_is_kept_and_what_is_kept_already_wins() -> None:
    rows = [written(0, OIL), written(1, OIL[:-1] + ", please?"), written(2, "Where is it?")]
    stay, gone = drop_near_duplicates(rows, "s", LEXICAL)
    assert len(stay) == 2
    (row,) = gone
    assert (row["reason"], row["other_id"]) == (NEAR, stay[0]["question_id"])
    assert row["score"] >= 0.8
    stay, gone = drop_near_duplicates(rows[1:], "s", LEXICAL, kept=[judged(OIL)])
    assert [row["question"] for row in stay] == ["Where is it?"]
    assert [row["other_id"] for row in gone] == [judged(OIL)["question_id"]]


def test_the_stages_stand_in_one_table_in_an_order_of_its_own() -> None:
    parts = [table([dropped(written(at, f"q {at}"), f"stage {5 - at}", OVER_TARGET)], DROPPED) for at in range(5)]
    found = collect_dropped_questions(*parts)
    assert list(found["row_id"]) == ["r004", "r003", "r002", "r001", "r000"]
    assert list(found.columns) == list(DROPPED)
    assert collect_dropped_questions(*(table([], DROPPED) for _ in range(5))).empty
