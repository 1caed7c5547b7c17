"""Row scores on a benchmark small enough to score by hand."""

import pandas as pd
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.benchmarks.shape import items_frame
from clarilm_kedro.metrics.scoring import (
    FACET_METRICS,
    PREDICTION_COLUMNS,
    QUALITY_METRICS,
    ROW_SCORE_COLUMNS,
    ScoringOptions,
    score_floors,
    score_rows,
)
from clarilm_kedro.tables import table

OPTIONS = ScoringOptions()


def _items() -> pd.DataFrame:
    rows = [
        ("a", "Recommend a film", True, ["Which genre?", "Which year?"]),
        ("b", "Book a table", True, ["For how many people?"]),
        ("c", "What is 2 plus 2?", False, []),
        ("d", "Help me", True, []),  # needs a question, and the benchmark holds no reference
    ]
    return items_frame(
        [
            {
                "benchmark": "in3",
                "item_id": item,
                "question": question,
                "needs_clarification": needs,
                "references": references,
                "category": "",
                "subclass": "",
            }
            for item, question, needs, references in rows
        ]
    )


def _said(system: str, by_item: dict[str, tuple[bool, str, bool]]) -> pd.DataFrame:
    rows = [
        {
            "benchmark": "in3",
            "system": system,
            "seed": 0,
            "item_id": item,
            "text": question,
            "asked": asked,
            "p_ask": None,
            "question": question,
            "parsed": parsed,
            "threshold": None,
        }
        for item, (asked, question, parsed) in by_item.items()
    ]
    return table(rows, PREDICTION_COLUMNS)


def _some() -> pd.DataFrame:
    return _said(
        "s",
        {
            "a": (True, "Which genre?", True),
            "b": (False, "", True),
            "c": (True, "Which numbers?", True),
            "d": (True, "With what?", False),
        },
    )


def _value(scores: pd.DataFrame, item: str, metric: str) -> float:
    return float(scores[(scores["item_id"] == item) & (scores["metric"] == metric)]["value"].iloc[0])


def test_one_row_per_item_and_metric() -> None:
    scores = score_rows(_items(), _some(), OPTIONS)
    assert list(scores.columns) == list(ROW_SCORE_COLUMNS)
    assert [_value(scores, item, "correct") for item in "abcd"] == [1, 0, 0, 0]  # d is unparsed: counts as an answer
    assert _value(scores, "a", "token_f1") == 1.0  # the better of two references
    assert _value(scores, "a", "bertscore_f1") == pytest.approx(1.0, abs=1e-5)
    assert [_value(scores, "b", metric) for metric in QUALITY_METRICS] == [0] * 6  # not asked, nothing said
    with_quality = set(scores.loc[scores["metric"] == "token_f1", "item_id"])
    assert with_quality == {"a", "b"}  # c needs no question, d has no reference


def test_the_order_of_rows_changes_nothing() -> None:
    expected = score_rows(_items(), _some(), OPTIONS)
    backwards = score_rows(_items().iloc[::-1], _some().iloc[::-1], OPTIONS)
    pd.testing.assert_frame_equal(expected, backwards)


def test_not_asking_does_not_agree_with_a_reference_of_stop_words() -> None:
    items = _items().iloc[[1]].assign(references=[["What for?"]])
    scores = score_rows(items, _said("s", {"b": (False, "", True)}), OPTIONS)
    assert _value(scores, "b", "token_f1") == 0.0


def test_a_text_that_does_not_ask_counts_under_gold_text_only() -> None:
    said = _some()
    said.loc[said["item_id"] == "b", "text"] = "For how many people? I booked for two."
    scores = score_rows(_items(), said, OPTIONS)
    assert (_value(scores, "b", "token_f1"), _value(scores, "b", "bertscore_f1")) == (0, 0)
    assert _value(scores, "b", "token_f1_text") == pytest.approx(2 * 1 / (1 + 2))
    assert 0 < _value(scores, "b", "bertscore_f1_text") < 1


def test_the_most_important_reference() -> None:
    items = _items().iloc[[0]].assign(importances=[[1, 3]])
    by_policy = {
        policy: _value(score_rows(items, _some().iloc[[0]], ScoringOptions(references=policy)), "a", "token_f1")  # type: ignore[arg-type]
        for policy in ("max", "first", "top_importance")
    }
    assert by_policy == {"max": 1, "first": 1, "top_importance": 0}


def test_facets_that_a_question_asks_for() -> None:
    items = _items().assign(facets=[["Genre", "Year"], ["Number of people"], [], []])
    scores = score_rows(items, _some(), OPTIONS)
    assert _value(scores, "a", "facet_recall_exact") == 0.5
    assert _value(scores, "b", "facet_recall_cosine") == 0
    assert set(scores.loc[scores["metric"].isin(FACET_METRICS), "item_id"]) == {"a", "b"}


def test_policies_for_unparsed_replies() -> None:
    as_ask = score_rows(_items(), _some(), ScoringOptions(unparsed="as_ask"))
    assert _value(as_ask, "d", "correct") == 1
    dropped = score_rows(_items(), _some(), ScoringOptions(unparsed="drop"))
    assert pd.isna(_value(dropped, "d", "correct"))
    assert not dropped.loc[dropped["item_id"] == "d", "parsed"].any()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.iloc[:-1],
        lambda rows: pd.concat([rows, rows.iloc[-1:]]),
        lambda rows: rows.assign(item_id=rows["item_id"].replace("d", "x")),
    ],
)
def test_predictions_have_to_cover_the_items(change: object) -> None:
    with pytest.raises(ClarilmError, match=r"'s' do not fit .* '[dx]' of benchmark 'in3'"):
        score_rows(_items(), change(_some()), OPTIONS)  # type: ignore[operator]


def test_no_rows_at_all() -> None:
    scores = score_rows(_items().iloc[:0], table([], PREDICTION_COLUMNS), OPTIONS)
    assert list(scores.columns) == list(ROW_SCORE_COLUMNS)
    assert scores.empty
    assert score_floors(_items().iloc[:0], "What?", 7, OPTIONS).empty


def test_floors() -> None:
    floors = score_floors(_items(), "Which genre?", 7, OPTIONS).set_index("floor")
    assert set(floors.index) == {"generic", "echo", "shuffled"}
    assert (floors["n"] == 2).all()
    assert floors.loc["generic", "tf"] == 0.5  # right for one of two
    assert floors.loc["echo", "tf"] == 0.0
    assert floors.loc["shuffled", "tf"] == 0.0  # with two items each gets the other's
    assert floors["bert"].between(0, 1).all()
