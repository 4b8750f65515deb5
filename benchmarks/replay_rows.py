"""How many rows a second does replay judge, beside the Open Bandit Pipeline (OBP) on the same rows?

IPS, SNIPS and DR with bootstrap intervals of one target policy. Each side is a process of its own and is
measured by its CPU time and its peak memory. OBP needs a Python below 3.11 and an environment of its own:
name its interpreter with --obp-python; without one our side is measured alone, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import question
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.log import BadLine, Column, LogRows, Vocabulary
from offer_optimizer.evaluate import evaluate

ROWS: Final = 1_000_000
ROWS_SHORT: Final = 100_000
OFFERS: Final = 10
SEGMENTS: Final = 20
ROWS_A_VISITOR: Final = 5
BATCH_ROWS: Final = 65_536
ESTIMATORS: Final = ("ips", "snips", "dr")
OBP_REPLICATES: Final = 100
"""OBP's own default. We make 2,000, of visitors instead of rows, so the comparison flatters OBP."""
OBP_SCRIPT: Final = Path(__file__).with_name("replay_rows_obp.py")


def make_rows(folder: Path, count: int) -> None:
    """Write seeded rows as arrays: a logging and a target policy by segment, clicks, five rows a visitor."""
    chance = np.random.default_rng(5)
    logging = chance.dirichlet(np.full(OFFERS, 4.0), SEGMENTS) * 0.9 + 0.1 / OFFERS
    target = chance.dirichlet(np.full(OFFERS, 2.0), SEGMENTS)
    worth = chance.uniform(0.02, 0.12, (SEGMENTS, OFFERS))
    segment = chance.integers(0, SEGMENTS, count)
    action = (chance.random((count, 1)) > logging.cumsum(axis=1)[segment]).sum(axis=1)
    action = np.minimum(action, OFFERS - 1)
    reward = (chance.random(count) < worth[segment, action]).astype(np.float64)
    means = np.bincount(action, weights=reward, minlength=OFFERS) / np.bincount(action, minlength=OFFERS)
    arrays = {
        "segment": segment,
        "action": action,
        "reward": reward,
        "pscore": logging[segment, action],
        "visitor": chance.integers(0, count // ROWS_A_VISITOR, count),
        "target": target,
        "means": means,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


class SegmentContexts:
    """Contexts of one column."""

    def __init__(self, segment: NDArray[np.float64]) -> None:
        self._segment = segment

    def __len__(self) -> int:
        return len(self._segment)

    def features(self, row: int) -> Features:  # noqa: ARG002  (nothing here learns)
        """See Contexts."""
        return EMPTY

    def names(self) -> Sequence[str]:
        """See Contexts."""
        return ["segment"]

    def column(self, name: str) -> Column:
        """See Contexts."""
        if name != "segment":
            raise KeyError(name)
        return self._segment


class ArrayLog:
    """The rows as a log. Implements core.log.Log."""

    name = "arrays"
    has_visitors = True
    bad_lines: Sequence[BadLine] = ()
    bad_line_count = 0
    notes: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        names = ("segment", "action", "reward", "pscore", "visitor")
        self._columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        self.vocabulary = Vocabulary()
        self._offers = np.array([self.vocabulary.number(f"offer-{n}") for n in range(OFFERS)], dtype=np.int32)

    def batches(self) -> Iterator[LogRows]:
        """See Log."""
        for start in range(0, len(self._columns["action"]), BATCH_ROWS):
            part = {
                name: np.array(column[start : start + BATCH_ROWS]) for name, column in self._columns.items()
            }
            count = len(part["action"])
            yield LogRows(
                visitor=part["visitor"],
                time_us=np.zeros(count, dtype=np.int64),
                reward=part["reward"],
                chosen=part["action"],
                propensity=part["pscore"],
                offers=np.broadcast_to(self._offers, (count, OFFERS)),
                contexts=SegmentContexts(part["segment"].astype(np.float64)),
            )


def peak_kib() -> int:
    """Return the most memory that this process has held. Not getrusage's, which counts the parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


def our_side(folder: Path) -> dict[str, Any]:
    """Evaluate the rows with this project."""
    imported_kib = peak_kib()
    wall, cpu = time.perf_counter(), time.process_time()
    target = np.load(folder / "target.npy")

    def policy(rows: LogRows) -> NDArray[np.float64]:
        segment = np.asarray(rows.contexts.column("segment")).astype(np.int64)
        found: NDArray[np.float64] = target[segment]
        return found

    found = evaluate(ArrayLog(folder), policy, estimators=ESTIMATORS, interval="bootstrap").policies[0]
    return {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "peak_mib": peak_kib() / 1024,
        "imported_mib": imported_kib / 1024,
        "values": {name: [one.value, one.low, one.high] for name, one in found.estimates.items()},
    }


def run_side(command: list[str]) -> dict[str, Any]:
    """Run one side in a process of its own and return what it measured."""
    # One thread each: CPU time of waiting threads says nothing.
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, **alone})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure both sides, answer."""
    parser = question.parser("replay_rows", __doc__)
    parser.add_argument("--obp-python", help="interpreter of an environment that has obp")
    parser.add_argument("--side", type=Path, help=argparse.SUPPRESS)
    asked = question.ask(parser)
    given = asked.options
    if given.side is not None:
        print(json.dumps(our_side(given.side)))
        return
    count = ROWS_SHORT if asked.is_short else ROWS
    with tempfile.TemporaryDirectory() as folder:
        make_rows(Path(folder), count)
        sides = {"ours": run_side([sys.executable, "-m", "benchmarks.replay_rows", "--side", folder])}
        if given.obp_python:
            sides["obp"] = run_side([given.obp_python, str(OBP_SCRIPT), folder, str(OBP_REPLICATES)])
    text = (__doc__ or "").splitlines()[0]
    details = {"rows": count, "sides": sides}
    question.finish(asked, question.Answer("replay_rows", text, figures(count, sides), details))


def figures(count: int, sides: dict[str, dict[str, Any]]) -> list[question.Figure]:
    """Print what the sides come to, and return the figures."""
    for name, side in sides.items():
        own = side["peak_mib"] - side["imported_mib"]
        print(
            f"{name}: {count / side['cpu_s']:,.0f} rows a CPU second, peak {side['peak_mib']:.0f} MiB, "
            f"{own:.0f} of them beyond its imports"
        )
    ours = sides["ours"]
    found = [question.Figure("rows a CPU second, IPS, SNIPS and DR", count / ours["cpu_s"])]
    if "obp" not in sides:
        print("OBP was not measured: name the interpreter of an environment that has it with --obp-python")
        return found
    obp = sides["obp"]
    for name in ESTIMATORS:
        print(f"{name}: ours {ours['values'][name]}, OBP {obp['values'][name]}")
    memory = ours["peak_mib"] / obp["peak_mib"]
    return [
        *found,
        question.Figure("rows a CPU second: ours / OBP", obp["cpu_s"] / ours["cpu_s"], 10.0),
        question.Figure("peak memory: ours / OBP", memory, at_least=False),
    ]


if __name__ == "__main__":
    main()
