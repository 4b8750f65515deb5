"""Erasure: a visitor out of every file of a data directory, beside a running service.

    asked          a control record; the digest waits in the ledger's database
    drained once   all that was recorded before it is in the ledger, so nothing of it can come behind
    archive        its Parquet files are written again, by a child process
    base           the base snapshot is written again, with the models of now, under a name of its own
    ledger         one transaction: records, tables and indexes are redacted, the map forgets the visitor, an
                   ERASURE record names the new base, the request goes; only now the erasure counts
                   all who are ready share it, since a base costs what the models do, whoever goes
    cleaned        the older base, the hot cache, what was drained of segments and the database's log go

What always holds: a crash between any two steps leaves a request, or the note that something is to be
cleaned, and whoever starts next goes on from there; each step may be done twice. Nothing here is logged that
tells who it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol

import structlog

from offer_optimizer.core.control import Erasure
from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.learn.archive import archived_files
from offer_optimizer.learn.base_snapshot import base_in_force
from offer_optimizer.learn.erase_base import Gone, write_without
from offer_optimizer.learn.fold import Fold
from offer_optimizer.store.backup import PINS
from offer_optimizer.store.base_file import BaseStore, Row
from offer_optimizer.store.erasing import LedgerEraser, erase_shared, keys_of, shares_of
from offer_optimizer.store.erasure_requests import ErasureRequest, ErasureRequests
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import base_named, newest_retention
from offer_optimizer.store.outcomes import merged_keys
from offer_optimizer.store.segment_blank import blank
from offer_optimizer.store.segment_reader import list_segments
from offer_optimizer.store.sqlite import checkpoint, transaction

log = structlog.get_logger(__name__)

RETRY_US: Final = 60_000_000
"""How long after damage, or a failure of the archive's child, it is tried again."""
AT_ONCE: Final = 100
"""How many visitors go in one transaction: deciders' records wait meanwhile."""
ModelRows = Callable[[], list[Row] | None]
"""Returns the models of now as rows of a base snapshot; None while one of them is being trained anew."""


class Archivist(Protocol):
    """Takes a visitor out of the archive, beside the learner."""

    def start(self, redaction: Redaction) -> None:
        """Begin; call it only when none is running."""
        ...

    def poll(self) -> int | None:
        """Return the exit status once, when it has ended: 0 is success. None while it runs or never began."""
        ...

    def decisions(self) -> Mapping[bytes, int]:
        """Return the visitor's decisions in the archive, ids with ledger positions, once it has succeeded."""
        ...


class EmptiedCache(Protocol):
    """The hot cache, as far as erasure goes."""

    def doubt(self) -> None:
        """Have it thrown away."""
        ...

    def stage(self) -> object | None:
        """Return how far it is filled; None where it is to be thrown away."""
        ...


class VisitorEraser:
    """Implements loop.Eraser. `oldest_unwritten` returns the oldest stamp of a record under way, if any."""

    def __init__(
        self,
        files: Files,
        directory: DataDirectory,
        ledger: Ledger,
        clock: Callable[[], int],
        oldest_unwritten: Callable[[], int | None],
        archivist: Archivist,
        cache: EmptiedCache,
    ) -> None:
        self._files = files
        self._directory = directory
        self._ledger = ledger
        self._clock = clock
        self._oldest_unwritten = oldest_unwritten
        self._archivist = archivist
        self._cache = cache
        self._bases = BaseStore(files, directory.bases)
        self._requests = ErasureRequests(ledger.connection)
        self._fold: Fold | None = None
        self._drained: set[ErasureRequest] = set()
        self._lock: int | None = None
        self._archiving: Redaction | None = None
        self._archived: Redaction | None = None
        self._is_doubted = False
        self._is_blanked = False
        self._blanked: dict[str, int] = {}
        self._next_try_us = 0

    def begin(self, fold: Fold) -> None:
        """See loop.Eraser."""
        self._fold = fold
        self._is_doubted = self._is_blanked = False

    def step(self, models: ModelRows) -> bool:
        """See loop.Eraser. Raises sqlite3.Error, StorageUnavailable: then begin again."""
        if self._requests.is_unclean():
            self._clean()
        waiting = self._requests.waiting()
        ready = [request for request in waiting if request in self._drained]
        if not ready:
            # Whatever is drained from here on was looked for behind these requests.
            if not self._is_under_way(waiting):
                self._drained = set(waiting)
            return False
        if 0 <= self._next_try_us - self._clock() <= RETRY_US:
            return False
        try:
            return self._go_on(ready, models)
        except DamagedFile as error:
            self._hold_up(str(error))
            # Records that were folded and then rolled back leave the fold ahead: it has to be read again.
            return self._fold is not None and self._fold.position > self._ledger.last_position()

    def _hold_up(self, why: str) -> None:
        self._next_try_us = self._clock() + RETRY_US
        self._let_go()  # a backup need not wait for what somebody has to mend
        log.error("erasure_held_up", why=why, effect="tried again in a minute")

    def _is_under_way(self, waiting: list[ErasureRequest]) -> bool:
        """Return whether a record that was stamped before the last of them may still be written."""
        oldest_us = self._oldest_unwritten()
        newest_us = max((request.audit.time_us for request in waiting), default=0)
        return oldest_us is not None and oldest_us <= newest_us

    def _go_on(self, ready: list[ErasureRequest], models: ModelRows) -> bool:
        """Take the next step of erasures; return whether a transaction was committed."""
        if not self._holds_lock():
            return False
        # Over an archive each takes a run of the child of its own.
        together = ready[: 1 if any(archived_files(self._files, self._directory)) else AT_ONCE]
        # Read once for all: each reads a kind of record whole.
        shares, merged = shares_of(self._ledger), merged_keys(self._ledger)
        redactions = [self._redaction(request, shares, merged) for request in together]
        known = [redaction for redaction in redactions if redaction.keys]
        if not all(self._is_archive_done(redaction) for redaction in known):
            return False
        rows = models() if known else []
        if rows is None:
            if self._archived is None:
                self._let_go()  # training takes long; with an archive it would have to be written again
            return False
        self._commit(together, shares, merged, rows)
        self._archived = None
        return True

    def _redaction(
        self, request: ErasureRequest, shares: tuple[float, ...], merged: Mapping[int, int]
    ) -> Redaction:
        return Redaction(request.secret, keys_of(self._ledger, request.digest, merged), shares)

    def _holds_lock(self) -> bool:
        """Keep retention and backups away: what they make meanwhile would hold the visitor."""
        if self._archiving is None:
            retention = newest_retention(self._ledger)
            known = retention.position if retention is not None else 0
            if self._bases.positions()[-1:] > [known]:
                self.close()
                return False  # one waits to be noted; that goes first, and asks for the lock
        return self._takes_lock()

    def _takes_lock(self) -> bool:
        if self._lock is None:
            self._lock = self._files.hold(self._directory.retention_lock_path, b"", "erase.lock")
        return self._lock is not None

    def _let_go(self) -> None:
        """Let others in, unless the archive is being written or something is to be cleaned."""
        if self._archiving is None and not self._requests.is_unclean():
            self.close()

    def close(self) -> None:
        """Let go of retention's lock, as the end of the process does."""
        self._archived = None
        if self._lock is not None:
            self._files.close(self._lock)
            self._lock = None

    def _is_archive_done(self, redaction: Redaction) -> bool:
        if self._archived == redaction or not any(archived_files(self._files, self._directory)):
            return True
        if self._archiving is None:
            self._archivist.start(redaction)
            self._archiving, self._archived = redaction, None  # what it found is forgotten
            return False
        status = self._archivist.poll()
        if status is None:
            return False
        # A merge may have brought more keys meanwhile: then it is done again with those.
        done, self._archiving = self._archiving, None
        if status == 0:
            self._archived = done
        else:
            self._hold_up("the archive could not be written again")
        return self._archived == redaction

    def _commit(
        self,
        requests: list[ErasureRequest],
        shares: tuple[float, ...],
        merged: Mapping[int, int],
        models: list[Row],
    ) -> None:
        fold, ledger = self._fold, self._ledger
        if fold is None:
            raise RuntimeError("erasure was not begun")
        with transaction(ledger.connection):
            gone = [self._redact(request, shares, merged) for request in requests]
            erase_shared(ledger, [visitor.redaction for visitor in gone])
            # Of whom nothing was there comes first: the last record names the base that is without all.
            gone.sort(key=lambda visitor: bool(visitor.redaction.keys))
            # Whatever may fail comes before the first record: the fold can't be rolled back.
            base = 0, b""
            if gone[-1].redaction.keys:
                position = ledger.last_position() + len(gone)
                in_force = base_in_force(ledger, self._bases)
                base = write_without(self._bases, in_force, position, gone, models, self._size_of)
            for visitor in gone:
                named = base if visitor is gone[-1] else (0, b"")
                body = Erasure(*named, len(visitor.decisions), visitor.audit)
                fold.apply(ledger.append_body(body))
            fold.save_state()
        self._drained.difference_update(requests)
        for visitor in gone:
            effect = "caches and logs of the database follow"
            log.info("visitor_erased", decisions=len(visitor.decisions), effect=effect)

    def _redact(self, request: ErasureRequest, shares: tuple[float, ...], merged: Mapping[int, int]) -> Gone:
        # Who was merged into one that went a moment ago has no keys any more: looked up only now. Merges of
        # others are what they were.
        redaction = self._redaction(request, shares, merged)
        archived = self._archivist.decisions() if self._archived == redaction else {}
        eraser = LedgerEraser(self._ledger, redaction)
        eraser.erase(request.digest, archived)
        self._requests.finish(request.digest)
        return Gone(eraser.redaction, eraser.decisions, request.audit)

    def _size_of(self, path: str) -> int:
        try:
            return self._files.size(self._directory.archive / path)
        except NotFound:
            return 0

    def _clean(self) -> None:
        """Take what was erased out of what only copies the ledger; not done is tried again."""
        if not self._takes_lock():
            return  # a backup reads segments that it has pinned
        shutil.rmtree(self._directory.path / PINS, ignore_errors=True)
        named = base_named(self._ledger)
        if named is not None and named.rewritten_at:
            kept = self._bases.path_of(named.position, named.rewritten_at)
            self._bases.keep_only(kept, named.position)
        if not self._is_doubted:
            self._cache.doubt()
            self._is_doubted = True
            return
        if not self._is_blanked:
            self._blank_segments()
            self._is_blanked = True
        if self._cache.stage() is not None and checkpoint(self._ledger.connection):
            with transaction(self._ledger.connection):
                self._requests.note_clean()
            if self._archiving is None:
                self.close()  # else what is archived meanwhile would hold the next visitor
            log.info("erasure_cleaned")

    def _blank_segments(self) -> None:
        offsets, blanked = self._ledger.segment_offsets(), self._blanked
        self._blanked = {}
        for segment in list_segments(self._files, self._directory.segments):
            name = str(segment.name)
            with suppress(NotFound):
                since = blanked.get(name, 0)
                self._blanked[name] = blank(self._files, segment.path, offsets.get(name, 0), since)
