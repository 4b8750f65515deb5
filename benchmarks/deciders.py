"""What does a decision cost with two deciders on one port, against one, and how do connections spread?

CPU time of the deciding processes for a decision, 8 connections a decider, in turns: with fewer, each call
wakes a process of its own. Where both and callers share two cores some calls are refused. Then 4, 16 and 64
connections to the two: the share of decisions of the busier one, by CPU time. The kernel gives a connection
to a decider by a hash, so few spread unevenly until they come of age and are made again; one port for each
would leave that choice to callers. With one core for both this says nothing of throughput.
"""

from __future__ import annotations

import statistics
from typing import Final

from benchmarks import decide_floor, machine, question, under_test
from benchmarks.under_test import Service, UnderTest

CLIENTS: Final = 2
EACH: Final = 8
"""Connections a decider."""
MOST_REFUSED: Final = 0.2
CHANNELS: Final = (4, 16, 64)
TOLERANCE: Final = 0.2
"""CPU time of the same code in the same minute; runs differed by up to a seventh."""


def cost(name: str, service: Service, seconds: float) -> float:
    """Return CPU microseconds of a decision over 8 connections a decider."""
    server = UnderTest(name, service.target, service.deciders[0], service.deciders[1:])
    channels = EACH * len(service.deciders)
    found = decide_floor.drive(server, seconds, CLIENTS, channels // CLIENTS)
    refused = found.failure_count / (found.calls_per_s * seconds + found.failure_count)
    if refused > MOST_REFUSED or found.cpu_us_per_call is None:
        raise SystemExit(f"{name}: {found.failure_count} calls failed")
    return found.cpu_us_per_call


def busier_share(service: Service, seconds: float, channels: int) -> float:
    """Return the share of CPU time that the busier decider spends, with so many connections."""
    before = [machine.cpu_seconds(pid) for pid in service.deciders]
    server = UnderTest("two", service.target, service.deciders[0], service.deciders[1:])
    decide_floor.drive(server, seconds, CLIENTS, channels // CLIENTS)
    spent = [machine.cpu_seconds(pid) - was for pid, was in zip(service.deciders, before, strict=True)]
    return max(spent) / sum(spent)


def main() -> None:
    """Measure in turns and answer."""
    asked = question.ask(question.parser("deciders", __doc__))
    seconds, turns = (1.0, 2) if asked.is_short else (5.0, 5)
    spent: dict[str, list[float]] = {"one": [], "two": []}
    with under_test.service() as one, under_test.service(workers=2) as two:
        cost("one", one, 1.0)  # what is done once, behind a start, belongs to nobody's turn
        cost("two", two, 1.0)
        for _ in range(turns):
            spent["one"].append(cost("one", one, seconds))
            spent["two"].append(cost("two", two, seconds))
        counts = CHANNELS[1:2] if asked.is_short else CHANNELS
        shares = {count: busier_share(two, seconds, count) for count in counts}
    each_us = {name: statistics.median(values) for name, values in spent.items()}
    print(f"CPU us a decision: {each_us['one']:.0f} with one decider, {each_us['two']:.0f} with two")
    figures = [
        question.Figure(
            "CPU of a decision: two deciders / one",
            each_us["two"] / each_us["one"],
            1.1,
            at_least=False,
            tolerance=TOLERANCE,
        ),
        *(
            question.Figure(f"share of the busier decider, {count} connections", share, at_least=False)
            for count, share in shares.items()
        ),
    ]
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("deciders", text, figures, {"cpu_us": spent}))


if __name__ == "__main__":
    main()
