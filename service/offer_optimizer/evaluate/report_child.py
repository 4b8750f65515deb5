"""One report in a process of its own: a question as JSON on standard input, the answer on standard output.

Run as `python -m offer_optimizer.evaluate.report_child` by evaluate.desks. It is nice to deciders.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from offer_optimizer.core.errors import OfferOptimizerError, UnknownPlacement
from offer_optimizer.evaluate.report import report
from offer_optimizer.store.ledger import Ledger

_MEMORY_LIMIT: Final = 4 * 1024**3
_NICENESS: Final = 10


def main() -> None:
    """Answer one question."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICENESS)
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return {"report": ...}, {"unknown_placement": why} or {"error": why}."""
    try:
        ledger = Ledger.open_for_reading(Path(question["ledger"]))
        with closing(ledger.connection):
            found = report(ledger, question["placement"], question["start_us"], question["end_us"])
    except UnknownPlacement as error:
        return {"unknown_placement": error.problem}
    except (OfferOptimizerError, sqlite3.Error) as error:
        return {"error": str(error)}
    return {"report": found.to_dict()}


if __name__ == "__main__":
    main()
