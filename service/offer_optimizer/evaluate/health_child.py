"""The health of the loop in a process of its own: question on standard input, answer on standard output.

Both are JSON. Run as `python -m offer_optimizer.evaluate.health_child` by evaluate.desks; nice to deciders.
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
from offer_optimizer.evaluate.loop_facts import read_health
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

_MEMORY_LIMIT: Final = 2 * 1024**3
_NICENESS: Final = 10


def main() -> None:
    """Answer one question."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICENESS)
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return {"report": ...}, {"unknown_placement": why} or {"error": why}."""
    directory = DataDirectory(Path(question["directory"]))
    try:
        ledger = Ledger.open_for_reading(directory.ledger_path)
        with closing(ledger.connection):
            found = read_health(ledger, Files(), directory, question["now_us"], question["placement"])
    except UnknownPlacement as error:
        return {"unknown_placement": error.problem}
    except (OfferOptimizerError, sqlite3.Error) as error:
        return {"error": str(error)}
    return {"report": found.to_dict()}


if __name__ == "__main__":
    main()
