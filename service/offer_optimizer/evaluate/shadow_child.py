"""Shadow policies in a process of its own: question on standard input, answer on standard output.

Run as `python -m offer_optimizer.evaluate.shadow_child` by evaluate.desks.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, Final

from offer_optimizer.evaluate.child_answer import answer_one
from offer_optimizer.evaluate.shadow_status import read_shadows
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

MEMORY_BYTES: Final = 2 * 1024**3


def find(question: dict[str, Any]) -> dict[str, Any]:
    """Return {"shadows": [...]} for a directory and a placement, all placements where that is empty."""
    directory = DataDirectory(Path(question["directory"]))
    ledger = Ledger.open_for_reading(directory.ledger_path)
    with closing(ledger.connection):
        found = read_shadows(ledger, Files(), directory, question["placement"])
    return {"shadows": [shadow.to_dict() for shadow in found]}


if __name__ == "__main__":
    answer_one(find, MEMORY_BYTES)
