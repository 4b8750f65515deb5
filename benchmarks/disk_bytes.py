"""How many bytes does a decision take on disk for good, indexes included, with 20 offers and 12 features?

The real service decides at ten placements, one decision in ten is clicked on, windows of a second close, all
is drained; then the ledger is compacted into one file and divided by its decisions. Beside it: the same
before its write-ahead log is emptied, and what segments hold that were not deleted yet.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks import half_capacity, question, under_test
from benchmarks.under_test import UnderTest

LIMIT = 1000.0
TOLERANCE = 0.2
"""Five short runs on a quiet machine came to the same bytes; a starved one, of fewer, to 18 % more."""
DRAINED_S = 4.0
"""Windows of a second, ledger time a second behind, and rounds of a tenth: by then all is closed."""


def folder_bytes(folder: Path) -> int:
    """Return what all files below a folder take."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Serve for a while, stop, weigh."""
    asked = question.ask(question.parser("disk_bytes", __doc__))
    seconds = 3.0 if asked.is_short else 60.0
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        data = Path(folder, "data")
        with under_test.service(data=data) as service:
            half_capacity.load(UnderTest("serve", service.target, service.deciders[0]), 400.0, seconds, 8)
            time.sleep(DRAINED_S)
            segments = folder_bytes(data / "segments")
        ledger = next(data.glob("ledger*.sqlite*"))
        live = sum(file.stat().st_size for file in data.glob("ledger*"))
        with closing(sqlite3.connect(ledger)) as connection:
            compact = Path(folder, "compact.sqlite")
            connection.execute("VACUUM INTO ?", (str(compact),))
            (decisions,) = connection.execute("SELECT count(*) FROM decision_position").fetchone()
        each = compact.stat().st_size / decisions
    print(f"{decisions:,} decisions; ledger {live / decisions:.0f} bytes each as it lay, {each:.0f} compact")
    print(f"segments at the end: {segments / 1e6:.1f} MB")
    figures = [
        question.Figure("ledger bytes a decision", each, LIMIT, at_least=False, tolerance=TOLERANCE),
        question.Figure("ledger bytes a decision, as it lies", live / decisions, at_least=False),
    ]
    details = {"decisions": decisions, "segment_bytes": segments}
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("disk_bytes", text, figures, details))


if __name__ == "__main__":
    main()
