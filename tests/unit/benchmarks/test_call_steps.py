"""Where a call's time goes: threads by what they do, steps without the steps within them."""

from __future__ import annotations

import pytest

from benchmarks.call_steps import ANSWERS, INSIDE, RECEIVES, REST, ROWS, SOCKETS, by_kind, steps_us

NAMES = {"1": "MainThread", "2": "Thread-3 (_serve)", "3": "decide-1", "4": "recorder", "5": "refresh"}


def test_threads_are_added_up_by_what_they_do_and_the_recorder_is_left_out() -> None:
    spent = {f"{number} python": float(number) for number in NAMES} | {"6 event_engine": 6.0, "7 else": 7.0}
    assert by_kind(spent, NAMES) == {RECEIVES: 2.0, ANSWERS: 3.0, SOCKETS: 6.0, REST: 1.0 + 5.0 + 7.0}


def test_a_step_is_what_is_left_of_it_without_those_within_it_and_without_the_recorder() -> None:
    """Each of 10 calls takes 100 us as seen, of which watching is 1 us within a step and 2 around it."""
    before = {"steps": dict.fromkeys(ROWS, (5, 500_000))}
    after = {"steps": dict.fromkeys(ROWS, (15, 1_500_000)), "cost_ns": (1_000.0, 2_000.0)}
    found = steps_us(before, after)
    for name in ROWS:
        within = len(INSIDE.get(name, ()))
        assert found[name] == pytest.approx(99.0 - within * 101.0)
