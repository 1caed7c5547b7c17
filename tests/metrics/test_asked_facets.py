"""Which gold facets a question asks for."""

import pytest

from clarilm_kedro.metrics.asked_facets import AskedFacetOptions, asked_facet_recalls

OPTIONS = AskedFacetOptions()
FACETS = ["Type of diabetes", "Aspect of treatment", "Sources"]
ASKS = ["Which type of diabetes are you interested in?", "Which aspect of treatment?", "Which sources do you prefer?"]


def test_words_of_the_facet_or_the_sense_of_its_question() -> None:
    questions = [
        "What types of diabetes do you mean?",  # every word of the first facet
        "Are you interested in a certain kind of diabetes?",  # its sense only
        "Do you have a dog?",
        "",
    ]
    found = asked_facet_recalls(questions, [FACETS] * 4, [ASKS] * 4, OPTIONS)
    assert found[0] == pytest.approx((1 / 3, 1 / 3))
    assert found[1] == pytest.approx((0, 1 / 3))
    assert found[2:] == [(0.0, 0.0), (0.0, 0.0)]


def test_without_a_question_of_its_own_the_facet_itself_is_compared() -> None:
    (found,) = asked_facet_recalls(["Budget?"], [["the budget", "city"]], [["Which one?"]], OPTIONS)
    assert found == (0.5, 0.5)


def test_no_items() -> None:
    assert asked_facet_recalls([], [], [], OPTIONS) == []
