"""`python -m benchmarks.bakeoff`: race every policy and its peers on real data and in simulated shops.

Passes are kept in `.bakeoff/`, so that only what changed runs again. A full run writes the figures to
results/ and to the README beside this file. `--short` races one seed over the first rounds and writes
nothing.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
from pathlib import Path
from typing import Final

from benchmarks import machine
from benchmarks.bakeoff import passes, problems, report
from benchmarks.bakeoff.entrants import entrant, entrants
from benchmarks.bakeoff.race import FLOOR

RESULTS: Final = Path(__file__).resolve().parents[1] / "results"
README: Final = Path(__file__).resolve().parent / "README.md"
KEPT: Final = Path(__file__).resolve().parents[2] / ".bakeoff"
SEEDS: Final = 3
SHORT_ROUNDS: Final = 200
_BEGIN: Final = "<!-- figures: written by python -m benchmarks.bakeoff -->"
_END: Final = "<!-- end of figures -->"


def main() -> None:
    """Race and print; unless something was left out, write the figures."""
    arguments = _arguments()
    names = tuple(arguments.only or entrants()) + tuple(arguments.add)
    for name in names:
        entrant(name)  # an unknown one is said before anything runs
    raced = tuple(arguments.problem or problems.names())
    seeds = tuple(range(1, 2 if arguments.short else arguments.seeds + 1))
    limit, kept = (SHORT_ROUNDS, None) if arguments.short else (None, KEPT)
    figures = passes.race_all(passes.Plan(names, raced, seeds, limit, kept), arguments.jobs, _say)
    print(report.tables(figures))
    is_whole = not arguments.only and not arguments.add and raced == problems.names() and len(seeds) >= SEEDS
    if is_whole and not arguments.short:
        _write(figures, seeds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bakeoff", description=__doc__)
    parser.add_argument("--short", action="store_true", help="one seed, the first rounds; writes nothing")
    parser.add_argument("--only", action="append", metavar="NAME", help="an entrant; repeatable")
    parser.add_argument(
        "--add",
        action="append",
        default=[],
        metavar='"NAME {OPTIONS}"',
        help="a registered policy with options as JSON, beside the others; repeatable",
    )
    parser.add_argument("--problem", action="append", choices=problems.names(), help="repeatable")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="worlds, 1 to this number (default 3)")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=int, default=cores, help="processes (default: cores)")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)


def _write(figures: passes.Figures, seeds: tuple[int, ...]) -> None:
    from benchmarks.bakeoff import plots  # noqa: PLC0415  (matplotlib is an extra)

    date = dt.datetime.now(tz=dt.UTC).date().isoformat()
    content = {"machine": machine.describe(), "seeds": list(seeds), "floor": FLOOR, **report.as_json(figures)}
    path = RESULTS / f"bakeoff-{date}.json"
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    plots.save_curves(figures, README.parent / "curves.png")
    plots.save_regrets(figures, README.parent / "regret.png")
    before, _, rest = README.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    text = f"{before}{_BEGIN}\n{report.tables(figures)}\n{_END}{after}"
    README.write_text(text, encoding="utf-8")
    print(f"written: {path.name}, curves.png, regret.png, README.md")


if __name__ == "__main__":
    main()
