"""What is still answered in time at 2, 5 and 10 times what a decider can do, open loop, deadlines of 100 ms?

The decider is slowed to 300 decisions a second (`slowed_server`), behind the real edge. Calls leave on time
whether or not others were answered, one in ten is feedback. Goodput counts decisions answered before their
deadline; it is compared with the goodput at nine tenths of capacity, in the same run. `late work` is what the
server decided and nobody waited for. Behind each overload comes a pause of two seconds, then ordinary load.
On a machine that is busy with other things the client's own lateness decides: it is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from benchmarks import machine, under_test
from benchmarks.open_loop import connect
from benchmarks.setting import DECIDE, RECORD_FEEDBACK, many_requests
from offer_optimizer.v1 import offer_service_pb2 as pb

CAPACITY: Final = 300.0
TIMES: Final = (2.0, 5.0, 10.0)
DEADLINE_S: Final = 0.1
PAUSE_S: Final = 2.0
GOODPUT_LEAST: Final = 0.9
REFUSED_MS_MOST: Final = 10.0
GROWTH_MIB_MOST: Final = 32.0
FEEDBACK: Final = pb.RecordFeedbackRequest(
    items=[pb.Feedback(feedback_id="f", decision_id="00000000-0000-7000-8000-000000000000", kind="click")]
).SerializeToString()
_REFUSED: Final = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


@dataclass
class Seen:
    """What came back, gathered from the threads that complete calls."""

    codes: Counter[str] = field(default_factory=Counter)
    feedback_codes: Counter[str] = field(default_factory=Counter)
    answered_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    finished: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, call: Any, start_s: float, *, is_feedback: bool) -> None:  # noqa: ANN401
        """Note a call that ended."""
        took_ms = (time.perf_counter() - start_s) * 1e3
        code = call.code().name
        with self.lock:
            self.finished += 1
            (self.feedback_codes if is_feedback else self.codes)[code] += 1
            if code in _REFUSED:
                self.refused_ms.append(took_ms)
            elif code == "OK" and not is_feedback:
                self.answered_ms.append(took_ms)


@dataclass(frozen=True, slots=True)
class Turn:
    """One rate: figures of the client, and what the server says it did meanwhile."""

    rate: float
    seconds: float
    seen: Seen
    decided_count: int
    memory_mib: float

    @property
    def goodput(self) -> float:
        """Decisions a second that were answered in time."""
        return self.seen.codes["OK"] / self.seconds

    @property
    def late_share(self) -> float:
        """Of the decisions made, those that nobody waited for any more."""
        return 1.0 - self.seen.codes["OK"] / max(self.decided_count, 1)


def percentile(values: list[float], share: float) -> float:
    """Return a percentile, 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


@contextmanager
def slowed_server(rate: float) -> Iterator[subprocess.Popen[str]]:
    """Run the server."""
    command = [sys.executable, "-m", "benchmarks.slowed_server", str(rate)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=under_test.environment(),
        cwd=under_test.ROOT,
    ) as process:
        machine.pin(process.pid, under_test.cores()[0])
        try:
            yield process
        finally:
            process.communicate()


def ask(process: subprocess.Popen[str]) -> dict[str, float]:
    """Return what the server did so far."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    process.stdin.write("\n")
    process.stdin.flush()
    found: dict[str, float] = json.loads(process.stdout.readline())
    return found


def drive(process: subprocess.Popen[str], channels: list[grpc.Channel], rate: float, seconds: float) -> Turn:
    """Send on time until it is over, and wait for the answers."""
    decides: list[Any] = [channel.unary_unary(DECIDE) for channel in channels]
    records: list[Any] = [channel.unary_unary(RECORD_FEEDBACK) for channel in channels]
    requests = many_requests(200, 1)
    before, seen, count = ask(process), Seen(), int(rate * seconds)
    begin_s = time.perf_counter()
    for number in range(count):
        due_s = begin_s + number / rate
        while (left_s := due_s - time.perf_counter()) > 0:
            time.sleep(max(left_s - 0.0003, 0.0))
        start_s = time.perf_counter()
        seen.late_ms.append((start_s - due_s) * 1e3)
        is_feedback = number % 10 == 9
        stub = (records if is_feedback else decides)[number % len(channels)]
        call = stub.future(FEEDBACK if is_feedback else requests[number % 200], timeout=DEADLINE_S)
        call.add_done_callback(
            lambda done, at=start_s, what=is_feedback: seen.note(done, at, is_feedback=what)
        )
    stop_s = time.monotonic() + DEADLINE_S + 2.0
    while seen.finished < count and time.monotonic() < stop_s:
        time.sleep(0.01)
    after = ask(process)
    decided = int(after["decided_count"] - before["decided_count"])
    return Turn(rate, seconds, seen, decided, after["memory_mib"])


def row(name: str, turn: Turn, full: float) -> str:
    """Return a turn as a line of the table."""
    seen = turn.seen
    refused = sum(seen.codes[code] for code in _REFUSED) / max(seen.codes.total(), 1)
    feedback = sum(seen.feedback_codes[code] for code in _REFUSED) / max(seen.feedback_codes.total(), 1)
    return (
        f"{name:>10} {turn.rate:7.0f} {turn.goodput:8.0f} {turn.goodput / full:6.2f} "
        f"{turn.late_share:6.2f} "
        f"{refused:8.2f} {feedback:9.2f} {percentile(seen.answered_ms, 0.5):8.1f} "
        f"{percentile(seen.answered_ms, 0.99):8.1f} {percentile(seen.refused_ms, 0.5):8.1f} "
        f"{percentile(seen.refused_ms, 0.99):8.1f} {turn.memory_mib:6.0f} "
        f"{percentile(seen.late_ms, 0.99):8.1f}"
    )


HEAD: Final = (
    f"{'':>10} {'sent/s':>7} {'goodput':>8} {'ratio':>6} {'late':>6} {'refused':>8} {'of feedb.':>9} "
    f"{'ms p50':>8} {'p99':>8} {'ref. p50':>8} {'p99':>8} {'MiB':>6} {'client':>8}"
)


def main() -> None:
    """Run all rates and print the table; with `--check`, end with 1 where a figure is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--short", action="store_true", help="two seconds a rate")
    parser.add_argument("--channels", type=int, default=16, help="connections")
    parser.add_argument("--capacity", type=float, default=CAPACITY, help="decisions a second")
    parser.add_argument("--check", action="store_true", help="end with 1 where a figure is not reached")
    chosen = parser.parse_args()
    seconds = 2.0 if chosen.short else 10.0
    missed: list[str] = []
    with slowed_server(chosen.capacity) as process:
        if process.stdout is None:
            raise AssertionError("it is a pipe")
        channels = connect(f"127.0.0.1:{int(process.stdout.readline())}", chosen.channels)
        drive(process, channels, 0.5 * chosen.capacity, 1.0)
        usual = drive(process, channels, chosen.capacity, seconds)
        print(HEAD)
        print(row("capacity", usual, usual.goodput))
        for times in TIMES:
            over = drive(process, channels, times * chosen.capacity, seconds)
            print(row(f"{times:g} x", over, usual.goodput))
            time.sleep(PAUSE_S)
            again = drive(process, channels, 0.5 * chosen.capacity, 1.0)
            print(row("afterwards", again, 0.45 * chosen.capacity))
            missed += judge(times, over, again, usual)
    for line in missed:
        print(f"not reached: {line}")
    if chosen.check and missed:
        raise SystemExit(1)


def judge(times: float, over: Turn, again: Turn, usual: Turn) -> list[str]:
    """Return what an overload, and the time behind it, did not reach."""
    growth_mib = over.memory_mib - usual.memory_mib
    refused_ms = percentile(over.seen.refused_ms, 0.99)
    reached = {
        f"goodput {over.goodput / usual.goodput:.2f} of capacity's": over.goodput
        >= GOODPUT_LEAST * usual.goodput,
        f"p99 of refusals {refused_ms:.1f} ms": refused_ms <= REFUSED_MS_MOST,
        f"memory grew {growth_mib:.0f} MiB": growth_mib <= GROWTH_MIB_MOST,
        f"{again.seen.codes} two seconds afterwards": set(again.seen.codes) == {"OK"},
    }
    return [f"at {times:g} times capacity: {what}" for what, is_reached in reached.items() if not is_reached]


if __name__ == "__main__":
    main()
