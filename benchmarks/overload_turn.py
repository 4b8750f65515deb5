"""One turn of `benchmarks.overload`: a rate for some seconds, and what server and probe say of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks.counting import BUCKETS_A_MS, READ
from benchmarks.native_load import Load, Sent
from benchmarks.probe import EVERY_S, Probe, Seen


@dataclass(frozen=True, slots=True)
class Kind:
    """What became of one kind of call, as the server counted. Milliseconds are buckets of `counting`."""

    codes: dict[str, int]
    in_time_count: int
    late_count: int
    late_executed_count: int
    answered: dict[str, int]
    refused: dict[str, int]

    @property
    def reached_count(self) -> int:
        """Calls that a handler or the door answered."""
        return sum(self.codes.values())


@dataclass(frozen=True, slots=True)
class Turn:
    """One rate. What was sent holds the probe's calls."""

    rate: float
    sent: Sent
    decisions: Kind
    feedback: Kind
    seen: Seen
    memory_mib: float

    @property
    def goodput(self) -> float:
        """Decisions a second that were answered in time."""
        return self.decisions.in_time_count / self.sent.seconds

    @property
    def in_time_share(self) -> float:
        """Of the decisions sent, those answered in time."""
        return min(self.decisions.in_time_count / max(self.sent.decision_count, 1), 1.0)

    @property
    def late_executed_count(self) -> int:
        """Decisions and feedback that were late on reaching their handlers, and done all the same."""
        return self.decisions.late_executed_count + self.feedback.late_executed_count

    @property
    def refused_share(self) -> float:
        """Of the decisions sent, those not answered."""
        return max(1.0 - self.decisions.codes.get("OK", 0) / max(self.sent.decision_count, 1), 0.0)

    @property
    def feedback_refused_share(self) -> float:
        """Of the feedback sent, what was not answered."""
        return max(1.0 - self.feedback.codes.get("OK", 0) / max(self.sent.feedback_count, 1), 0.0)

    @property
    def feedback_first(self) -> float:
        """By how much more of feedback than of decisions was refused, as a share."""
        return self.feedback_refused_share - self.refused_share

    @property
    def expired_share(self) -> float:
        """Of the decisions made, those whose deadline passed while they were made."""
        made = self.decisions.codes.get("OK", 0)
        return 1.0 - self.decisions.in_time_count / made if made else 0.0

    def refused_ms(self, share: float) -> float:
        """Return a percentile of milliseconds from arrival to refusal, decisions and feedback."""
        return percentile(Counter(self.decisions.refused) + Counter(self.feedback.refused), share)

    def answered_ms(self, share: float) -> float:
        """Return a percentile of milliseconds from arrival to answer of decisions."""
        return percentile(self.decisions.answered, share)

    def details(self) -> dict[str, Any]:
        """Return it for the file that is kept."""
        return {
            "rate": self.rate,
            "seconds": self.sent.seconds,
            "goodput": self.goodput,
            "sent": {"decisions": self.sent.decision_count, "feedback": self.sent.feedback_count},
            "codes": {"decisions": self.decisions.codes, "feedback": self.feedback.codes},
            "expired_share": self.expired_share,
            "late_on_arrival": self.decisions.late_count + self.feedback.late_count,
            "refused_share": {"decisions": self.refused_share, "feedback": self.feedback_refused_share},
            "answered_ms": {"p50": self.answered_ms(0.5), "p99": self.answered_ms(0.99)},
            "refused_ms": {"p50": self.refused_ms(0.5), "p99": self.refused_ms(0.99)},
            "probe": {
                "codes": dict(self.seen.codes),
                "answered_ms_p50": middle(self.seen.answered_ms),
                "refused_ms_p50": middle(self.seen.refused_ms),
            },
            "memory_mib": self.memory_mib,
        }


def percentile(buckets: dict[str, int], share: float) -> float:
    """Return a percentile in milliseconds, the upper end of its bucket; 0 of nothing."""
    left = share * sum(buckets.values())
    for bucket, count in sorted((int(name), count) for name, count in buckets.items()):
        left -= count
        if left <= 0.0:
            return (bucket + 1) / BUCKETS_A_MS
    return 0.0


def middle(values: list[float]) -> float:
    """Return the median, 0 of nothing."""
    return sorted(values)[len(values) // 2] if values else 0.0


def read_counts(target: str) -> dict[str, Any]:
    """Return what the server counted since it was asked before."""
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call: Any = channel.unary_unary(READ)
        found: dict[str, Any] = json.loads(call(b"", timeout=30.0, wait_for_ready=True))
    return found


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def take_turn(load: Load, target: str, pid: int, rate: float, seconds: float) -> Turn:
    """Drive a server at a rate, with the probe beside it."""
    probe = Probe(target)

    def begin() -> None:
        read_counts(target)
        probe.start()

    try:
        sent = load.drive(rate - 1.0 / EVERY_S, seconds, begin)
    finally:
        probe.stop()
    decisions, feedback = (Kind(**one) for one in read_counts(target).values())
    all_sent = Sent(sent.decision_count + probe.seen.codes.total(), sent.feedback_count, sent.seconds)
    return Turn(rate, all_sent, decisions, feedback, probe.seen, memory_mib(pid))


HEAD: Final = (
    f"{'':>12} {'sent/s':>7} {'goodput':>8} {'ratio':>6} {'expired':>8} {'late':>5} {'done':>5} "
    f"{'refused':>8} {'of feedb.':>9} {'ms p50':>7} {'p99':>6} {'ref. p50':>9} {'p99':>6} "
    f"{'probe':>6} {'ref.':>6} {'MiB':>5}"
)


def row(name: str, turn: Turn, full: float) -> str:
    """Return a turn as a line of the table; `full` is capacity's goodput."""
    late = turn.decisions.late_count + turn.feedback.late_count
    return (
        f"{name:>12} {turn.sent.decision_count / turn.sent.seconds:7.0f} {turn.goodput:8.0f} "
        f"{turn.goodput / full:6.2f} {turn.expired_share:8.3f} {late:5} {turn.late_executed_count:5} "
        f"{turn.refused_share:8.2f} {turn.feedback_refused_share:9.2f} "
        f"{turn.answered_ms(0.5):7.1f} {turn.answered_ms(0.99):6.1f} "
        f"{turn.refused_ms(0.5):9.1f} {turn.refused_ms(0.99):6.1f} "
        f"{middle(turn.seen.answered_ms):6.1f} {middle(turn.seen.refused_ms):6.1f} {turn.memory_mib:5.0f}"
    )
