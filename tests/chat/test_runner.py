import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.chat.lane import Lane
from clarilm_kedro.chat.runner import Runner, RunnerOptions, pause


@given(st.floats(0, 1e6), st.integers(1, 20), st.floats(0.001, 2))
def test_a_pause_is_at_least_what_the_server_asked_and_never_endless(retry_after, number, first):
    assert retry_after <= pause(retry_after, number, first) <= max(30, retry_after)


def test_the_first_pause_is_short_and_four_of_them_wait_out_a_trouble_of_seconds():
    assert 0.075 <= pause(0, 1, 0.1) <= 0.1
    assert 1.2 <= pause(0, 3, 0.1) <= 1.6
    assert sum(pause(0, number, 0.1) for number in range(1, 5)) > 6


def test_a_client_that_cannot_be_made_is_an_error_not_a_wait():
    def connect() -> list[Lane]:
        raise ValueError("odd address")

    with pytest.raises(ValueError, match="odd address"):
        Runner(connect, None, RunnerOptions(1, 0.1, 900))  # type: ignore[arg-type]
