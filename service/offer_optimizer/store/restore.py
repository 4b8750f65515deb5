"""What a process checks before it starts: a ledger that is gone, a catalog that is damaged.

What always holds: a damaged revision is put back from the ledger, byte for byte what was applied, or refused;
no other revision serves in its place. A ledger that was lost is never begun anew beside what was learned from
it. Only the cheap questions are asked here; `doctor` looks at everything.
"""

from __future__ import annotations

from contextlib import closing

import structlog

from offer_optimizer.core.errors import CannotStart, DamagedFile, NotFound, OfferOptimizerError
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.codec import RecordKind, StoredCatalog
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

log = structlog.get_logger(__name__)


def restore_catalog(directory: DataDirectory, store: CatalogStore) -> bool:
    """Put the revision in force back from the ledger if its file is damaged; return whether it was.

    Raises DamagedFile where the ledger does not have it either, StorageUnavailable.
    """
    newest = store.newest_number()
    if not newest:
        return False
    try:
        store.read_stored(newest)
    except DamagedFile as damage:
        stored = _in_ledger(directory, newest)
        if stored is None:
            raise
        store.restore(stored)
        log.warning("catalog_restored", revision=newest, problem=str(damage), source="the ledger")
        return True
    return False


def _in_ledger(directory: DataDirectory, revision: int) -> StoredCatalog | None:
    try:
        ledger = Ledger.open_for_reading(directory.ledger_path)
    except OfferOptimizerError:
        return None
    with closing(ledger.connection):
        for record in ledger.rare_records(ledger.last_position()):
            if record.kind is RecordKind.CATALOG:
                body = record.body()
                if isinstance(body, StoredCatalog) and body.revision == revision:
                    return body
    return None


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
