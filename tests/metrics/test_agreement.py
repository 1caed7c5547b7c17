import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score

from clarilm_kedro.metrics.agreement import decision_scores, found_scores


def test_precision_recall_and_f1() -> None:
    assert found_scores(3, 4, 6) == pytest.approx([0.75, 0.5, 0.6])


def test_a_search_without_finds_scores_nothing() -> None:
    assert found_scores(0, 0, 5).tolist() == [0, 0, 0]
    assert found_scores([0, 1], [2, 1], [0, 1]).tolist() == [[0, 0, 0], [1, 1, 1]]


def test_kappa_takes_chance_away() -> None:
    # 20 yes/yes, 5 and 10 against each other, 15 no/no: a = 0.7, e = 0.5.
    assert decision_scores(20, 5, 10, 15) == pytest.approx([0.7, 0.4])
    assert decision_scores(45, 5, 45, 5) == pytest.approx([0.5, 0.0])


def test_kappa_of_one_class_is_undefined_and_given_as_0() -> None:
    assert decision_scores(7, 0, 0, 0).tolist() == [1, 0]


labels = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


@given(labels)
def test_it_is_scikit_learns_kappa(pairs) -> None:
    gold, given_ = np.array(pairs).T
    cells = [int(((gold == g) & (given_ == d)).sum()) for g, d in ((1, 1), (0, 1), (1, 0), (0, 0))]
    accuracy, kappa = decision_scores(*cells)
    assert accuracy == pytest.approx(accuracy_score(gold, given_))
    if len({*gold, *given_}) > 1:
        assert kappa == pytest.approx(cohen_kappa_score(gold, given_))
