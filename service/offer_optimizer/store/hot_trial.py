"""The trial: have an LMDB environment opened and read, all of it, by a process that may die of it.

A damaged map can end a process by SIGBUS or SIGSEGV, which no `except` catches.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from offer_optimizer.store.files import StrPath

TRIAL_LIMIT_S: Final = 20.0


def survives(directory: StrPath) -> bool:
    """Return whether a child process can read all of an environment in time."""
    command = [sys.executable, "-m", "offer_optimizer.store.hot_reading", str(directory)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TRIAL_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
