import pandas as pd
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.benchmarks.shape import items_frame
from clarilm_kedro.metrics.judging.pairs import PAIRS, DrawOptions, draw_items, draw_pairs, same_reply
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS
from clarilm_kedro.tables import table


def items(n: int, benchmark: str = "clamber") -> pd.DataFrame:
    rows = [
        {
            "benchmark": benchmark,
            "item_id": f"{benchmark}-{i}",
            "question": f"Question {i}?",
            "needs_clarification": i % 2 == 0,
            "references": ["Which one?"] if i % 2 == 0 else [],
            "category": "",
            "subclass": "polysemy" if i % 10 else "when",
        }
        for i in range(n)
    ]
    return items_frame(rows)


def said(benchmarks: pd.DataFrame, *systems: str, seed: int = 0, text: str = "{system} on {item}") -> pd.DataFrame:
    rows = [
        {
            "benchmark": item.benchmark,
            "system": system,
            "seed": seed,
            "item_id": item.item_id,
            "text": text.format(system=system, item=item.item_id),
            "asked": item.needs_clarification,
            "p_ask": None,
            "question": f"{system} asks?" if item.needs_clarification else "",
            "parsed": True,
            "threshold": None,
        }
        for item in benchmarks.itertuples()
        for system in systems
    ]
    return table(rows, PREDICTION_COLUMNS)


def test_every_opponent_is_judged_on_the_same_items() -> None:
    benchmarks = pd.concat([items(40), items(30, "in3")], ignore_index=True)
    found = draw_pairs(benchmarks, said(benchmarks, "clarilm", "base", "gpt-4o"), DrawOptions(items=10))
    assert list(found.columns) == list(PAIRS)
    assert found.groupby(["benchmark", "other"]).size().to_dict() == {
        (benchmark, other): 10 for benchmark in ("clamber", "in3") for other in ("base", "gpt-4o")
    }
    drawn = found.groupby(["benchmark", "other"])["item_id"].apply(frozenset)
    assert drawn.groupby("benchmark").nunique().eq(1).all()
    assert found["pair_id"].is_unique


def test_the_draw_keeps_the_shares_of_labels_and_subclasses_and_ignores_the_order_of_rows() -> None:
    rows = items(100).to_dict("records")
    drawn = draw_items(rows, 20, seed=7)
    assert sum(row["needs_clarification"] for row in drawn) == 10
    assert sum(row["subclass"] == "when" for row in drawn) == 2
    assert draw_items(rows[::-1], 20, seed=7) == drawn
    assert draw_items(rows, 20, seed=8) != drawn
    assert len(draw_items(rows, 7, seed=7)) == 7
    assert len(draw_items(rows, None, seed=7)) == len(draw_items(rows, 1000, seed=7)) == 100


def test_a_reply_is_the_question_where_the_system_asked() -> None:
    benchmarks = items(2)
    found = draw_pairs(benchmarks, said(benchmarks, "clarilm", "base"), DrawOptions())
    assert list(found["text_system"]) == ["clarilm asks?", "clarilm on clamber-1"]
    assert list(found["text_other"]) == ["base asks?", "base on clamber-1"]
    assert not found["identical"].any()


def test_bars_are_left_out_unless_they_are_named() -> None:
    benchmarks = items(4)
    predictions = said(benchmarks, "clarilm", "base", "always-ask", "tf-idf")
    assert set(draw_pairs(benchmarks, predictions, DrawOptions())["other"]) == {"base"}
    assert set(draw_pairs(benchmarks, predictions, DrawOptions(others=("always-ask",)))["other"]) == {"always-ask"}


def test_of_several_draws_the_lowest_seed_counts() -> None:
    benchmarks = items(2)
    both = pd.concat(
        [said(benchmarks, "clarilm", "base", seed=3, text="late"), said(benchmarks, "clarilm", "base", seed=1)]
    )
    assert draw_pairs(benchmarks, both, DrawOptions())["text_system"].iloc[1] == "clarilm on clamber-1"


def test_an_item_without_a_reply_of_some_opponent_is_drawn_for_none(caplog: pytest.LogCaptureFixture) -> None:
    benchmarks = items(6)
    predictions = said(benchmarks, "clarilm", "base", "gpt-4o")
    lacking = predictions.drop(
        predictions.index[(predictions["system"] == "base") & (predictions["item_id"] == "clamber-3")]
    )
    found = draw_pairs(benchmarks, lacking, DrawOptions())
    assert "clamber-3" not in set(found["item_id"])
    assert found.groupby("other").size().eq(5).all()
    assert "1 of 6 items" in caplog.text


def test_without_predictions_there_are_no_pairs() -> None:
    found = draw_pairs(items(4), table([], PREDICTION_COLUMNS), DrawOptions())
    assert found.empty
    assert list(found.columns) == list(PAIRS)


@pytest.mark.parametrize(
    ("options", "said_"),
    [
        (DrawOptions(system="clarilm-2"), r"no predictions of clarilm-2.*base, clarilm"),
        (DrawOptions(others=("gpt",)), "no predictions of gpt"),
        (DrawOptions(benchmarks=("in4",)), r"no items of in4.*clamber"),
    ],
)
def test_an_unknown_name_is_refused(options: DrawOptions, said_: str) -> None:
    benchmarks = items(4)
    with pytest.raises(ClarilmError, match=said_):
        draw_pairs(benchmarks, said(benchmarks, "clarilm", "base"), options)


def test_the_id_of_a_pair_follows_its_texts() -> None:
    benchmarks = items(1)
    first, again, other = (
        draw_pairs(benchmarks, pd.concat([said(benchmarks, "clarilm"), theirs]), DrawOptions())["pair_id"].iloc[0]
        for theirs in (
            said(benchmarks, "base"),
            said(benchmarks, "base"),
            said(benchmarks, "base").assign(question="Another one?"),
        )
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Which  city?", "which city?\n", True),
        ("", "", True),
        ("", "  ", True),
        ("-5", "5", False),
        ("Which city?", "Which city", False),
        ("\uff21", "a", True),
    ],
)
def test_replies_are_the_same_but_for_case_and_white_space(one: str, other: str, same: bool) -> None:
    assert same_reply(one, other) is same
