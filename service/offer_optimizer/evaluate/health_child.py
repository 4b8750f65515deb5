"""The health of the loop in a process of its own: question on standard input, answer on standard output.

A ledger that can't be read is no reason to say nothing: it is an alarm beside what needs no ledger. While no
learner has it open, as in a restart, a reader first makes the index of its log again, in a file, which a full
disk refuses.

Run as `python -m offer_optimizer.evaluate.health_child` by evaluate.desks.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from offer_optimizer.core.errors import CannotStart, DamagedFile, StorageUnavailable
from offer_optimizer.evaluate.child_answer import answer_one
from offer_optimizer.evaluate.health import loop_health
from offer_optimizer.evaluate.loop_facts import facts_without_ledger, read_health
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

MEMORY_BYTES: Final = 2 * 1024**3


def find(question: dict[str, Any]) -> dict[str, Any]:
    """Return what `LoopHealth.to_dict` does, for a directory and a placement."""
    directory = DataDirectory(Path(question["directory"]))
    now_us: int = question["now_us"]
    damage: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    try:
        ledger = Ledger.open_for_reading(directory.ledger_path)
        with closing(ledger.connection):
            return read_health(ledger, Files(), directory, now_us, question["placement"]).to_dict()
    except (CannotStart, StorageUnavailable, sqlite3.OperationalError) as error:
        # CannotStart too: it is not there, or not yet of this format, while a first start makes it.
        refusals = (f"The ledger could not be read: {error}.",)
    except (DamagedFile, sqlite3.Error) as error:
        damage = (f"The ledger could not be read: {error}",)
    return loop_health((), facts_without_ledger(Files(), directory, now_us, damage, refusals)).to_dict()


if __name__ == "__main__":
    answer_one(find, MEMORY_BYTES)
