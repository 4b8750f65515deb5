"""`python -m benchmarks`: run the benchmarks, each in a process of its own, and print what they came to.

`--short` is what continuous integration runs: about a minute, nothing kept, and the exit status is 1 where a
benchmark failed or a figure is worse than its baseline in results/ by more than its tolerance. A full run
keeps its figures as the next baseline. `--only NAME` runs one, and may be repeated.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


def run(entry: Entry, date: str, more: Sequence[str], *, is_short: bool) -> Run:
    """Run one benchmark with `more` options and read what it found."""
    began_s = time.monotonic()
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
        figures = question.read(file) if file.exists() else []
    if is_short:
        kept = question.baseline(question.RESULTS, entry.name, question.build())
        problems += question.losses(figures, kept)
    return Run(entry.name, figures, problems, time.monotonic() - began_s)


def table(runs: Sequence[Run]) -> str:
    """Return one line a figure: question, figure to reach, measured, whether it is met."""
    lines = [f"{'question':18} {'measured':>10} {'figure':>10}  met  what"]
    for one in runs:
        for figure in one.figures:
            side = "" if figure.limit is None else (">=" if figure.at_least else "<=")
            limit = "" if figure.limit is None else f"{side} {figure.limit:g}"
            verdict = {None: "", True: "yes", False: "NO"}[figure.is_met]
            lines.append(f"{one.name:18} {figure.measured:10.4g} {limit:>10}  {verdict:3}  {figure.text}")
        lines.extend(f"{one.name:18} FAILED: {problem}" for problem in one.problems)
    return "\n".join(lines)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = question.parser("", __doc__)
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--obp-python", help="for replay_rows: interpreter of an environment that has obp")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    return parser.parse_args()


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
        runs.append(run(entry, chosen.date, more, is_short=chosen.short))
        print(f"  took {runs[-1].took_s:.0f} s", flush=True)
    print(f"\n{question.build()} build")
    print(table(runs))
    if any(one.problems for one in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
