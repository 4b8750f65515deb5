"""A server whose decider is slow: `python -m benchmarks.slowed_server DECISIONS_A_SECOND`.

The real edge in front of one decision at a time, each of which takes its share of a second, in the order
in which they came; feedback takes as long as a slow disk's sync. Its calls are counted
(`counting`). Prints the port, and serves until its standard input ends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from benchmarks import counting
from benchmarks.servers import FixedDecision, fixed_ports
from offer_optimizer.api.server import ServerOptions, bind, build_server
from offer_optimizer.decide.requests import DecideInput, FeedbackInput, Outcome

SYNC_S: Final = 0.01


class Slowed(FixedDecision):
    """Decides one after the other, `rate` a second."""

    def __init__(self, rate: float) -> None:
        self._seconds = 1.0 / rate
        # Not a lock: whoever gives one back is the first to have it again, and who waits for it starves.
        self._turns = ThreadPoolExecutor(1)

    def decide(self, request: DecideInput) -> Outcome:
        """Take a turn."""
        self._turns.submit(time.sleep, self._seconds).result()
        return super().decide(request)

    def record(self, _items: Sequence[FeedbackInput]) -> None:
        """Wait as for a disk."""
        time.sleep(SYNC_S)


def main() -> None:
    """Serve what the command line says."""
    counting.install()
    slowed = Slowed(float(sys.argv[1]))
    server = build_server(replace(fixed_ports(), decisions=slowed, intake=slowed), ServerOptions()).server
    print(bind(server, "127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main()
