"""`python -m benchmarks`: run the benchmarks, each in a process of its own, and print what they came to.

`--short` is what continuous integration runs: about a minute, nothing kept, and the exit status is 1 where a
benchmark failed or a figure is worse than that of short runs in results/ by more than its tolerance. `--short
--keep 5` runs each five times and keeps the medians, and all five, for later short runs to be compared with.
A full run keeps its figures. `--only NAME` runs one, and may be repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import question, under_test


@dataclass(frozen=True, slots=True)
class Entry:
    """A benchmark by name; whether continuous integration runs it, and for how long it may run in full."""

    name: str
    in_short: bool
    minutes: float


ENTRIES: Final = (
    Entry("decide_in_process", in_short=True, minutes=5),
    Entry("decide_floor", in_short=True, minutes=10),
    Entry("call_steps", in_short=False, minutes=10),
    Entry("half_capacity", in_short=False, minutes=10),
    Entry("batch_decide", in_short=True, minutes=5),
    Entry("deciders", in_short=True, minutes=10),
    Entry("disk_bytes", in_short=True, minutes=10),
    Entry("learner_rate", in_short=True, minutes=10),
    Entry("learner_lag", in_short=False, minutes=20),
    Entry("changed_decisions", in_short=False, minutes=10),
    Entry("replay_rows", in_short=False, minutes=20),
    Entry("restart", in_short=False, minutes=20),
    Entry("growth", in_short=False, minutes=60),
    Entry("open_decisions", in_short=False, minutes=30),
    Entry("tail", in_short=False, minutes=25),
    Entry("overload", in_short=False, minutes=6),
)
SHORT_S: Final = 120.0
"""A short run that takes longer than this has hung."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one benchmark came to."""

    name: str
    figures: Sequence[question.Figure]
    problems: Sequence[str]
    took_s: float


def answer(
    entry: Entry, date: str, more: Sequence[str], *, is_short: bool
) -> tuple[dict[str, Any], list[str]]:
    """Run one benchmark with `more` options; return what it wrote, and why it failed."""
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        file = Path(folder, "answer.json")
        command = [sys.executable, "-m", f"benchmarks.{entry.name}", "--json", str(file), "--date", date]
        try:
            done = subprocess.run(
                [*command, *more, *(["--short"] if is_short else [])],
                env=under_test.environment(),
                cwd=under_test.ROOT,
                check=False,
                timeout=SHORT_S if is_short else entry.minutes * 60.0,
            )
            problems = [f"ended with status {done.returncode}"] if done.returncode else []
        except subprocess.TimeoutExpired as error:
            problems = [f"did not end in {error.timeout:.0f} s"]
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found, problems


def run(entry: Entry, date: str, more: Sequence[str], *, is_short: bool, keep_count: int = 0) -> Run:
    """Run one benchmark and compare a short run with the short ones before, or keep so many short ones."""
    began_s = time.monotonic()
    found, problems = answer(entry, date, more, is_short=is_short)
    runs = [found]
    while found and len(runs) < keep_count:
        again, more_problems = answer(entry, date, more, is_short=is_short)
        runs.append(again)
        problems += more_problems
    figures: list[question.Figure] = []
    if all(runs):
        merged = question.merge(runs)
        figures = question.figures_of(merged)
        if keep_count and not problems:
            question.keep(question.RESULTS, entry.name, json.dumps(merged, indent=1) + "\n")
    if is_short and not keep_count:
        kept = question.baseline(question.RESULTS, entry.name, question.build(), is_short=True)
        problems += question.losses(figures, kept)
        for figure in figures:
            if figure.tolerance is not None and figure.text not in kept:
                print(f"  compared with nothing, since no short runs of this build are kept: {figure.text}")
    return Run(entry.name, figures, problems, time.monotonic() - began_s)


def table(found: Sequence[Run]) -> str:
    """Return one line a figure: question, figure to reach, measured, whether it is met."""
    lines = [f"{'question':18} {'measured':>10} {'figure':>10}  met  what"]
    for one in found:
        for figure in one.figures:
            runs = figure.runs
            spread = f"  (runs {min(runs):.4g} to {max(runs):.4g})" if len(runs) > 1 else ""
            side = "" if figure.limit is None else (">=" if figure.at_least else "<=")
            limit = "" if figure.limit is None else f"{side} {figure.limit:g}"
            verdict = {None: "", True: "yes", False: "NO"}[figure.is_met]
            lines.append(
                f"{one.name:18} {figure.measured:10.4g} {limit:>10}  {verdict:3}  {figure.text}{spread}"
            )
        lines.extend(f"{one.name:18} FAILED: {problem}" for problem in one.problems)
    return "\n".join(lines)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = question.parser("", __doc__)
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--obp-python", help="for replay_rows: interpreter of an environment that has obp")
    parser.add_argument("--keep", type=int, default=0, metavar="COUNT", help="keep so many short runs")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    found = parser.parse_args()
    if found.keep and not found.short:
        parser.error("--keep COUNT is for --short: a full run is kept without")
    return found


def main() -> None:
    """Run, print the table, exit with 1 when something failed."""
    chosen = options()
    wanted = [
        entry
        for entry in ENTRIES
        if (entry.name in chosen.only if chosen.only else entry.in_short or not chosen.short)
    ]
    runs = []
    for entry in wanted:
        print(f"\n=== {entry.name}", flush=True)
        is_replay = entry.name == "replay_rows" and chosen.obp_python
        more = ["--obp-python", chosen.obp_python] if is_replay else []
        runs.append(run(entry, chosen.date, more, is_short=chosen.short, keep_count=chosen.keep))
        print(f"  took {runs[-1].took_s:.0f} s", flush=True)
    print(f"\n{question.build()} build")
    print(table(runs))
    if any(one.problems for one in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
