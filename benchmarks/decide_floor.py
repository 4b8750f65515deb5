"""How much of an empty handler's throughput does Decide keep, and what does it add to its latency?

The floor is an empty handler with the same server options, request and reply bytes. Floor, edge (the gRPC
edge around a fixed decision), vw and linear (the real service, learning on) take turns in one run, so that
whatever else the machine does meets all of them. Load is a closed loop from client processes on other cores.

Two ratios are given: calls per second as the clients saw them, and CPU seconds of the deciding process per
call. The second is what one core can serve at most, and holds also where clients are the bottleneck.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks import machine, question, setting, under_test
from benchmarks.under_test import ROOT, UnderTest

TOLERANCE: Final = 0.3
"""Five short runs on a quiet machine were up to 16 % worse than their median (edge 16, vw 4, linear 9)."""


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of one server. `server_core_share` near 1 means the server, not the clients, was the limit."""

    name: str
    calls_per_s: float
    p50_us: float
    p99_us: float
    cpu_us_per_call: float | None
    server_core_share: float | None
    failure_count: int
    refused_count: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every call was answered."""
        return not (self.failure_count or self.refused_count)


def drive(
    server: UnderTest,
    seconds: float,
    clients: int,
    threads: int,
    *,
    method: str = setting.DECIDE,
    requests: Sequence[bytes] = (),
    cores: Sequence[int] = (),
) -> Round:
    """Load one server for `seconds` and return what was seen; `requests` take turns (default: the one).

    Clients take `cores` in turn, one each, by default all that servers leave them.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".hex") as file:
        file.write("\n".join(request.hex() for request in requests or [setting.request_bytes()]))
        file.flush()
        arguments = [server.target, str(threads), str(seconds), method, file.name]
        return _drive(server, [sys.executable, "-m", "benchmarks.load", *arguments], clients, cores)


def _drive(server: UnderTest, command: list[str], clients: int, cores: Sequence[int]) -> Round:
    drivers = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=under_test.environment(),
            cwd=ROOT,
        )
        for _ in range(clients)
    ]
    for index, driver in enumerate(drivers):
        if driver.stdin is None or driver.stdout is None or driver.stdout.readline() != "ready\n":
            raise SystemExit(f"a client could not reach {server.name} at {server.target}")
        machine.pin(driver.pid, {cores[index % len(cores)]} if cores else under_test.cores()[1])
    cpu_before = server.cpu_seconds()
    for driver in drivers:
        driver.stdin.write("go\n")  # type: ignore[union-attr]
        driver.stdin.flush()  # type: ignore[union-attr]
    reports: list[dict[str, Any]] = [json.loads(driver.communicate()[0]) for driver in drivers]
    cpu_s = server.cpu_seconds() - cpu_before if server.pid else None
    return summarise_round(server.name, reports, cpu_s)


def summarise_round(name: str, reports: list[dict[str, Any]], cpu_s: float | None) -> Round:
    """Merge what the clients saw."""
    latencies = np.concatenate([np.asarray(report["latencies_us"], dtype=np.float64) for report in reports])
    wall_s = max(float(report["wall_s"]) for report in reports)
    failure_count = sum(int(report["failure_count"]) for report in reports)
    if failure_count:
        print(
            f"{name}: {failure_count} failures, first {[report['failure'] for report in reports]}",
            file=sys.stderr,
        )
    return Round(
        name=name,
        calls_per_s=len(latencies) / wall_s,
        p50_us=float(np.percentile(latencies, 50)),
        p99_us=float(np.percentile(latencies, 99)),
        cpu_us_per_call=None if cpu_s is None else cpu_s / len(latencies) * 1e6,
        server_core_share=None if cpu_s is None else cpu_s / wall_s,
        failure_count=failure_count,
        refused_count=sum(int(report.get("refused_count", 0)) for report in reports),
    )


def summarise(rounds: list[Round]) -> dict[str, dict[str, float]]:
    """Return medians over the rounds of each server, and ratios against the floor of the same run.

    Of CPU time the least of the rounds, which neighbours disturbed least: they can only add to it.
    """
    measures = ("calls_per_s", "p50_us", "p99_us", "cpu_us_per_call", "server_core_share")
    names = list(dict.fromkeys(one.name for one in rounds))
    summary: dict[str, dict[str, float]] = {}
    for name in names:
        summary[name] = {}
        for measure in measures:
            values = [getattr(one, measure) for one in rounds if one.name == name]
            if None not in values:
                middle = np.min if measure == "cpu_us_per_call" else np.median
                summary[name][measure] = float(middle(values))
    floor = summary["floor"]
    for name in names:
        own = summary[name]
        own["throughput_ratio"] = own["calls_per_s"] / floor["calls_per_s"]
        own["p50_ratio"] = own["p50_us"] / floor["p50_us"]
        own["p99_ratio"] = own["p99_us"] / floor["p99_us"]
        if "cpu_us_per_call" in own and "cpu_us_per_call" in floor:
            own["capacity_ratio"] = floor["cpu_us_per_call"] / own["cpu_us_per_call"]
    return summary


def table(summary: dict[str, dict[str, float]]) -> str:
    """Return the summary for people; `-` where it was not measured."""
    columns = {
        "calls/s": ("calls_per_s", ".0f"),
        "ratio": ("throughput_ratio", ".2f"),
        "p50 us": ("p50_us", ".0f"),
        "ratio ": ("p50_ratio", ".2f"),
        "p99 us": ("p99_us", ".0f"),
        "ratio  ": ("p99_ratio", ".2f"),
        "cpu us/call": ("cpu_us_per_call", ".0f"),
        "capacity": ("capacity_ratio", ".2f"),
        "core share": ("server_core_share", ".2f"),
    }
    lines = ["server".ljust(8) + "".join(title.rjust(13) for title in columns)]
    for name, own in summary.items():
        cells = (format(own[key], form) if key in own else "-" for key, form in columns.values())
        lines.append(name.ljust(8) + "".join(cell.rjust(13) for cell in cells))
    return "\n".join(lines)


def figures(summary: dict[str, dict[str, float]]) -> list[question.Figure]:
    """Return what docs/design.md asks for: what one core can serve, against the floor, by policy."""
    limits = {"edge": None, "vw": 0.70, "linear": 0.60, "target": None}
    found = []
    for name, limit in limits.items():
        own = summary.get(name, {})
        if "capacity_ratio" in own:
            text = f"{name}: CPU of a floor call / its own"
            found.append(question.Figure(text, own["capacity_ratio"], limit, tolerance=TOLERANCE))
        if "throughput_ratio" in own:
            text = f"{name}: calls a second / the floor's"
            found.append(question.Figure(text, own["throughput_ratio"], limit))
    return found


def options() -> question.Asked:
    """Read the command line."""
    parser = question.parser("decide_floor", __doc__)
    parser.add_argument("--seconds", type=float, help="of each turn (default 5; short 0.5)")
    parser.add_argument("--rounds", type=int, help="turns of each server (default 6; short 4)")
    parser.add_argument("--clients", type=int, default=2, help="client processes")
    parser.add_argument("--threads", type=int, default=4, help="threads and connections of each client")
    parser.add_argument(
        "--target", help="measure the service at HOST:PORT instead; it needs placement `bench`"
    )
    parser.add_argument("--without-serve", action="store_true", help="floor and edge only")
    return question.ask(parser)


def start(stack: ExitStack, chosen: argparse.Namespace) -> list[UnderTest]:
    """Start what takes turns, the floor first."""
    servers = [stack.enter_context(under_test.ours("edge"))]
    if chosen.target:
        servers.append(UnderTest("target", chosen.target, None))
    elif not chosen.without_serve:
        for policy in ("vw", "linear"):
            catalog = setting.catalog_text(policy)
            servers.append(stack.enter_context(under_test.real_service(catalog, policy)))
    reply = under_test.one_reply(servers[-1].target)
    return [stack.enter_context(under_test.ours("floor", reply.hex())), *servers]


def main() -> None:
    """Measure, print the table, and keep the results unless --short. Exits with 1 when a call failed."""
    asked = options()
    chosen = asked.options
    seconds = chosen.seconds or (0.5 if chosen.short else 5.0)
    round_count = chosen.rounds or (4 if chosen.short else 6)
    rounds: list[Round] = []
    with ExitStack() as stack:
        servers = start(stack, chosen)
        for _ in range(round_count):
            rounds.extend(drive(server, seconds, chosen.clients, chosen.threads) for server in servers)
    summary = summarise(rounds)
    print(table(summary))
    details = {
        "seconds": seconds,
        "rounds": round_count,
        "clients": chosen.clients,
        "threads": chosen.threads,
        "request_bytes": len(setting.request_bytes()),
        "summary": summary,
    }
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("decide_floor", text, figures(summary), details))
    if not all(one.is_whole for one in rounds):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
