"""Retention, the learner's part: note what was moved to the archive, and take it out of the ledger.

A base snapshot that is newer than the last Retention record waits to be noted. From its record on the fold
knows no decision that the base has closed; the rows go in small transactions, between rounds. A rollback,
quarantine or promotion that came while the base was made may ask for history that it no longer tells apart:
then the retention is given up, and tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import structlog

from offer_optimizer.core.control import Retention
from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.learn.archive import cutoff_us, remove_archived, what_asks_for, what_is_missing
from offer_optimizer.learn.base_snapshot import base_in_force, base_model
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.trainer import Model
from offer_optimizer.store.base_file import BaseFile, BaseStore
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.dropping import Dropper
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import NamedBase, base_named, newest_retention
from offer_optimizer.store.sqlite import transaction

log = structlog.get_logger(__name__)

LOOK_EVERY_US: Final = 2_000_000
RETRY_US: Final = 3_600_000_000
"""How long after a failure it is tried again."""


class Preparer(Protocol):
    """Makes archive and base beside the learner."""

    def start(self, keep_days: int) -> None:
        """Begin; call it only when none is running."""
        ...

    def poll(self) -> int | None:
        """Return the exit status once, when it has ended: 0 is success. None while it runs or never began."""
        ...

    def is_running(self) -> bool:
        """Return whether one is at work."""
        ...


class LedgerRetirer:
    """Implements loop.Retirer. `keep_days` None: nothing is prepared, but what waits is done."""

    def __init__(
        self,
        files: Files,
        directory: DataDirectory,
        ledger: Ledger,
        clock: Callable[[], int],
        preparer: Preparer | None = None,
        keep_days: int | None = None,
    ) -> None:
        self._files = files
        self._directory = directory
        self._ledger = ledger
        self._clock = clock
        self._preparer = preparer
        self._keep_days = keep_days
        self._bases = BaseStore(files, directory.bases)
        self._fold: Fold | None = None
        self._base: BaseFile | None = None
        self._named: NamedBase | None = None
        self._known = 0
        self._dropper: Dropper | None = None
        self._tried_us = 0
        self._next_try_us = 0
        self._next_look_us = 0

    def begin(self, fold: Fold) -> None:
        """See loop.Retirer. A damaged base stops retention and rebuilds, never learning."""
        self._fold = fold
        retention = newest_retention(self._ledger)
        self._known = retention.position if retention is not None else 0
        named = base_named(self._ledger)
        if self._base is None or named != self._named:
            self._named, self._base = named, self._checked()
        self._dropper = self._begun_dropper()

    def _checked(self) -> BaseFile | None:
        try:
            return base_in_force(self._ledger, self._bases)
        except DamagedFile as error:
            effect = "learning goes on; nothing is dropped"
            log.error("base_snapshot_damaged", error=str(error), effect=effect)
            return None

    def model(self, epoch: Epoch) -> Model | None:
        """See loop.Retirer."""
        return base_model(self._base, epoch) if self._base is not None else None

    def step(self) -> bool:
        """See loop.Retirer. Raises sqlite3.Error, StorageUnavailable: then begin again."""
        if self._dropper is not None:
            return self._drop(self._dropper)
        now_us = self._clock()
        if 0 <= self._next_look_us - now_us <= LOOK_EVERY_US:
            return False
        self._next_look_us = now_us + LOOK_EVERY_US
        self._see_to_preparing(now_us)
        return self._take_over()

    def finish(self) -> bool:
        """Do all that waits; return whether there was anything."""
        found = self._dropper is not None or self._take_over()
        while self._dropper is not None:
            self._drop(self._dropper)
        return found

    def _see_to_preparing(self, now_us: int) -> None:
        if self._preparer is None or self._keep_days is None or self._fold is None:
            return
        status = self._preparer.poll()
        if status is not None and status != 0:
            log.error("retention_failed", effect="nothing was dropped; tried again in an hour")
            self._tried_us, self._next_try_us = 0, now_us + RETRY_US
        due_us = cutoff_us(self._fold.time_us, self._keep_days)
        if due_us > self._tried_us and now_us >= self._next_try_us and not self._preparer.is_running():
            self._tried_us = due_us
            self._preparer.start(self._keep_days)

    def _take_over(self) -> bool:
        """Note a base that waits; return whether there is one now to drop by."""
        positions = self._bases.positions()
        if self._fold is None or not positions or positions[-1] <= self._known:
            return False
        if self._files.is_locked(self._directory.retention_lock_path):
            return False  # it is still being compared
        position = positions[-1]
        try:
            base = self._bases.open(position)
            checksum, why = base.sha256(), self._why_not(base)
        except DamagedFile as error:
            return self._give_up(position, str(error))
        if why:
            return self._give_up(position, why)
        with transaction(self._ledger.connection):
            self._fold.apply(self._ledger.append_body(Retention(position, checksum)))
            self._fold.save_state()
        self._base, self._known, self._named = base, position, NamedBase(position, checksum)
        self._dropper = self._begun_dropper()
        log.info("retention_noted", position=position, archived=base.header.archived_count)
        return True

    def _give_up(self, position: int, why: str) -> bool:
        log.error("retention_given_up", position=position, why=why, effect="nothing was dropped")
        self._bases.remove(position)
        remove_archived(self._files, self._directory, position)
        return False

    def _why_not(self, base: BaseFile) -> str:
        """Return why nothing may be dropped by a base that waits; empty where it may."""
        header = base.header
        return what_is_missing(self._files, self._directory, base) or what_asks_for(
            self._ledger, header.ledger_position, header.ledger_time_us
        )

    def _begun_dropper(self) -> Dropper | None:
        if self._base is None or not self._base.header.ledger_position:
            return None  # nothing was moved: only models stand in it
        dropper = Dropper(self._ledger, self._base)
        return None if dropper.is_done() else dropper

    def _drop(self, dropper: Dropper) -> bool:
        if dropper.step():
            return True
        self._dropper = None
        if self._base is not None:
            self._bases.keep_only(self._base.path, self._base.header.ledger_position)
        log.info("retention_done", position=self._base.header.ledger_position if self._base else 0)
        return False
