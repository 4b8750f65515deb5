"""Back-off grows, is capped, and never becomes a busy loop."""

from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.client.backoff import Backoff


@given(attempt=st.integers(0, 10_000), u=st.floats(0.0, 1.0, exclude_max=True))
def test_every_delay_is_within_a_tenth_and_the_whole_of_its_ceiling(attempt: int, u: float) -> None:
    delay_s = Backoff(first_s=0.05, most_s=5.0).delay_s(attempt, u)
    ceiling_s = min(5.0, 0.05 * 2.0 ** min(attempt, 32))
    assert 0.1 * ceiling_s <= delay_s <= ceiling_s


def test_the_ceiling_doubles_with_every_attempt_until_the_cap() -> None:
    backoff = Backoff(first_s=1.0, most_s=5.0)
    almost_one = 1.0 - 2.0**-53
    assert [round(backoff.delay_s(attempt, almost_one), 6) for attempt in range(5)] == [
        1.0,
        2.0,
        4.0,
        5.0,
        5.0,
    ]
