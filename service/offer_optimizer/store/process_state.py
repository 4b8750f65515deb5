"""What the kernel says of a process, and whether one that went silent is stuck or only starved.

On a busy machine a healthy process may get no processor for seconds; killing it then breaks the calls it
was answering and helps nobody. A stopped process, or one that had its processor time and still did not
beat, is another matter. Linux only, as `/proc` is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STARVED_LIMIT_FACTOR: Final = 5
"""A silent process that is merely starved, or waits for a disk, gets so many times the usual limit."""
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What `/proc` shows: the letter of the state (R, S, D, T, Z ...) and CPU time used, in nanoseconds."""

    letter: str
    cpu_ns: int

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger holds it."""
        return self.letter in ("T", "t")


def parse_stat(text: str) -> ProcessState:
    """Read the text of `/proc/PID/stat`. Raises ValueError when it is not of that form.

    Source: proc_pid_stat(5): the name ends at the last parenthesis; then state is the first field, and
    utime and stime are the twelfth and thirteenth.
    """
    fields = text[text.rindex(")") + 1 :].split()
    if len(fields) < 13:
        raise ValueError(f"/proc/PID/stat has {len(fields)} fields behind the name, at least 13 are known")
    return ProcessState(fields[0], (int(fields[11]) + int(fields[12])) * _TICK_NS)


def read_process(pid: int) -> ProcessState | None:
    """Return the state of a process, or None when there is none such."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (OSError, ValueError):
        return None


def is_stuck(state: ProcessState, cpu_at_beat_ns: int, silent_ns: int, limit_ns: int) -> bool:
    """Return whether a process that last beat `silent_ns` ago is stuck.

    Beyond `limit_ns` it is when it is stopped, or when it had at least half of that limit of processor time
    since its last beat, which `cpu_at_beat_ns` tells. Whatever the cause, it is beyond five times the limit.
    """
    if silent_ns <= limit_ns:
        return False
    return (
        state.is_stopped
        or state.cpu_ns - cpu_at_beat_ns >= limit_ns // 2
        or silent_ns > STARVED_LIMIT_FACTOR * limit_ns
    )
