import logging
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.metrics.judging.agreement import AgreementOptions, judge_agreement
from clarilm_kedro.metrics.judging.outcomes import OUTCOMES, pair_outcomes
from clarilm_kedro.metrics.judging.pairs import PAIRS
from clarilm_kedro.metrics.judging.results import LENGTHS, RESULTS, ResultOptions, judge_results, length_table
from clarilm_kedro.metrics.judging.rule import rule_judgements
from clarilm_kedro.tables import records, table
from metrics.judging.judging_rows import NOBODY, judged, outcomes, pair, pairs
from metrics.judging.test_judging_outcomes import EXAMPLE

FEW = ResultOptions(resamples=300)


def one(found: pd.DataFrame, aggregation: str = "strict") -> dict[str, object]:
    (row,) = records(judge_results(found, FEW).query("aggregation == @aggregation"))
    return row


def test_the_worked_example() -> None:
    strict, lenient = one(outcomes(EXAMPLE)), one(outcomes(EXAMPLE), "lenient")
    assert [strict[name] for name in ("n", "win", "tie", "lose", "invalid")] == [5, 1, 3, 1, 0]
    assert [lenient[name] for name in ("n", "win", "tie", "lose", "invalid")] == [5, 2, 2, 1, 0]
    assert strict["win_rate"] == 0.5
    for row in (strict, lenient):
        assert row["order_consistent"] == 3 / 5
        assert row["flip_rate"] == 1 / 5
        assert row["slot1_rate"] == 5 / 7
    assert strict["p_sign"] == 1.0


def test_a_judge_that_always_says_a() -> None:
    row = one(outcomes([("A", "A")] * 10, text_other="Could you say a little more?"))
    wanted = {"n": 10, "win": 0, "tie": 10, "lose": 0, "win_rate": 0.5, "low": 0.5, "high": 0.5, "p_sign": 1.0}
    wanted |= {"flip_rate": 1.0, "order_consistent": 0.0, "slot1_rate": 1.0, "length_controlled": 0.5}
    wanted |= {"invalid_share": 0.0}
    assert {name: row[name] for name in wanted} == pytest.approx(wanted, nan_ok=True)
    assert "100% of the verdicts turn round" in str(row["warnings"])
    assert "100% of the decided verdicts are for the reply shown first" in str(row["warnings"])


def test_a_perfect_judge_recovers_the_planted_order() -> None:
    """System number k beats every opponent of a lower number, so win rates rise as opponents get weaker."""
    strengths = {"s1": 0.9, "s2": 0.6, "s3": 0.3, "s4": 0.0}
    rng = np.random.default_rng(0)
    ours = rng.random(60)
    given_ = table(
        [pair(number, pair_id=f"{other}-{number}", other=other) for other in strengths for number in range(len(ours))],
        PAIRS,
    )
    said = [
        ("A", "B") if ours[i % 60] > strengths[row["other"]] else ("B", "A") for i, row in enumerate(records(given_))
    ]
    found = judge_results(pair_outcomes(given_, judged(given_, said), NOBODY), FEW)
    strict = found[found["aggregation"] == "strict"].set_index("other")
    assert list(strict["win_rate"].sort_values().index) == list(strengths)
    assert strict.loc["s4", "win_rate"] == 1.0
    assert (strict["flip_rate"] == 0).all()
    assert (strict["slot1_rate"] == 0.5).all()
    assert (strict["p_sign_holm"] >= strict["p_sign"]).all()
    assert strict.loc["s4", "p_sign_holm"] == pytest.approx(4 * strict.loc["s4", "p_sign"])


def test_invalid_pairs_are_a_class_of_their_own() -> None:
    row = one(outcomes([("A", "B"), ("invalid", "invalid"), ("A", "invalid"), ("A", "")]))
    assert (row["n"], row["win"], row["tie"], row["invalid"]) == (4, 1, 0, 3)
    assert row["win_rate"] == 1.0
    assert row["invalid_share"] == 0.75
    assert row["flip_rate"] == 0.0
    assert row["slot1_rate"] == 3 / 4


def test_a_judge_that_is_never_understood_has_no_rates() -> None:
    row = one(outcomes([("invalid", "invalid")] * 3))
    assert row["invalid"] == row["n"] == 3
    assert row["p_sign"] == 1.0
    for name in ("win_rate", "low", "high", "flip_rate", "order_consistent", "slot1_rate", "length_controlled"):
        assert np.isnan(row[name]), name
    assert row["warnings"] == ""


def test_identical_pairs_are_ties_and_say_nothing_about_orders() -> None:
    row = one(outcomes([("identical", "identical"), ("A", "B")]))
    assert (row["tie"], row["win"], row["identical"]) == (1, 1, 1)
    assert row["win_rate"] == 0.75
    assert (row["flip_rate"], row["order_consistent"], row["slot1_rate"]) == (0.0, 1.0, 0.5)


def test_a_biased_judge_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        judge_results(outcomes([("A", "A")] * 4), FEW)
        judge_results(outcomes([("A", "B")] * 4), FEW)
    assert len(caplog.records) == 1
    assert "clarilm against base on in3, j:" in caplog.text


def test_people_have_one_order_and_so_no_flip_rate() -> None:
    given_ = pairs(2)
    found = pair_outcomes(given_, NOBODY, judged(given_, [("A",), ("", "B")], "human"))
    row = one(found, "single")
    assert (row["judge"], row["win"], row["win_rate"]) == ("human", 2, 1.0)
    assert np.isnan(row["flip_rate"])
    assert row["slot1_rate"] == 0.5
    assert one(pair_outcomes(given_, NOBODY, judged(given_, [("A",), ("A",)], "human")), "single")["warnings"] == ""


def test_no_rows_give_typed_tables() -> None:
    nothing = table([], OUTCOMES)
    for found, columns in (
        (judge_results(nothing, FEW), RESULTS),
        (length_table(nothing, FEW), LENGTHS),
    ):
        assert found.empty
        assert found.dtypes.astype(str).to_dict() == table([], columns).dtypes.astype(str).to_dict()


def test_win_rates_by_length_ratio() -> None:
    given_ = table(
        [pair(number, text_system="w " * words, text_other="w " * 9) for number, words in enumerate((0, 4, 9, 9, 40))],
        PAIRS,
    )
    said = [("B", "A"), ("A", "B"), ("A", "B"), ("B", "A"), ("invalid", "A")]
    found = length_table(pair_outcomes(given_, judged(given_, said), NOBODY), FEW)
    strict = found[found["aggregation"] == "strict"]
    assert [tuple(row) for row in strict[["from_ratio", "to_ratio", "n", "win_rate"]].to_numpy()] == [
        (0.0, 0.5, 1, 0.0),
        (0.5, 0.8, 1, 1.0),
        (0.8, 1.25, 2, 0.5),
    ]


verdicts = st.lists(st.tuples(*[st.sampled_from(["A", "B", "tie", "invalid"])] * 2), min_size=1, max_size=12)


@given(verdicts)
def test_exchanging_the_systems_exchanges_wins_and_losses(said: list[tuple[str, str]]) -> None:
    ours = judge_results(outcomes(said), FEW)
    swapped = {"text_system": pair()["text_other"], "text_other": "Which dish is recipe 0 for?"}
    theirs = judge_results(outcomes([(second, first) for first, second in said], **swapped), FEW)
    assert list(ours["win"]) == list(theirs["lose"])
    for same in ("tie", "invalid", "p_sign", "flip_rate", "order_consistent", "slot1_rate"):
        assert list(ours[same]) == pytest.approx(list(theirs[same]), nan_ok=True), same
    assert list(ours["win_rate"]) == pytest.approx(list(1 - theirs["win_rate"]), nan_ok=True)
    assert (ours[["win", "tie", "lose", "invalid"]].sum(axis=1) == ours["n"]).all()


def test_the_papers_1400_pairs_are_summed_up_within_two_seconds() -> None:
    rng = np.random.default_rng(0)
    given_ = table(
        [
            pair(number, pair_id=f"{benchmark}-{other}-{number}", benchmark=benchmark, other=f"s{other}")
            for benchmark in ("in3", "clamber")
            for other in range(7)
            for number in range(100)
        ],
        PAIRS,
    )
    said = rng.choice(["A", "B", "tie"], (len(given_), 2)).tolist()
    judgements = pd.concat([judged(given_, said), rule_judgements(given_)], ignore_index=True)
    started = time.process_time()
    found = pair_outcomes(given_, judgements, NOBODY)
    judge_results(found, ResultOptions())
    length_table(found, ResultOptions())
    judge_agreement(found, AgreementOptions())
    assert time.process_time() - started < 2
