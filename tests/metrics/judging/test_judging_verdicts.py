import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clarilm_kedro.chat.parse import InvalidReplyError, parse_reply
from clarilm_kedro.metrics.judging.verdicts import (
    Verdict,
    identical_judgements,
    outcome_of,
    shown,
    spelled,
    verdict_for,
)
from metrics.judging.judging_rows import pair


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"reason": "r", "verdict": "A"}', "A"),
        ('```json\n{"reason": "r", "verdict": "tie"}\n```', "tie"),
        ('{"reason": "r", "verdict": "Reply B"}', "B"),
        ('{"verdict": "TIE."}', "tie"),
        ('I compared them. {"reason": "A said {x}", "verdict": "b"} That is all.', "B"),
        ("Reply A asks too much.\n\n**Verdict: B**", "B"),
        ("My verdict is a tie.", "tie"),
        ("After all [[A]]", "A"),
        ('{"reason": "r", "verdict": ["A"]}', "A"),
        ("I think reply A is better, but on reflection Reply B is clearly better.", "B"),
    ],
)
def test_verdicts_are_read_in_the_forms_that_models_use(text: str, verdict: str) -> None:
    assert parse_reply(text, Verdict).verdict == verdict


@pytest.mark.parametrize(
    "text",
    [
        "A and B are both fine.",
        "Reply A is not better.",
        '{"reason": "r"}',
        '{"reason": "r", "verdict": "C"}',
        '{"reason": "r", "verdict": "A or B"}',
        "Verdict: A and B are equally good",
        "",
        "The verdict depends on the user.",
    ],
)
def test_what_decides_nothing_is_no_verdict(text: str) -> None:
    with pytest.raises(InvalidReplyError):
        parse_reply(text, Verdict)


def test_the_reason_is_kept() -> None:
    assert parse_reply('{"reason": "shorter", "verdict": "A"}', Verdict).reason == "shorter"
    assert parse_reply("Because. Verdict: A", Verdict).reason == "Because. Verdict: A"
    with pytest.raises(ValidationError):
        Verdict.model_validate({"reason": 3, "verdict": "A"})


def test_the_schema_that_endpoints_enforce_allows_three_verdicts() -> None:
    assert json.dumps(["A", "B", "tie"]) in json.dumps(Verdict.model_json_schema())


@given(st.text(max_size=60))
def test_any_text_is_a_verdict_or_none(text: str) -> None:
    found = Verdict.from_prose(text)
    assert found is None or found.verdict in ("A", "B", "tie")
    assert spelled(text) in ("A", "B", "tie", None)


def test_order_2_shows_the_opponent_first() -> None:
    each = pair()
    assert shown(each, 1) == (each["text_system"], each["text_other"]) == shown(each, 2)[::-1]


@pytest.mark.parametrize("order", [1, 2])
def test_a_verdict_and_its_outcome_lead_to_each_other(order: int) -> None:
    for verdict in ("A", "B", "tie"):
        assert verdict_for(outcome_of(verdict, order), order) == verdict
    assert outcome_of("A", order) == ("win" if order == 1 else "lose")
    assert outcome_of("identical", order) == "tie"
    assert outcome_of("invalid", order) == "invalid"


def test_only_identical_pairs_are_tied_without_a_call() -> None:
    rows = identical_judgements([pair(0, identical=True), pair(1)], "j")
    assert [(row["pair_id"], row["order"], row["verdict"]) for row in rows] == [
        ("p0000", 1, "identical"),
        ("p0000", 2, "identical"),
    ]
