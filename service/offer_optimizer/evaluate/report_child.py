"""One report in a process of its own: a question as JSON on standard input, the answer on standard output.

Run as `python -m offer_optimizer.evaluate.report_child` by evaluate.desks.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, Final

from offer_optimizer.evaluate.child_answer import answer_one
from offer_optimizer.evaluate.report import report
from offer_optimizer.store.ledger import Ledger

MEMORY_BYTES: Final = 4 * 1024**3


def find(question: dict[str, Any]) -> dict[str, Any]:
    """Return what `PlacementReport.to_dict` does, for a ledger, a placement and a range of times."""
    ledger = Ledger.open_for_reading(Path(question["ledger"]))
    with closing(ledger.connection):
        found = report(ledger, question["placement"], question["start_us"], question["end_us"])
    return found.to_dict()


if __name__ == "__main__":
    answer_one(find, MEMORY_BYTES)
