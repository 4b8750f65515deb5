"""What a slow decision is put down to."""

from __future__ import annotations

from typing import Final

import pytest

from benchmarks.tail import Event, Slow, cause_of, causes

SWAP: Final = Event("swap", 100.0, 8.0, 8.0)
LATE: Final = Event("late", 100.0, 30.0, 28.0)
APPEND: Final = Event("append", 100.0, 25.0, 0.1)


@pytest.mark.parametrize(
    ("slow", "events", "cause"),
    [
        pytest.param(Slow(25.0, 100.0, 1.0), [SWAP], "swap", id="it held the lock for all that was too much"),
        pytest.param(Slow(35.0, 100.0, 1.0), [SWAP], "unknown", id="it would have been slow without"),
        pytest.param(Slow(30.0, 100.0, 1.0), [SWAP, LATE], "machine", id="it had no core for longer"),
        pytest.param(Slow(30.0, 100.0, 16.0), [SWAP, LATE], "client", id="it was sent late"),
        pytest.param(Slow(26.0, 100.0, 1.0), [APPEND], "append", id="the disk was all there was"),
        pytest.param(Slow(26.0, 100.0, 1.0), [], "unknown", id="nothing took long"),
        pytest.param(Slow(26.0, 90.0, 1.0), [Event("swap", 115.9, 9.0, 9.0)], "unknown", id="behind it"),
    ],
)
def test_a_slow_decision_is_put_down_to(slow: Slow, events: list[Event], cause: str) -> None:
    assert cause_of(slow, events) == cause


def test_each_slow_decision_is_compared_with_what_ran_near_it() -> None:
    later = Event("swap", 300.0, 9.0, 9.0)
    slow = [Slow(25.0, 300.0, 0.0), Slow(25.0, 100.0, 0.0), Slow(25.0, 200.0, 0.0)]
    assert causes(slow, [SWAP, later]) == {"swap": 2, "unknown": 1}
