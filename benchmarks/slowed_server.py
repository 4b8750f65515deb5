"""A server whose decider is slow: `python -m benchmarks.slowed_server DECISIONS_A_SECOND`.

The real edge in front of one decision at a time, each of which takes its share of a second, and feedback
that takes as long as a slow disk's sync. Prints the port; then, for every line on its standard input, a line
of JSON with what it did so far and its memory; ends with it.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.servers import FixedDecision, fixed_ports
from offer_optimizer.api.server import ServerOptions, bind, build_server
from offer_optimizer.decide.requests import DecideInput, FeedbackInput, Outcome

SYNC_S = 0.01


class Slowed(FixedDecision):
    """Decides one after the other, `rate` a second, and counts what it did."""

    def __init__(self, rate: float) -> None:
        self._seconds = 1.0 / rate
        self._turn = threading.Lock()
        self.decided_count = 0
        self.recorded_count = 0

    def decide(self, request: DecideInput) -> Outcome:
        """Take a turn."""
        with self._turn:
            self.decided_count += 1
            time.sleep(self._seconds)
        return super().decide(request)

    def record(self, items: Sequence[FeedbackInput]) -> None:
        """Wait as for a disk."""
        self.recorded_count += len(items)
        time.sleep(SYNC_S)


def memory_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Serve what the command line says."""
    slowed = Slowed(float(sys.argv[1]))
    server = build_server(replace(fixed_ports(), decisions=slowed, intake=slowed), ServerOptions()).server
    print(bind(server, "127.0.0.1:0"), flush=True)
    server.start()
    for _ in sys.stdin:
        did = {
            "decided_count": slowed.decided_count,
            "recorded_count": slowed.recorded_count,
            "memory_mib": memory_mib(),
            "thread_count": threading.active_count(),
        }
        print(json.dumps(did), flush=True)
    server.stop(0).wait()


if __name__ == "__main__":
    main()
