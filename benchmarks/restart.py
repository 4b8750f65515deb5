"""How soon do deciders serve again after everything was killed, and how fast does the learner catch up?

A ledger is filled by batches. Every process is killed at once and the service started on the same data
directory: the time until it says that it serves. Then the learner is killed as often as it is started, while
deciders run at full rate, until its next start lies seconds ahead; load ends, and how fast decisions appear
in the ledger is compared with the rate at which they were made.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import statistics
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks import decide_floor, machine, question, setting, under_test
from benchmarks.batch_decide import batches
from benchmarks.under_test import Service, UnderTest

RESTARTS: Final = 5
BATCH: Final = 100
KILLS: Final = 6
"""The supervisor waits longer after each, at most 5 s."""
SETTLE_S: Final = 4.0
LOOK_S: Final = 0.02
PATIENCE_S: Final = 120.0


def server_of(service: Service) -> UnderTest:
    """Return the service's decider as what is measured."""
    return UnderTest("serve", service.target, service.deciders[0])


def fill(service: Service, seconds: float) -> None:
    """Decide in batches for so long."""
    requests = batches(setting.many_requests(2000, 8), BATCH)
    load = decide_floor.drive(
        server_of(service), seconds, 1, 4, method=setting.BATCH_DECIDE, requests=requests
    )
    if load.failure_count:
        raise SystemExit(f"{load.failure_count} batches failed")


def kill_all(service: Service) -> None:
    """Kill every process of a service at once, the supervisor first."""
    for pid in (service.supervisor, *service.deciders, service.learner):
        os.kill(pid, signal.SIGKILL)


def decisions(data: Path) -> int:
    """Return how many decisions the ledger has."""
    with closing(sqlite3.connect(f"file:{data / 'ledger.sqlite'}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM decision_position").fetchone()[0])


class KillLearner(threading.Thread):
    """Kills the learner as often as it is started."""

    def __init__(self, supervisor: int) -> None:
        super().__init__(daemon=True)
        self._supervisor = supervisor

    def run(self) -> None:
        """Kill it KILLS times."""
        killed: set[int] = set()
        while len(killed) < KILLS:
            for pid, command_line in machine.children(self._supervisor).items():
                if " learner " in command_line and pid not in killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            time.sleep(LOOK_S)


def catch_up(service: Service, seconds: float) -> tuple[float, float, int]:
    """Return the rate at which decisions were made, at which they were drained later, and how many."""
    killer = KillLearner(service.supervisor)
    killer.start()
    load = decide_floor.drive(server_of(service), seconds, 2, 4, requests=setting.many_requests(1000, 9))
    killer.join()
    first = decisions(service.data)
    points = [(time.monotonic(), first)]
    still_since_s = time.monotonic()
    give_up_s = still_since_s + PATIENCE_S
    while time.monotonic() < give_up_s:
        count = decisions(service.data)
        if count != points[-1][1]:
            points.append((time.monotonic(), count))
            still_since_s = time.monotonic()
        elif len(points) > 1 and time.monotonic() - still_since_s > 1.0:
            break
        time.sleep(LOOK_S)
    drained = points[-1][1] - first
    # The first point is the last look before anything was drained.
    took_s = points[-1][0] - (points[1][0] - LOOK_S if len(points) > 1 else points[0][0])
    return load.calls_per_s, drained / max(took_s, LOOK_S), drained


def main() -> None:
    """Fill, kill, start again, catch up, answer."""
    asked = question.ask(question.parser("restart", __doc__))
    seconds, load_s = (3.0, 8.0) if asked.is_short else (60.0, 12.0)
    ready_s = []
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        data = Path(folder, "data")
        with under_test.service(data=data) as service:
            fill(service, seconds)
            time.sleep(SETTLE_S)
            kill_all(service)
        count = decisions(data)
        for _ in range(1 if asked.is_short else RESTARTS):
            with under_test.service(data=data) as service:
                ready_s.append(service.ready_s)
                kill_all(service)
        with under_test.service(data=data) as service:
            live, drained_rate, drained = catch_up(service, load_s)
    print(f"{count:,} decisions in the ledger; {drained:,} waited, made at {live:,.0f} a second")
    figures = [
        question.Figure("killed to serving again, s", statistics.median(ready_s), 2.0, at_least=False),
        question.Figure("catch-up: drained a second / made a second", drained_rate / live, 3.0),
    ]
    details = {"decisions": count, "ready_s": ready_s, "live": live, "drained": drained}
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("restart", text, figures, details))


if __name__ == "__main__":
    main()
