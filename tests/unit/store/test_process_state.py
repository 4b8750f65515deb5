"""A silent process is killed when it is stuck, not when the machine is busy."""

from __future__ import annotations

import os

import pytest

from offer_optimizer.store.process_state import ProcessState, is_stuck, parse_stat, read_process

S = 1_000_000_000
LIMIT = 2 * S


def test_the_name_may_hold_spaces_and_parentheses() -> None:
    """Only the last parenthesis ends it."""
    tick_ns = S // os.sysconf("SC_CLK_TCK")
    text = "42 (a ) R (b) T 1 42 42 0 -1 4194560 1 0 0 0 7 5 0 0 20 0 1 0 99\n"
    assert parse_stat(text) == ProcessState("T", 12 * tick_ns)


def test_a_short_text_is_refused() -> None:
    """With how much there was."""
    with pytest.raises(ValueError, match="has 2 fields"):
        parse_stat("42 (x) R 1")


def test_our_own_process_runs_and_a_process_that_is_not_there_has_no_state() -> None:
    """The kernel answers about us while we ask."""
    state = read_process(os.getpid())
    assert state is not None
    assert state.letter == "R"
    assert not state.is_stopped
    assert read_process(2**22 + 1) is None


@pytest.mark.parametrize(
    ("letter", "used_s", "silent_s", "stuck"),
    [
        ("T", 0.0, 1.9, False),
        ("T", 0.0, 2.1, True),
        ("R", 0.3, 2.1, False),
        ("R", 1.0, 2.1, True),
        ("S", 0.0, 9.9, False),
        ("S", 0.0, 10.1, True),
        ("R", 0.3, 10.1, True),
    ],
    ids=[
        "not yet",
        "stopped",
        "starved",
        "ran and did not beat",
        "waits",
        "waits too long",
        "starved too long",
    ],
)
def test_stopped_and_spinning_processes_are_stuck_and_starved_ones_have_longer(
    letter: str, used_s: float, silent_s: float, stuck: bool
) -> None:
    """Processor time since the last beat tells a spin from a queue."""
    state = ProcessState(letter, int((7 + used_s) * S))
    assert is_stuck(state, 7 * S, int(silent_s * S), LIMIT) is stuck
