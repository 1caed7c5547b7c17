"""Row scores as arrays over items."""

import numpy as np

from clarilm_kedro.metrics.outcomes import ordered, outcomes_by_benchmark
from clarilm_kedro.metrics.scoring import ROW_SCORE_COLUMNS
from clarilm_kedro.tables import table
from row_scores import scores_of


def test_arrays_follow_the_items_and_the_seeds() -> None:
    needs, asked = np.array([True, False, True]), np.array([True, True, False])
    rows = [*scores_of("base", needs, asked, seed=3), *scores_of("base", needs, ~asked, seed=1)]
    ((benchmark, found),) = outcomes_by_benchmark(table(rows[::-1], ROW_SCORE_COLUMNS))
    assert (benchmark, found.items) == ("in3", ("000", "001", "002"))
    done = found.systems["base"]
    assert done.seeds == (1, 3)
    assert done.asked.tolist() == [[False, True], [False, True], [True, False]]
    assert np.isnan(done.values["token_f1"][1]).all()
    assert done.parsed[:, 0].tolist() == [False, True, True]
    assert found.counts("base").shape == (3, 8)
    assert found.taken(np.array([2])).items == ("002",)


def test_order_of_names() -> None:
    assert ordered(["z", "clarilm", "base", "a", "base"], ["base", "clarilm"]) == ["base", "clarilm", "a", "z"]
