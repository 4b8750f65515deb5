"""What of history learning can still reach: what retention moved to the archive stays learned as it is.

Read beside the learner, who writes it: a connection lives for one question.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.learn.base_snapshot import base_cursor
from offer_optimizer.learn.lineage import START, Cursor
from offer_optimizer.store.base_file import BaseStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import Moved, base_named, what_was_moved


@dataclass(frozen=True, slots=True)
class LedgerReach:
    """Implements desk.Reach over a data directory."""

    files: Files
    directory: DataDirectory

    def moved(self) -> Moved | None:
        """See desk.Reach."""
        with self._reading() as ledger:
            return None if ledger is None else what_was_moved(ledger)

    def begins_at(self, policy_epoch: bytes) -> Cursor:
        """See desk.Reach. Reads the models of a base alone: to sum up the file would take seconds."""
        with self._reading() as ledger:
            named = None if ledger is None else base_named(ledger)
        if named is None:
            return START
        base = BaseStore(self.files, self.directory.bases).open(named.position, named.rewritten_at)
        return base_cursor(base, policy_epoch) or START

    @contextmanager
    def _reading(self) -> Iterator[Ledger | None]:
        path = self.directory.ledger_path
        if not path.exists():
            yield None
            return
        try:
            ledger = Ledger.open_for_reading(path)
            with closing(ledger.connection):
                yield ledger
        except sqlite3.Error as error:
            raise StorageUnavailable(f"{path}: {error}") from error
