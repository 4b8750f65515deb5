"""What does a decision cost with two deciders on one port, against one, and how do connections spread?

CPU time of the deciding processes for a decision, the least of the turns, 8 connections a decider: with
fewer, each call wakes a process of its own. Each decider has a core of its own, as far as there are cores,
and shares it with a client and the learner; where callers are many, some calls are refused. An empty
handler and two of them on one port take turns beside them: what those cost more together is not our doing.
Then 4, 16 and 64 connections to the two: the share of decisions of the busier one, by CPU time. The kernel
gives a connection to a decider by a hash, so few spread unevenly until they come of age and are made again;
one port for each would leave that choice to callers.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from benchmarks import decide_floor, machine, question, under_test
from benchmarks.under_test import Service, UnderTest

CLIENTS: Final = 2
EACH: Final = 8
"""Connections a decider."""
MOST_REFUSED: Final = 0.2
CHANNELS: Final = (4, 16, 64)
TOLERANCE: Final = 0.3
"""Five short runs on a quiet machine came to between 1.05 and 1.32, the worst 9 % above their median."""


def cost(server: UnderTest, seconds: float) -> float:
    """Return CPU microseconds of a call over 8 connections a process."""
    channels = EACH * (1 + len(server.others))
    found = decide_floor.drive(server, seconds, CLIENTS, channels // CLIENTS, cores=machine.usable())
    refused = found.failure_count / (found.calls_per_s * seconds + found.failure_count)
    if refused > MOST_REFUSED or found.cpu_us_per_call is None:
        raise SystemExit(f"{server.name}: {found.failure_count} calls failed")
    return found.cpu_us_per_call


def busier_share(service: Service, seconds: float, channels: int) -> float:
    """Return the share of CPU time that the busier decider spends, with so many connections."""
    before = [machine.cpu_seconds(pid) for pid in service.deciders]
    server = decided_by("two", service)
    decide_floor.drive(server, seconds, CLIENTS, channels // CLIENTS, cores=machine.usable())
    spent = [machine.cpu_seconds(pid) - was for pid, was in zip(service.deciders, before, strict=True)]
    return max(spent) / sum(spent)


def decided_by(name: str, service: Service) -> UnderTest:
    """Return all deciders of a service."""
    return UnderTest(name, service.target, service.deciders[0], service.deciders[1:])


def give_cores(server: UnderTest) -> None:
    """Give each process of a server a core of its own, as far as there are cores."""
    cores = machine.usable()
    for index, pid in enumerate((server.pid, *server.others)):
        if pid is not None:
            machine.pin(pid, {cores[index % len(cores)]})


def floors(stack: ExitStack, reply: bytes) -> list[UnderTest]:
    """Start an empty handler, and two on one port."""
    one, first = (stack.enter_context(under_test.ours("floor", reply.hex())) for _ in range(2))
    port = first.target.rpartition(":")[2]
    second = stack.enter_context(under_test.ours("floor", reply.hex(), port))
    if first.pid is None or second.pid is None:
        raise AssertionError("both are ours")
    return [
        UnderTest("one floor", one.target, one.pid),
        UnderTest("two floors", first.target, first.pid, (second.pid,)),
    ]


def main() -> None:
    """Measure in turns and answer."""
    asked = question.ask(question.parser("deciders", __doc__))
    seconds, turns = (0.5, 2) if asked.is_short else (5.0, 5)
    with ExitStack() as stack:
        two = stack.enter_context(under_test.service(workers=2, is_pinned=False))
        servers = [
            decided_by("one", stack.enter_context(under_test.service(is_pinned=False))),
            decided_by("two", two),
        ]
        servers += floors(stack, under_test.one_reply(servers[0].target))
        for server in servers:
            give_cores(server)
        spent: dict[str, list[float]] = {server.name: [] for server in servers}
        for server in servers[:2]:
            cost(server, 0.5)  # what is done once, behind a start, belongs to nobody's turn
        for _ in range(turns):
            for server in servers:
                spent[server.name].append(cost(server, seconds))
        counts = CHANNELS[1:2] if asked.is_short else CHANNELS
        shares = {count: busier_share(two, seconds, count) for count in counts}
    each_us = {name: min(values) for name, values in spent.items()}
    print("CPU us a call: " + ", ".join(f"{name} {us:.0f}" for name, us in each_us.items()))
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("deciders", text, figures(each_us, shares), {"cpu_us": spent}))


def figures(each_us: dict[str, float], shares: dict[int, float]) -> list[question.Figure]:
    """Return the ratio that is asked for, what two empty handlers make of it, and how connections spread."""
    ratio = each_us["two"] / each_us["one"]
    floor_ratio = each_us["two floors"] / each_us["one floor"]
    return [
        question.Figure(
            "CPU of a decision: two deciders / one", ratio, 1.1, at_least=False, tolerance=TOLERANCE
        ),
        question.Figure("CPU of an empty call: two servers / one", floor_ratio, at_least=False),
        question.Figure(
            "the first against the second: two deciders / one, beyond what gRPC costs",
            ratio / floor_ratio,
            at_least=False,
        ),
        *(
            question.Figure(f"share of the busier decider, {count} connections", share, at_least=False)
            for count, share in shares.items()
        ),
    ]


if __name__ == "__main__":
    main()
