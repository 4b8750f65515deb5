"""Open-loop load from a native generator, h2load; where it is not installed a Python process drives instead.

h2load sends on time whatever comes back, and costs a tenth of a millisecond a call. It reads no gRPC status
and keeps no deadline itself: the server counts (`counting`). Connections start a moment apart, since each of
them sends at even intervals: started together they would send together. What always holds: a connection has
as many streams as the server grants, so nothing waits in the client that the server does not know of while
calls end within their deadline. The Python generator's deadlines begin before its calls leave: there times
hold its own lateness too, and at thousands of calls a second it measures itself.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import decide_floor, machine, under_test
from benchmarks.counting import DEADLINE_S
from benchmarks.setting import DECIDE, RECORD_FEEDBACK, request_bytes
from offer_optimizer.api.server import ServerOptions
from offer_optimizer.v1 import offer_service_pb2 as pb

CONNECTIONS: Final = 32
FEEDBACK_SHARE: Final = 0.1
FEEDBACK_CONNECTIONS: Final = 8
_STREAMS: Final = ServerOptions().streams_per_connection
_FEEDBACK: Final = pb.RecordFeedbackRequest(
    items=[pb.Feedback(feedback_id="f", decision_id="00000000-0000-7000-8000-000000000000", kind="click")]
).SerializeToString()
_HEADERS: Final = (
    "content-type: application/grpc",
    "te: trailers",
    f"grpc-timeout: {round(DEADLINE_S * 1e3)}m",
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What left, and for how long: seconds until the last call had ended."""

    decision_count: int
    feedback_count: int
    seconds: float


class Load:
    """Decisions at a rate, and a tenth as much feedback beside them. `folder` is for its files."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target = target
        self._program = shutil.which("h2load")
        self._decide, self._feedback = folder / "decide.body", folder / "feedback.body"
        for file, message in ((self._decide, request_bytes()), (self._feedback, _FEEDBACK)):
            file.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)

    @property
    def is_native(self) -> bool:
        """Whether h2load is there."""
        return self._program is not None

    def capacity(self, seconds: float) -> float:
        """Return the decisions a second of a closed loop of eight callers."""
        if self._program is None:
            return _python_capacity(self._target, seconds)
        options = ["-c", "8", "-m", "1", "-D", f"{max(round(seconds), 1)}"]
        process = self._start(self._decide, DECIDE, options)
        found = re.search(r"finished in .*?, ([\d.]+) req/s", process.communicate()[0])
        if found is None:
            raise SystemExit("h2load did not say how many calls a second it made")
        return float(found[1])

    def drive(self, rate: float, seconds: float, begin: Callable[[], object]) -> Sent:
        """Send on time until it is over, and wait for the answers. Calls `begin` just before it does."""
        if self._program is None:
            return _python_drive(self._target, rate, seconds, begin)
        begin()
        plans = (
            (self._decide, DECIDE, rate, CONNECTIONS),
            (self._feedback, RECORD_FEEDBACK, rate * FEEDBACK_SHARE, FEEDBACK_CONNECTIONS),
        )
        began_s = time.perf_counter()
        counts = [
            connections * max(round(each * seconds / connections), 1) for *_, each, connections in plans
        ]
        running = [
            self._start(body, path, _open_loop(each, connections, count))
            for (body, path, each, connections), count in zip(plans, counts, strict=True)
        ]
        running[0].communicate()
        took_s = time.perf_counter() - began_s
        running[1].communicate()
        return Sent(counts[0], counts[1], took_s)

    def _start(self, body: Path, path: str, options: list[str]) -> subprocess.Popen[str]:
        headers = [part for header in _HEADERS for part in ("-H", header)]
        command = [self._program or "", *options, "-d", str(body), *headers, f"http://{self._target}{path}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        machine.pin(process.pid, under_test.cores()[1])
        return process


def _open_loop(rate: float, connections: int, count: int) -> list[str]:
    apart_ms = max(round(1e3 / rate), 1)
    begun = ["-c", str(connections), "-r", "1", f"--rate-period={apart_ms}ms"]
    return [*begun, "-m", str(_STREAMS), "-n", str(count), f"--rps={rate / connections:.4f}"]


def _python_capacity(target: str, seconds: float) -> float:
    return decide_floor.drive(
        under_test.UnderTest("", target, None), seconds, clients=2, threads=4
    ).calls_per_s


def _python_drive(target: str, rate: float, seconds: float, begin: Callable[[], object]) -> Sent:
    options = ["--rate", str(rate), "--seconds", str(seconds), "--feedback-share", str(FEEDBACK_SHARE)]
    options += ["--channels", "16", "--deadline", str(DEADLINE_S)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.open_loop", target, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=under_test.environment(),
        cwd=under_test.ROOT,
    ) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise SystemExit(f"the generator could not reach {target}")
        begin()
        report = json.loads(process.communicate("go\n")[0])
    decision_count = int(rate * seconds)
    return Sent(decision_count, int(report["sent_count"]) - decision_count, float(report["wall_s"]))
