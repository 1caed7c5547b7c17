"""Decisions drawn from P(ask): the formula, top-p, seeds; and what the options refuse."""

import pytest
from pydantic import ValidationError

from clarilm_kedro.pipelines.evaluation.prediction import drawn_to_ask
from clarilm_kedro.pipelines.evaluation.schemas import DecodingOptions


def share(p_ask: float, **options: float) -> float:
    chosen = DecodingOptions(decision="sampled", **options)  # type: ignore[arg-type]
    return sum(drawn_to_ask(p_ask, chosen, seed, "s", "in3", "in3-1") for seed in range(4000)) / 4000


@pytest.mark.parametrize(
    ("p_ask", "options", "expected"),
    [
        (0.3, {"temperature": 1.0}, 0.3),
        (0.4, {"temperature": 0.5}, 0.16 / (0.16 + 0.36)),  # squares, renormalised
        (0.7, {"temperature": 1.0, "top_p": 0.9}, 0.7),
        (0.95, {"temperature": 1.0, "top_p": 0.9}, 1.0),  # asking alone holds 90 % of the mass
        (0.05, {"temperature": 1.0, "top_p": 0.9}, 0.0),
        (0.3, {"temperature": 0.5, "top_p": 0.8}, 0.0),  # 0.155 after the temperature
        (0.49, {"temperature": 0.0}, 0.0),
        (0.5, {"temperature": 0.0}, 1.0),
        (0.0, {"temperature": 1.0}, 0.0),
        (1.0, {"temperature": 1.0}, 1.0),
        (1e-300, {"temperature": 0.001}, 0.0),
    ],
)
def test_decisions_are_drawn_as_tokens_are(p_ask: float, options: dict[str, float], expected: float) -> None:
    assert share(p_ask, **options) == pytest.approx(expected, abs=0.03)


def test_a_draw_depends_on_seed_and_item_only() -> None:
    options = DecodingOptions(decision="sampled", temperature=1.0)
    drawn = [[drawn_to_ask(0.5, options, seed, "s", "in3", item) for item in range(50)] for seed in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_greedy_draws_are_refused() -> None:
    with pytest.raises(ValidationError, match="3 draws at temperature 0 are 3 times the same"):
        DecodingOptions(draws=3)
