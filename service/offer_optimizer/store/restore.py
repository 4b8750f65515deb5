"""A damaged catalog revision comes back from the ledger when a process starts.

What always holds: a damaged revision is put back from the ledger, byte for byte what was applied, or refused;
no other revision serves in its place. Only the cheap questions are asked here; `doctor` looks at everything.
"""

from __future__ import annotations

from contextlib import closing

import structlog

from offer_optimizer.core.errors import DamagedFile, OfferOptimizerError
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.codec import RecordKind, StoredCatalog
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
