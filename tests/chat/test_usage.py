import json

import pytest
from fault_server import completion
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.chat.usage import Usage, estimate_tokens, read_usage

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def body(usage: object) -> dict[str, object]:
    return {**json.loads(completion("four")), "usage": usage}


@pytest.mark.parametrize(
    ("given_usage", "read"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4}, Usage(9, 0, 4)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(9, 6, 4, 3),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 5}, Usage(9, 5, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 50}, Usage(9, 9, 4)),
        ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, Usage(9)),
    ],
)
def test_counts_are_read_as_providers_give_them(given_usage, read):
    assert read_usage(body(given_usage), 100) == read


@pytest.mark.parametrize(
    "given_usage", [None, {}, [], "x", {"prompt_tokens": -1}, {"prompt_tokens": 10**30}, {"prompt_tokens": 1.5}]
)
def test_without_a_count_bytes_are_counted(given_usage):
    assert read_usage(body(given_usage), 100) == Usage(25, completion=1, estimated=True)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_a_server_sends_gives_counts_that_can_be_kept(usage, prompt, details):
    for given_usage in (
        usage,
        {"prompt_tokens": prompt, "completion_tokens": prompt, "prompt_tokens_details": details},
    ):
        read = read_usage(body(given_usage), 8)
        assert 0 <= read.cached <= read.prompt < 2**63
        assert 0 <= read.completion < 2**63


def test_usages_add_up():
    assert Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40, estimated=True) == Usage(11, 22, 33, 44, estimated=True)


def test_an_estimate_is_never_nothing():
    assert (estimate_tokens(0), estimate_tokens(400), estimate_tokens(400, 2.0)) == (1, 100, 200)
