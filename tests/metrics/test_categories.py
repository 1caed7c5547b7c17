"""Scores by category: groups, what is missing where a label does not occur, Wilson intervals."""

import pandas as pd
import pytest
from report_rows import items, predictions, row_scores

from clarilm_kedro.metrics.categories import CATEGORY_COLUMNS, CategoryOptions, category_scores, wilson


def _scores(frame: pd.DataFrame, limit: int = 12) -> pd.DataFrame:
    said = predictions(frame, {"clarilm": [0.9 if i % 4 else 0.1 for i in range(len(frame))]})
    return category_scores(frame, row_scores(frame, said), CategoryOptions(max_groups=limit))


def test_every_item_is_in_one_group_of_a_level() -> None:
    told = _scores(items(12))
    assert list(told["level"].unique()) == ["category"]
    assert told["group"].tolist() == ["Food", "Travel"]
    assert told["n"].tolist() == [6, 6]
    food = told.iloc[0]  # items 1 3 5 7 9 11 are all asked about; 3 and 9 need nothing
    assert (food["n_needed"], food["acc"], food["tpr"], food["tnr"]) == pytest.approx((4, 4 / 6, 1, 0))


def test_small_groups_are_joined() -> None:
    frame = items(12).assign(category=[*["a"] * 6, *["b"] * 3, "c", "d", "e"])
    told = _scores(frame, limit=3)
    assert dict(zip(told["group"], told["n"], strict=True)) == {"a": 6, "b": 3, "other": 3}
    assert told["group"].tolist()[-1] == "other"
    assert _scores(frame, limit=1)["group"].tolist() == ["other"]


def test_subclasses_are_named_with_their_category_and_one_label_has_no_f1() -> None:
    frame = items(4, benchmark="clamber").assign(category="AU", subclass="when", needs_clarification=True)
    told = _scores(frame)
    by_level = told.set_index("level")
    assert by_level.loc["subclass", "group"] == "AU / when"
    assert pd.isna(by_level.loc["subclass", "f1_macro"])
    assert pd.isna(by_level.loc["subclass", "tnr"])
    assert by_level.loc["subclass", "tpr"] == pytest.approx(3 / 4)


def test_benchmarks_without_categories_have_no_rows() -> None:
    told = _scores(items(4).assign(category="", subclass=""))
    assert told.empty
    assert list(told.columns) == list(CATEGORY_COLUMNS)
    assert _scores(items(0)).empty


def test_wilson() -> None:
    """98 of 108 gives [83.8, 94.9] and 2,055 of 3,202 gives [62.5, 65.8]: counted by another program."""
    assert [round(100 * bound, 1) for bound in wilson(98 / 108, 108)] == [83.8, 94.9]
    assert [round(100 * bound, 1) for bound in wilson(2055 / 3202, 3202)] == [62.5, 65.8]
    assert wilson(1.0, 1)[1] == 1
    assert wilson(0.0, 5)[0] == 0
