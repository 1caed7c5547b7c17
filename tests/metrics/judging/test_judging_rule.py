import pytest

from clarilm_kedro.metrics.judging.pairs import PAIRS
from clarilm_kedro.metrics.judging.rule import RULE_JUDGE, rule_judgements, rule_outcome
from clarilm_kedro.tables import table
from metrics.judging.judging_rows import pair, pairs


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"asked_other": False, "text_other": "Which dish? Take soup."}, "win"),
        ({"needs_clarification": False, "asked_other": False, "text_other": "Soup."}, "lose"),
        ({}, "win"),
        ({"text_system": "How many guests?", "text_other": "Which dish?"}, "lose"),
        ({"text_system": "Which dish is it?", "text_other": "Which dish?"}, "lose"),
        ({"text_system": "Which dish?", "text_other": "Dish, which?"}, "tie"),
        ({"references": [], "facets": ["guests"], "text_system": "How many guests?", "text_other": "Why?"}, "win"),
        ({"references": [], "text_system": "Why that one?", "text_other": "Why?"}, "lose"),
        ({"needs_clarification": False, "text_system": "Why?", "text_other": "Why now?"}, "win"),
        ({"asked_system": False, "asked_other": False, "text_system": "", "text_other": "Soup."}, "lose"),
        ({"asked_system": False, "asked_other": False, "text_system": "Soup.", "text_other": ""}, "win"),
    ],
)
def test_decision_then_question_then_length(changes: dict[str, object], outcome: str) -> None:
    assert rule_outcome(pair(**changes))[0] == outcome


def test_the_rule_does_not_look_at_the_order_and_says_that_it_is_a_rule() -> None:
    found = rule_judgements(pairs(2))
    assert list(found["verdict"]) == ["A", "B"] * 2
    assert set(found["judge"]) == set(found["model"]) == {RULE_JUDGE}
    assert "not an LLM" in RULE_JUDGE
    assert set(rule_judgements(pairs(1, identical=True))["verdict"]) == {"identical"}
    assert rule_judgements(table([], PAIRS)).empty
