"""One open-loop client process: `python -m benchmarks.open_loop TARGET` with the options below.

Calls leave at a fixed rate whether or not earlier ones were answered, over several connections, and a
latency counts from the moment a call was due, so that a stall is charged to every call that it delayed. A
share of the decisions gets a click a moment later. Prints `ready`, waits for a line, and prints JSON: HDR
histograms (microseconds), failures by status code, the slowest calls with when they were due, and what the
client itself cost: its CPU seconds and how late it sent. A client that sends late measures itself.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from hdrh.histogram import HdrHistogram

from benchmarks.setting import DECIDE, PLACEMENTS, RECORD_FEEDBACK, many_requests
from offer_optimizer.v1 import offer_service_pb2 as pb

LONGEST_US: Final = 60_000_000
DIGITS: Final = 3
SLOWEST_KEPT: Final = 50
_VISITORS: Final = 5000
_SOON_S: Final = 0.00015
"""Sleeping wakes up late by about so much; the rest of the wait is spun away, which costs a core."""


def histogram() -> HdrHistogram:
    """Return an empty histogram of microseconds up to a minute, three digits exact."""
    return HdrHistogram(1, LONGEST_US, DIGITS)


@dataclass
class Seen:
    """What happened, gathered from the threads that complete calls."""

    latency: HdrHistogram = field(default_factory=histogram)
    lateness: HdrHistogram = field(default_factory=histogram)
    feedback: HdrHistogram = field(default_factory=histogram)
    failures: Counter[str] = field(default_factory=Counter)
    slowest: list[tuple[int, float, int]] = field(default_factory=list)
    slowest_kept: int = SLOWEST_KEPT
    decided: deque[str] = field(default_factory=lambda: deque(maxlen=1000))
    finished: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def decision(self, due_ns: int, late_us: int, call: Any, *, keep_id: bool) -> None:  # noqa: ANN401
        """Note a decision that was answered, or failed."""
        took_us = (time.perf_counter_ns() - due_ns) // 1000
        with self.lock:
            self.finished += 1
            self.latency.record_value(min(max(took_us, 1), LONGEST_US))
            entry = (took_us, due_ns / 1e9, late_us)
            if len(self.slowest) < self.slowest_kept:
                heapq.heappush(self.slowest, entry)
            elif entry > self.slowest[0]:
                heapq.heapreplace(self.slowest, entry)
        code = call.code()
        if code is not grpc.StatusCode.OK:
            self.failures[code.name] += 1
        elif keep_id:
            self.decided.append(pb.DecideResponse.FromString(call.result()).decision_id)

    def item(self, due_ns: int, call: Any) -> None:  # noqa: ANN401
        """Note feedback that was answered, or failed."""
        took_us = (time.perf_counter_ns() - due_ns) // 1000
        with self.lock:
            self.finished += 1
            self.feedback.record_value(min(max(took_us, 1), LONGEST_US))
        if call.code() is not grpc.StatusCode.OK:
            self.failures[f"feedback {call.code().name}"] += 1


@dataclass(frozen=True)
class Load:
    """What to send: decisions a second, the share of them that is clicked on, and for how long."""

    rate: float
    seconds: float
    feedback_share: float
    deadline_s: float
    slowest_kept: int = SLOWEST_KEPT


def connect(target: str, count: int) -> list[grpc.Channel]:
    """Return connections that share nothing."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(target, options=options) for _ in range(count)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(timeout=30.0)
    return channels


def drive(channels: list[grpc.Channel], load: Load, requests: list[bytes]) -> tuple[Seen, int]:
    """Send on time until it is over, wait for the answers; return what was seen and how many were sent."""
    decides: list[Any] = [channel.unary_unary(DECIDE) for channel in channels]
    records: list[Any] = [channel.unary_unary(RECORD_FEEDBACK) for channel in channels]
    seen, sent = Seen(slowest_kept=load.slowest_kept), 0
    step_ns = 1e9 / load.rate
    every = round(1.0 / load.feedback_share) if load.feedback_share else 0
    start_ns = time.perf_counter_ns()
    for number in range(int(load.rate * load.seconds)):
        due_ns = start_ns + int(number * step_ns)
        _wait_until(due_ns)
        late_us = max((time.perf_counter_ns() - due_ns) // 1000, 1)
        seen.lateness.record_value(late_us)
        wants_id = bool(every) and number % every == 0
        request = requests[number % len(requests)]
        call = decides[number % len(decides)].future(request, timeout=load.deadline_s)
        call.add_done_callback(
            lambda done, due=due_ns, late=late_us, keep=wants_id: seen.decision(due, late, done, keep_id=keep)
        )
        sent += 1
        if wants_id and seen.decided:
            click, clicked_ns = _click(seen.decided.popleft(), number), time.perf_counter_ns()
            item = records[number % len(records)].future(click, timeout=load.deadline_s)
            item.add_done_callback(lambda done, due=clicked_ns: seen.item(due, done))
            sent += 1
    end = time.monotonic() + load.deadline_s + 1.0
    while seen.finished < sent and time.monotonic() < end:
        time.sleep(0.01)
    return seen, sent


def _wait_until(due_ns: int) -> None:
    left_s = (due_ns - time.perf_counter_ns()) / 1e9
    if left_s > _SOON_S:
        time.sleep(left_s - _SOON_S)
    while time.perf_counter_ns() < due_ns:
        time.sleep(0)


def _click(decision_id: str, number: int) -> bytes:
    item = pb.Feedback(feedback_id=f"click-{number}", decision_id=decision_id, kind="click")
    return pb.RecordFeedbackRequest(items=[item]).SerializeToString()


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_loop", description=__doc__)
    parser.add_argument("target", help="HOST:PORT, on this machine")
    parser.add_argument("--rate", type=float, default=500.0, help="decisions a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--channels", type=int, default=8, help="connections")
    parser.add_argument("--feedback-share", type=float, default=0.1, help="decisions that get a click")
    parser.add_argument("--deadline", type=float, default=5.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--placements", type=int, default=len(PLACEMENTS), help="so many take turns")
    parser.add_argument("--slowest", type=int, default=SLOWEST_KEPT, help="how many of the slowest to tell")
    parser.add_argument("--go", action="store_true", help="start at once instead of waiting for a line")
    return parser.parse_args()


def main() -> None:
    """Connect, wait for the word, drive, report."""
    chosen = _read_options()
    channels = connect(chosen.target, chosen.channels)
    requests = many_requests(_VISITORS, chosen.seed, chosen.placements)
    warm_up: list[Any] = [channel.unary_unary(DECIDE) for channel in channels]
    for call, request in itertools.product(warm_up, requests[:20]):
        call(request, timeout=chosen.deadline)
    print("ready", flush=True)
    if not chosen.go:
        sys.stdin.readline()
    cpu_s, began = time.process_time(), time.monotonic()
    load = Load(chosen.rate, chosen.seconds, chosen.feedback_share, chosen.deadline, chosen.slowest)
    seen, sent = drive(channels, load, requests)
    json.dump(
        {
            "sent_count": sent,
            "lost_count": sent - seen.finished,
            "failures": dict(seen.failures),
            "wall_s": time.monotonic() - began,
            "client_cpu_s": time.process_time() - cpu_s,
            "latency": seen.latency.encode().decode(),
            "lateness": seen.lateness.encode().decode(),
            "feedback": seen.feedback.encode().decode(),
            "slowest_us_at_s_late_us": sorted(seen.slowest, reverse=True),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
