"""What makes a page wait for more than 20 ms: swaps, drains, collections, checkpoints, rolls, or the machine?

Ten placements learn, one decision in ten is clicked on, windows of a second close, at a fixed arrival rate,
with the default policy and then with vw; `--minutes 10` is the run of docs/design.md, of each, `--short`
takes 20 s of each. A recorder (benchmarks/stalls) in deciders
and learner writes down what took long. Each decision over 20 ms is put down to what ran while it waited.
What the decider could not run for, because others had the core, is the machine's.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import half_capacity, question, setting, under_test, verdict
from benchmarks.under_test import UnderTest

SLOW_MS: Final = 20.0
SHORT_S: Final = 20.0
RATE: Final = 500.0
KEPT: Final = 20_000
LONGEST_S: Final = 5.0
"""No decision and no piece of work takes longer: the deadline of the client."""
HOLDS: Final = ("swap", "catalog", "cache", "roll", "collection", "pmf")
"""Work of the decider that holds the interpreter lock for as long as it uses the processor."""
STARVED: Final = ("late", "learner: late")
"""The decider's core, or the one that learner and client share, had other work."""
MACHINE, CLIENT, APPEND, UNKNOWN = "machine", "client", "append", "unknown"
"""A late core, a late client; an append that the disk held up, as the learner's syncs may."""


@dataclass(frozen=True, slots=True)
class Slow:
    """A decision that took long: how long, when it was due, and how late the client sent it."""

    took_ms: float
    due_s: float
    late_ms: float


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of work that took long, in seconds on the clock of perf_counter and milliseconds."""

    what: str
    at_s: float
    took_ms: float
    cpu_ms: float

    def overlap_ms(self, begin_s: float, end_s: float) -> float:
        """Return for how much of a span it ran."""
        return max(min(end_s, self.at_s + self.took_ms / 1e3) - max(begin_s, self.at_s), 0.0) * 1e3


def read_events(folder: Path) -> list[Event]:
    """Return what the recorders wrote, in order of time; what the learner did is named so.

    A line that a killed process left unfinished is passed over.
    """
    found: list[Event] = []
    for file in sorted(folder.glob("stalls.*")):
        lines = file.read_text(encoding="utf-8").splitlines()
        events = [Event(**json.loads(line)) for line in lines if line.endswith("}")]
        if ".learner." in file.name:
            events = [replace(event, what=f"learner: {event.what}") for event in events]
        found += events
    return sorted(found, key=lambda event: event.at_s)


def cause_of(slow: Slow, events: Iterable[Event]) -> str:
    """Return what a slow decision is put down to.

    The client, where it sent late for half of the time; else to what we did, where that held the decider up
    for longer than it had no core, and without it the decision would not have been slow.
    """
    if slow.late_ms >= slow.took_ms / 2.0:
        return CLIENT
    ours: dict[str, float] = defaultdict(float)
    waited_ms = machine_ms = 0.0
    end_s = slow.due_s + slow.took_ms / 1e3
    for event in events:
        overlap_ms = event.overlap_ms(slow.due_s, end_s)
        name = event.what.split()[0]
        if event.what in STARVED:
            machine_ms += min(event.cpu_ms, overlap_ms)
        elif name in HOLDS:
            ours[name] += min(event.cpu_ms, overlap_ms)
        elif name == APPEND:
            waited_ms = max(waited_ms, overlap_ms)
    held_ms = sum(ours.values())
    # An append waits for the interpreter lock too: the disk is blamed for what nothing else explains.
    if waited_ms > 2.0 * (held_ms + machine_ms) and slow.took_ms - waited_ms <= SLOW_MS:
        return APPEND
    if held_ms >= machine_ms and slow.took_ms - held_ms <= SLOW_MS:
        return max(ours, key=lambda name: ours[name])
    return MACHINE if machine_ms else UNKNOWN


def causes(slow: Iterable[Slow], events: Sequence[Event]) -> Counter[str]:
    """Return how many slow decisions are put down to what. Events are in order of time."""
    found: Counter[str] = Counter()
    first = 0
    for one in sorted(slow, key=lambda one: one.due_s):
        while first < len(events) and events[first].at_s < one.due_s - LONGEST_S:
            first += 1
        near = (event for event in events[first:] if event.at_s < one.due_s + LONGEST_S)
        found[cause_of(one, near)] += 1
    return found


def longest(events: Iterable[Event]) -> dict[str, dict[str, float]]:
    """Return by kind of work: how often it took long, and its longest, in CPU time and on the wall."""
    found: dict[str, dict[str, float]] = {}
    for event in events:
        own = found.setdefault(event.what, {"count": 0, "longest_cpu_ms": 0.0, "longest_ms": 0.0})
        own["count"] += 1
        own["longest_cpu_ms"] = max(own["longest_cpu_ms"], event.cpu_ms)
        own["longest_ms"] = max(own["longest_ms"], event.took_ms)
    return found


def run(policy: str, rate: float, seconds: float) -> tuple[half_capacity.Turn, list[Event]]:
    """Load the service with recorders in it."""
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        recorder = Path(__file__).with_name("stalls")
        path = under_test.environment()["PYTHONPATH"]
        extra = {
            "PYTHONPATH": f"{path}:{recorder}",
            "OFFER_OPTIMIZER_STALLS": str(Path(folder, "stalls")),
        }
        with under_test.service(setting.catalog_text(policy), extra=extra) as service:
            server = UnderTest("serve", service.target, service.deciders[0])
            print(f"{policy}: {rate:g} decisions a second for {seconds:g} s", flush=True)
            began_s = time.perf_counter()
            turn = half_capacity.load(server, rate, seconds, 8, "--slowest", str(KEPT))
        # Loading the service is not what is asked about.
        return turn, [event for event in read_events(Path(folder)) if event.at_s >= began_s]


def report(
    policy: str, turn: half_capacity.Turn, events: Sequence[Event]
) -> tuple[list[question.Figure], Counter[str]]:
    """Print what was seen and return the figures."""
    slow = [Slow(us / 1e3, due_s, late_us / 1e3) for us, due_s, late_us in turn.slowest if us / 1e3 > SLOW_MS]
    found = causes(slow, events)
    print("decisions: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in turn.latency_ms.items()))
    half_capacity.warn([turn])
    print(f"{len(slow)} over {SLOW_MS:g} ms, by cause: {dict(found) or 'none'}")
    for what, own in sorted(longest(events).items()):
        print(
            f"  {what:22} {own['count']:6.0f} times over 2 ms, longest {own['longest_cpu_ms']:6.1f} ms of "
            f"CPU, {own['longest_ms']:7.1f} ms on the wall"
        )
    held = [event.cpu_ms for event in events if event.what.split()[0] in HOLDS]
    ours = sum(found[cause] for cause in (*HOLDS, APPEND))
    figures = [
        question.Figure(f"{policy}: slow decisions of our own doing", float(ours), 0.0, at_least=False),
        question.Figure(
            f"{policy}: longest hold of a decider's interpreter lock, ms of CPU",
            max(held, default=0.0),
            SLOW_MS,
            at_least=False,
        ),
        question.Figure(
            f"{policy}: slow decisions by machine, client or unknown",
            float(len(slow) - ours),
            at_least=False,
        ),
    ]
    return figures, found


def main() -> None:
    """Run, explain, keep."""
    parser = question.parser("tail", __doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each policy")
    parser.add_argument("--rate", type=float, default=RATE, help=f"decisions a second ({RATE:g})")
    verdict.add_policies(parser)
    asked = question.ask(parser)
    seconds = SHORT_S if asked.is_short else asked.options.minutes * 60.0
    figures: list[question.Figure] = []
    details: dict[str, object] = {"rate": asked.options.rate, "seconds": seconds}
    for policy in asked.options.policies:
        turn, events = run(policy, asked.options.rate, seconds)
        own, found = report(policy, turn, events)
        figures += own
        details[policy] = {
            "latency_ms": turn.latency_ms,
            "client_core_share": turn.client_core_share,
            "causes": dict(found),
            "work": longest(events),
            "failure_count": turn.failure_count,
        }
    text = (__doc__ or "").splitlines()[0]
    verdict.conclude(asked, question.Answer("tail", text, figures, details))


if __name__ == "__main__":
    main()
