"""`python -m benchmarks.bakeoff`: race every registered policy on the shared tables and on Hillstrom's test.

`--short` races one seed over the first rounds and writes nothing; `--only NAME` (repeatable) picks entrants.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks import machine
from benchmarks.bakeoff import race, report, rounds
from benchmarks.bakeoff.entrants import ENTRANTS

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEEDS = (1, 2, 3)
SHORT_ROUNDS = 300


def main() -> None:
    """Race, print, and unless short write results/bakeoff-DATE.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", action="append", choices=list(ENTRANTS))
    arguments = parser.parse_args()
    folder = rounds.shared_data()
    names = arguments.only or list(ENTRANTS)
    seeds, limit = (SEEDS[:1], SHORT_ROUNDS) if arguments.short else (SEEDS, None)
    about = machine.describe()
    started = time.process_time()
    figures: dict[str, dict[str, list[race.Result]]] = {name: {} for name in names}
    with threadpool_limits(1):
        for data in (*(rounds.table(folder, name) for name in rounds.TABLES), rounds.hillstrom(folder)):
            for name in names:
                figures[name][data.name] = [race.run(data, ENTRANTS[name], seed, limit) for seed in seeds]
            print(
                f"{data.name}: best fixed offer {data.best_fixed():.3f}, uniform {data.uniform():.3f}",
                flush=True,
            )
    print(report.table(figures))
    if arguments.short:
        return
    date = dt.datetime.now(tz=dt.UTC).date().isoformat()
    content = {
        "machine": about,
        "seeds": list(seeds),
        "floor": race.FLOOR,
        "cpu_s": round(time.process_time() - started, 1),
        "entrants": report.as_json(figures),
    }
    path = RESULTS / f"bakeoff-{date}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
