"""A token bucket never lets more through than its rate and its burst, and no less than that to who waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netmon.trap_receiver.bucket import NS, Bucket

NOON = 1_767_268_800 * NS


def test_a_bucket_is_filled_by_time_that_goes_on() -> None:
    """A clock set back fills nothing, and takes nothing."""
    bucket = Bucket(1.0, 2, NOON)
    times_s = (0, 0, 0, -3_600, 1, 1, 1_000, 1_000, 1_000)

    assert [bucket.take(NOON + at * NS) for at in times_s] == [
        True, True, False, False, True, False, True, True, False,
    ]  # fmt: skip


def test_a_token_that_is_given_back_can_be_taken_again() -> None:
    """Once."""
    bucket = Bucket(1.0, 1, NOON)
    bucket.take(NOON)
    bucket.give_back()

    assert [bucket.take(NOON) for _ in range(2)] == [True, False]


@given(st.integers(1, 100), st.integers(1, 100), st.lists(st.integers(0, NS), max_size=200))
def test_no_more_than_rate_and_burst_pass(rate: int, burst: int, pauses_ns: list[int]) -> None:
    """However the attempts are spread; an attempt when nothing was taken for a second always passes."""
    bucket = Bucket(rate, burst, NOON)
    now_ns, passed = NOON, 0
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        passed += bucket.take(now_ns)

    assert passed <= burst + rate * (now_ns - NOON) / NS + 1e-6
    assert bucket.take(now_ns + NS)
