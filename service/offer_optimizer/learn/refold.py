"""Fold again what the ledger has and the tables have not: behind a migration, which drops what is derived.

Calls the fold that live learning calls. A crash between two pieces goes on where the last one was committed.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

import structlog

from offer_optimizer.learn.fold import Fold
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction

log = structlog.get_logger(__name__)

PIECE: Final = 5000
"""Records in one transaction."""


def refold(ledger: Ledger, fold: Fold) -> int:
    """Fold up to the ledger's end and return how many records that were. Raises sqlite3.Error."""
    begin, last = fold.position, ledger.last_position()
    if begin >= last:
        return 0
    log.info("ledger_folded_again", after=begin, up_to=last)
    while fold.position < last:
        with transaction(ledger.connection):
            for record in islice(ledger.records(fold.position, last), PIECE):
                fold.apply(record)
            fold.save_state()
    return last - begin
