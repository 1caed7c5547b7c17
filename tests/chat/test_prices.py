import datetime

import pytest

from clarilm_kedro.chat.prices import Price, read_price
from clarilm_kedro.chat.usage import Usage
from clarilm_kedro.errors import ClarilmError

TABLE = """
gpt-x: {input: 2.5, output: 10, cached_input: 1.25, batch_factor: 0.5, date: 2026-11-01, source: https://example.com}
plain: {input: 1, output: 2, date: 2026-11-01, source: a letter}
no-source: {input: 1, output: 2, date: 2026-11-01}
negative: {input: -1, output: 2, date: 2026-11-01, source: a letter}
typo: {input: 1, output: 2, outptu: 3, date: 2026-11-01, source: a letter}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "prices.yml"
    path.write_text(TABLE)
    return path


def test_a_price_is_read_and_applied(path):
    price = read_price(path, "gpt-x")
    assert price is not None
    assert price.date == datetime.date(2026, 11, 1)
    usage = Usage(prompt=1_000_000, cached=400_000, completion=100_000, reasoning=90_000)
    assert price.cost(usage) == pytest.approx(0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10)
    assert price.cost(usage, batch=True) == pytest.approx(price.cost(usage) / 2)


def test_without_a_price_for_cached_tokens_they_cost_as_others(path):
    price = read_price(path, "plain")
    assert price is not None
    assert price.cost(Usage(prompt=1_000_000, cached=1_000_000)) == 1
    assert price.cost(Usage(prompt=1_000_000), batch=True) == 1


def test_a_model_that_is_not_in_the_table_has_no_price(path):
    assert read_price(path, "other") is None


@pytest.mark.parametrize(("model", "said"), [("no-source", "source"), ("negative", "input"), ("typo", "outptu")])
def test_a_wrong_entry_says_what_is_wrong_and_where(path, model, said):
    with pytest.raises(ClarilmError, match=f"'{model}' in .*prices.yml is wrong: {said}"):
        read_price(path, model)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot be read"), ("a: [", "cannot be read"), ("- a", "must map model ids")]
)
def test_a_table_that_is_none_is_an_error(tmp_path, text, said):
    path = tmp_path / "odd.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ClarilmError, match=said):
        read_price(path, "m")


def test_what_a_price_needs_is_in_its_model():
    with pytest.raises(ValueError, match="date"):
        Price.model_validate({"input": 1, "output": 1, "source": "x"})
