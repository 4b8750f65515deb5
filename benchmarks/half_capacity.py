"""What does a page wait for Decide at half of capacity, against an empty handler under the same load?

Open loop: decisions leave at a fixed rate over eight connections to ten placements, one in ten is clicked on,
windows of a second close, models learn and snapshots are swapped. The capacity is measured first, in a closed
loop against the same service. Floor and service then take turns at the same rate. What the client cost is
printed beside: where it sent late, or used its core up, the figures are the client's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from hdrh.histogram import HdrHistogram

from benchmarks import decide_floor, machine, question, under_test
from benchmarks.open_loop import histogram
from benchmarks.under_test import ROOT, UnderTest

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 100.0)
SHORT_S, FULL_S, CAPACITY_S = 3.0, 20.0, 4.0
CLIENT_CORE: Final = 0.8
"""Above such a share of a core a client that is one Python process can be what is measured."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of one server at one rate. Milliseconds; `late_ms_p99` is how late the client sent.

    `slowest` are the slowest calls: microseconds, when they were due on the clock of perf_counter, and by how
    many microseconds they were sent late.
    """

    name: str
    rate: float
    latency_ms: dict[str, float]
    feedback_ms_p99: float
    late_ms_p99: float
    client_core_share: float
    server_core_share: float | None
    failure_count: int
    slowest: list[tuple[int, float, int]]


def load(server: UnderTest, rate: float, seconds: float, channels: int, *more: str) -> Turn:
    """Load one server at a fixed rate and return what was seen. `more` are options of open_loop."""
    arguments = [server.target, "--rate", str(rate), "--seconds", str(seconds), "--channels", str(channels)]
    arguments += more
    command = [sys.executable, "-m", "benchmarks.open_loop", *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=under_test.environment(),
        cwd=ROOT,
    ) as driver:
        if driver.stdout is None or driver.stdout.readline() != "ready\n":
            raise SystemExit(f"the client could not reach {server.name} at {server.target}")
        machine.pin(driver.pid, under_test.cores()[1])
        before_s = server.cpu_seconds()
        report: dict[str, Any] = json.loads(driver.communicate("go\n")[0])
    used_s = server.cpu_seconds() - before_s if server.pid else None
    return _turn(server.name, rate, report, used_s)


def _turn(name: str, rate: float, report: dict[str, Any], server_cpu_s: float | None) -> Turn:
    latency, late, feedback = (_decoded(report[key]) for key in ("latency", "lateness", "feedback"))
    wall_s = float(report["wall_s"])
    failures = sum(report["failures"].values()) + int(report["lost_count"])
    if failures:
        lost = report["lost_count"]
        print(f"{name}: {report['failures']}, {lost} without an answer", file=sys.stderr)
    return Turn(
        name=name,
        rate=rate,
        latency_ms={f"p{p:g}": latency.get_value_at_percentile(p) / 1000.0 for p in PERCENTILES},
        feedback_ms_p99=feedback.get_value_at_percentile(99.0) / 1000.0,
        late_ms_p99=late.get_value_at_percentile(99.0) / 1000.0,
        client_core_share=float(report["client_cpu_s"]) / wall_s,
        server_core_share=None if server_cpu_s is None else server_cpu_s / wall_s,
        failure_count=failures,
        slowest=report["slowest_us_at_s_late_us"],
    )


def _decoded(text: str) -> HdrHistogram:
    found = histogram()
    found.decode_and_add(text.encode())
    return found


def median_turn(turns: list[Turn], name: str) -> dict[str, float]:
    """Return the medians over the turns of one server."""
    own = [turn for turn in turns if turn.name == name]
    middle = len(own) // 2
    measures = {key: sorted(turn.latency_ms[key] for turn in own)[middle] for key in own[0].latency_ms}
    measures["feedback p99"] = sorted(turn.feedback_ms_p99 for turn in own)[middle]
    measures["client late p99"] = sorted(turn.late_ms_p99 for turn in own)[middle]
    measures["client core"] = sorted(turn.client_core_share for turn in own)[middle]
    shares = [turn.server_core_share for turn in own if turn.server_core_share is not None]
    if shares:
        measures["server core"] = sorted(shares)[len(shares) // 2]
    return measures


def table(summary: dict[str, dict[str, float]]) -> str:
    """Return the summary for people: milliseconds, shares of a core, and ratios to the floor."""
    lines = [" " * 16 + "".join(name.rjust(10) for name in summary) + "ratio".rjust(10)]
    floor = summary["floor"]
    for key in floor:
        values = [own.get(key) for own in summary.values()]
        cells = "".join(("-" if value is None else f"{value:.2f}").rjust(10) for value in values)
        last = values[-1]
        ratio = f"{last / floor[key]:.2f}" if key.startswith("p") and last and floor[key] else ""
        lines.append(key.ljust(16) + cells + ratio.rjust(10))
    return "\n".join(lines)


def figures(summary: dict[str, dict[str, float]]) -> list[question.Figure]:
    """Return what docs/design.md asks for."""
    floor, serve = summary["floor"], summary["serve"]
    return [
        question.Figure("p50 / the floor's", serve["p50"] / floor["p50"], 1.4, at_least=False),
        question.Figure("p99 / the floor's", serve["p99"] / floor["p99"], 1.6, at_least=False),
        question.Figure("p99.9, ms", serve["p99.9"], at_least=False),
        question.Figure("client: share of a core", max(floor["client core"], serve["client core"])),
        question.Figure("client: sent late p99, ms", max(floor["client late p99"], serve["client late p99"])),
    ]


def warn(turns: list[Turn]) -> None:
    """Say where a figure is the client's own: it used a core up, or sent later than the server answered."""
    for turn in turns:
        if turn.client_core_share > CLIENT_CORE or turn.late_ms_p99 > turn.latency_ms["p99"] / 2.0:
            print(
                f"warning: {turn.name}: the client used {turn.client_core_share:.0%} of a core and sent "
                f"{turn.late_ms_p99:.1f} ms late at p99: it measured itself"
            )


def options() -> question.Asked:
    """Read the command line."""
    parser = question.parser("half_capacity", __doc__)
    parser.add_argument("--seconds", type=float, help="of each turn")
    parser.add_argument("--rounds", type=int, help="turns of each server (default 3; short 1)")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.5, help="of the capacity (0.5)")
    return question.ask(parser)


def main() -> None:
    """Measure the capacity, load both at a share of it, print, and keep the results unless --short."""
    asked = options()
    chosen = asked.options
    seconds = chosen.seconds or (SHORT_S if chosen.short else FULL_S)
    turns: list[Turn] = []
    with ExitStack() as stack:
        serve = stack.enter_context(under_test.real_service())
        reply = under_test.one_reply(serve.target)
        floor = stack.enter_context(under_test.ours("floor", reply.hex()))
        full = decide_floor.drive(serve, SHORT_S if chosen.short else CAPACITY_S, clients=2, threads=4)
        rate = chosen.share * full.calls_per_s
        print(f"capacity {full.calls_per_s:.0f} decisions/s (closed loop), so {rate:.0f}/s", file=sys.stderr)
        for _ in range(chosen.rounds or (1 if chosen.short else 3)):
            turns.extend(load(server, rate, seconds, chosen.channels) for server in (floor, serve))
    summary = {name: median_turn(turns, name) for name in ("floor", "serve")}
    print(table(summary))
    warn(turns)
    details = {"rate": rate, "seconds": seconds, "channels": chosen.channels, "summary": summary}
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("half_capacity", text, figures(summary), details))
    if any(turn.failure_count for turn in turns):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
