"""Catalog revisions on disk, and the one way to add one.

Under a lock: compare the expected revision, validate, write the revision file (synced, renamed), append the
change to a control segment (synced). A revision file without a control record is legal (a crash between the
two): the learner takes the file when a decision refers to it.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import structlog

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.catalog_diff import diff_catalogs
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.catalog_revision import CatalogChange, CatalogRevision
from offer_optimizer.core.errors import NotFound, RevisionConflict, StorageUnavailable
from offer_optimizer.store.catalog_file import (
    StoredCatalog,
    encode_revision_file,
    newest_revision,
    read_revision_file,
    revision_name,
)
from offer_optimizer.store.codec import encode_control
from offer_optimizer.store.files import Files

log = structlog.get_logger(__name__)

CheckPolicy = Callable[[str, dict[str, Any]], None]


class ControlLog(Protocol):
    """Where control records go."""

    def append_durable(self, payload: bytes) -> None:
        """Append one record and sync. Raises StorageUnavailable."""
        ...


class CatalogStore:
    """Reads and adds catalog revisions. Implements decide.ports.CatalogDesk."""

    def __init__(
        self,
        files: Files,
        directory: Path,
        lock_path: Path,
        control: ControlLog,
        clock: Callable[[], int],
        check_policy: CheckPolicy,
    ) -> None:
        self._files = files
        self._directory = directory
        self._lock_path = lock_path
        self._control = control
        self._clock = clock
        self._check_policy = check_policy
        self._current: CatalogRevision | None = None
        self._mutex = threading.Lock()

    def newest_number(self) -> int:
        """Return the newest revision on disk, 0 when there is none."""
        return newest_revision(self._files, self._directory)

    def current(self) -> CatalogRevision:
        """Return the revision in force as of the last refresh. Raises NotFound when there is none."""
        return self._current or self.refresh()

    def refresh(self) -> CatalogRevision:
        """Look for a newer revision on disk and return the one in force. Raises NotFound."""
        newest = self.newest_number()
        with self._mutex:
            if self._current is None or self._current.revision < newest:
                self._current = self.read(newest)
            return self._current

    def read(self, revision: int) -> CatalogRevision:
        """Return any revision. Raises NotFound, DamagedFile."""
        stored = self.read_stored(revision)
        catalog = Catalog.model_validate_json(stored.canonical)
        return CatalogRevision(stored.revision, stored.document, stored.apply_time_us, catalog)

    def read_stored(self, revision: int) -> StoredCatalog:
        """Return a revision as it is stored. Raises NotFound, DamagedFile."""
        try:
            return read_revision_file(self._files, self._path(revision))
        except NotFound:
            raise NotFound(
                f"revision: {revision} does not exist, {self.newest_number()} is in force"
            ) from None

    def restore(self, stored: StoredCatalog) -> None:
        """Write a revision again whose file is damaged, as the ledger has it. Raises StorageUnavailable."""
        self._files.replace(self._path(stored.revision), encode_revision_file(stored), "catalog.restore")

    def diff(self, document: str) -> tuple[str, ...]:
        """Return a line per difference to the revision in force. Raises InvalidCatalog."""
        newest = self.newest_number()
        old = self.read(newest).catalog if newest else None
        return diff_catalogs(old, parse_catalog(document, self._check_policy))

    def apply(self, document: str, expected_revision: int, *, validate_only: bool = False) -> CatalogChange:
        """Validate a document and put it in force.

        Raises InvalidCatalog, RevisionConflict, StorageUnavailable. A document that changes nothing makes
        no revision.
        """
        catalog = parse_catalog(document, self._check_policy)
        with self._locked():
            newest = self.newest_number()
            if newest != expected_revision:
                raise RevisionConflict(expected_revision, newest)
            old = self.read_stored(newest) if newest else None
            old_catalog = Catalog.model_validate_json(old.canonical) if old else None
            changes = diff_catalogs(old_catalog, catalog)
            unchanged = old is not None and old.document == document
            if validate_only or unchanged:
                return CatalogChange(newest, changes)
            stored = StoredCatalog(newest + 1, self._clock(), document, catalog.model_dump_json())
            path = self._path(stored.revision)
            self._files.replace(path, encode_revision_file(stored), "catalog.revision")
            try:
                self._control.append_durable(encode_control(stored))
            except StorageUnavailable as error:
                # The revision file is durable and in force; the learner will take it from there.
                log.warning("control_record_missing", revision=stored.revision, error=str(error))
        self.refresh()
        return CatalogChange(stored.revision, changes)

    def _path(self, revision: int) -> Path:
        return self._directory / revision_name(revision)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
