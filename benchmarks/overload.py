"""What is still answered in time at 2, 5 and 10 times what a decider can do, open loop, deadlines of 100 ms?

The decider is slowed to about 300 decisions a second (`slowed_server`), behind the real edge; then the whole
service, unslowed, is asked the same, for the record. Capacity is measured first, in a closed loop. Feedback
comes beside decisions, a tenth as much. The server counts (`counting`): goodput is what was answered before
its deadline, a second, and times are from a call's arrival at the server; what a caller sees is sampled
(`probe`). Behind each overload comes a pause of two seconds, then half of capacity.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import machine, question, under_test
from benchmarks.native_load import Load
from benchmarks.overload_turn import HEAD, Turn, row, take_turn
from benchmarks.question import Figure

CAPACITY: Final = 300.0
TIMES: Final = (2.0, 5.0, 10.0)
PAUSE_S: Final = 2.0
SHORT_S, FULL_S, AFTER_S = 2.0, 10.0, 2.0
GOODPUT_LEAST: Final = 0.9
REFUSED_MS_MOST: Final = 10.0
GROWTH_MIB_MOST: Final = 32.0
FEEDBACK_FIRST_LEAST: Final = 0.05
"""By so much more of feedback than of decisions is refused; at most what decisions still leave (`margin`)."""


@contextmanager
def slowed(rate: float) -> Iterator[tuple[str, int]]:
    """Run the slowed server; yield its target and process."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.slowed_server", str(rate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=under_test.environment(),
        cwd=under_test.ROOT,
    ) as process:
        if process.stdout is None:
            raise AssertionError("it is a pipe")
        port = int(process.stdout.readline())
        machine.pin(process.pid, under_test.cores()[0])
        try:
            yield f"127.0.0.1:{port}", process.pid
        finally:
            process.communicate()


@contextmanager
def unslowed() -> Iterator[tuple[str, int]]:
    """Run the whole service, its decider's calls counted; yield its target and the decider's process."""
    path = f"{Path(__file__).with_name('counted')}:{under_test.environment()['PYTHONPATH']}"
    with under_test.service(extra={"PYTHONPATH": path}) as service:
        under_test.one_reply(service.target)
        yield service.target, service.deciders[0]


def measure(name: str, target: str, pid: int, seconds: float, times: tuple[float, ...]) -> dict[str, Turn]:
    """Drive one server at its capacity and at multiples of it, print the table, return the turns by name."""
    turns: dict[str, Turn] = {}
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-overload-") as folder:
        load = Load(target, Path(folder))
        load.capacity(1.0)
        capacity = load.capacity(seconds / 2.0)
        print(f"\n{name}: {capacity:.0f} decisions/s in a closed loop\n{HEAD}", flush=True)

        def turn(label: str, rate: float, lasting_s: float) -> None:
            turns[label] = take_turn(load, target, pid, rate, lasting_s)
            print(row(label, turns[label], turns["capacity"].goodput), flush=True)

        turn("capacity", capacity, seconds)
        for factor in times:
            turn(f"{factor:g} x", factor * capacity, seconds)
            time.sleep(PAUSE_S)
            turn(f"behind {factor:g} x", 0.5 * capacity, min(seconds, AFTER_S))
    return turns


def figures(turns: dict[str, Turn], times: tuple[float, ...]) -> list[Figure]:
    """Return what the slowed decider has to reach."""
    usual, found = turns["capacity"], []
    for factor in times:
        over, after = turns[f"{factor:g} x"], turns[f"behind {factor:g} x"]
        at = f"{factor:g} x capacity"
        found += [
            Figure(f"{at}: goodput, of capacity's", over.goodput / usual.goodput, GOODPUT_LEAST),
            Figure(f"{at}: refused after, ms p99", over.refused_ms(0.99), REFUSED_MS_MOST, at_least=False),
            Figure(
                f"{at}: late on arrival, yet decided", float(over.late_executed_count), 0.0, at_least=False
            ),
            Figure(f"{at}: feedback refused more than decisions by", over.feedback_first, margin(over)),
            Figure(
                f"{at}: memory grew, MiB", over.memory_mib - usual.memory_mib, GROWTH_MIB_MOST, at_least=False
            ),
            Figure(f"{at}: two seconds later, share in time", after.in_time_share, 0.99),
        ]
    return found


def margin(turn: Turn) -> float:
    """Return by how much more feedback has to be refused than decisions: half of what is left to refuse."""
    return min(FEEDBACK_FIRST_LEAST, 0.5 * (1.0 - turn.refused_share))


def told(turns: dict[str, Turn], times: tuple[float, ...]) -> list[Figure]:
    """Return the same figures of the unslowed service: they depend on the machine, so none is a limit."""
    return [
        Figure(f"unslowed, {one.text}", one.measured, None, at_least=one.at_least)
        for one in figures(turns, times)
    ]


def options() -> question.Asked:
    """Read the command line."""
    parser: argparse.ArgumentParser = question.parser("overload", __doc__)
    parser.add_argument("--capacity", type=float, default=CAPACITY, help="decisions a second, about")
    parser.add_argument("--check", action="store_true", help="end with 1 where a figure is not reached")
    parser.add_argument("--slowed-only", action="store_true", help="leave the unslowed service out")
    return question.ask(parser)


def main() -> None:
    """Measure both, print, keep the results unless --short; with `--check` end with 1 where one is missed."""
    asked = options()
    chosen: Any = asked.options
    seconds = SHORT_S if asked.is_short else FULL_S
    with slowed(chosen.capacity) as (target, pid):
        if not Load(target, Path(tempfile.gettempdir())).is_native:
            print(
                "h2load is not installed: the Python generator drives, and its own lateness is in the times"
            )
        turns = {"slowed": measure("slowed decider", target, pid, seconds, TIMES)}
    found = figures(turns["slowed"], TIMES)
    if not chosen.slowed_only:
        times = TIMES[:1] if asked.is_short else TIMES
        with unslowed() as (target, pid):
            turns["unslowed"] = measure("unslowed service", target, pid, seconds, times)
        found += told(turns["unslowed"], times)
    details = {kind: {name: one.details() for name, one in own.items()} for kind, own in turns.items()}
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("overload", text, found, details))
    if chosen.check and any(figure.is_met is False for figure in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
