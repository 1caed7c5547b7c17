import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.records import Record, Records, Reject
from clarilm_kedro.metrics.judging.human import SHEET, SheetOptions, label_id, label_sheet, read_labels
from clarilm_kedro.metrics.judging.outcomes import pair_outcomes
from clarilm_kedro.metrics.judging.pairs import PAIRS
from clarilm_kedro.metrics.judging.verdicts import JUDGEMENTS
from clarilm_kedro.tables import records, table
from metrics.judging.judging_rows import NOBODY, pair, pairs


def filled(*rows: tuple[str, str], file: str = "anna.csv") -> Records:
    data = [{"label_id": name, "verdict": verdict, "comment": "c"} for name, verdict in rows]
    return Records("human_labels", [Record(number, row, file) for number, row in enumerate(data)])


def test_the_sheet_is_blind_and_mixes_who_stands_first() -> None:
    given = pairs(40)
    sheet = label_sheet(given, SheetOptions(pairs=None))
    assert list(sheet.columns) == list(SHEET)
    assert len(sheet) == 40
    first = sheet["reply_a"].ne("Could you say more?").sum()
    assert 8 < first < 32
    assert set(sheet["verdict"]) == {""}
    shown = sheet.to_csv()
    assert "clarilm" not in shown
    assert "base" not in shown
    assert not any(each in shown for each in given["pair_id"])
    assert sheet.equals(label_sheet(given[::-1], SheetOptions(pairs=None)))
    assert len(label_sheet(given, SheetOptions(pairs=7))) == 7


def test_a_filled_sheet_means_what_the_person_saw_whatever_the_seed() -> None:
    """Somebody who always prefers the system's reply: a win everywhere, in whichever order it was shown."""
    given = pairs(12)
    for seed in (1, 2):
        sheet = label_sheet(given, SheetOptions(seed=seed))
        said = [
            (row["label_id"], "b" if row["reply_a"] == "Could you say more?" else "Reply A") for row in records(sheet)
        ]
        found = read_labels(filled(*said), given)
        assert list(found.columns) == list(JUDGEMENTS)
        assert set(found["judge"]) == {"human"}
        assert set(pair_outcomes(given, NOBODY, found)["outcome"]) == {"win"}


def test_identical_replies_are_not_put_to_people() -> None:
    assert label_sheet(pairs(3, identical=True), SheetOptions()).empty
    assert label_sheet(table([], PAIRS), SheetOptions()).empty


def test_text_of_a_model_is_no_formula_in_a_spreadsheet() -> None:
    hostile = '=HYPERLINK("http://x")\0'
    sheet = label_sheet(table([pair(text_system=hostile, text_other="+1")], PAIRS), SheetOptions())
    assert {sheet["reply_a"][0], sheet["reply_b"][0]} == {'\'=HYPERLINK("http://x")', "'+1"}


def test_empty_verdicts_are_not_labelled_yet() -> None:
    given = pairs(2)
    found = read_labels(filled((label_id("p0000", 1), " "), (label_id("p0001", 2), "Tie")), given)
    assert [(row["pair_id"], row["order"], row["verdict"]) for row in records(found)] == [("p0001", 2, "tie")]
    assert read_labels(Records("human_labels"), given).empty


def test_several_people_are_told_apart_by_their_files() -> None:
    given = pairs(1)
    rows = [*filled((label_id("p0000", 1), "A")).rows, *filled((label_id("p0000", 2), "B"), file="ben.csv").rows]
    found = read_labels(Records("human_labels", rows), given)
    assert set(found["judge"]) == {"human anna", "human ben"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(label_id("p0000", 1), "A"), ("nothing", "A")], r"anna\.csv, row 3: no pair of this run.*'nothing'"),
        ([(label_id("p0000", 1), "better")], r"row 2: the verdict 'better' is none of A, B and tie"),
        (
            [(label_id("p0000", 1), "A"), (label_id("p0000", 1), "A")],
            r"row 3: its pair stands in anna\.csv, row 2 too",
        ),
        ([(label_id("p0000", 1), "A"), (label_id("p0000", 2), "A")], "row 3: its pair stands in"),
        ([("x", "A")] * 7, "And 2 more"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(rows: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(ClarilmError, match=said):
        read_labels(filled(*rows), pairs(1))


def test_other_tables_and_unreadable_files_are_named() -> None:
    with pytest.raises(ClarilmError, match="no column label_id"):
        read_labels(Records("human_labels", [Record(0, {"verdict": "A"}, "x.csv")]), pairs(1))
    with pytest.raises(ClarilmError, match=r"x\.csv, row 0: broken"):
        read_labels(Records("human_labels", [], [Reject("x.csv", 0, "broken")]), pairs(1))


def test_labels_of_replies_that_have_changed_are_refused() -> None:
    old = label_sheet(pairs(1), SheetOptions())["label_id"][0]
    with pytest.raises(ClarilmError, match="The replies may have changed"):
        read_labels(filled((old, "A")), pairs(1, pair_id="another"))
