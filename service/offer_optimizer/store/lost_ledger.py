"""A ledger that was lost is never begun anew beside what was learned from it.

Loads nothing but the file layer: `serve` asks before it starts anything.
"""

from __future__ import annotations

from offer_optimizer.core.errors import CannotStart, NotFound
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory


def require_ledger(files: Files, directory: DataDirectory) -> None:
    """Refuse a data directory whose ledger was lost: a new one would forget everything without a word.

    Raises CannotStart.
    """
    try:
        is_there = files.size(directory.ledger_path) > 0
    except NotFound:
        is_there = False
    if is_there or not _has_snapshots(files, directory):
        return
    raise CannotStart(
        f"{directory.ledger_path} is missing or empty, and {directory.snapshots} has models that learned "
        "from it: restore it from a backup, or begin anew in an empty directory"
    )


def _has_snapshots(files: Files, directory: DataDirectory) -> bool:
    try:
        return any(
            name.endswith(".snap")
            for folder in files.list(directory.snapshots)
            for name in files.list(directory.snapshots / folder)
        )
    except NotFound:
        return False
