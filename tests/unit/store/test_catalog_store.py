"""Catalog revisions: added one at a time, whole, durable; the file alone puts a revision in force."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from offer_optimizer.core.errors import (
    DamagedFile,
    InvalidCatalog,
    InvalidInput,
    NotFound,
    RevisionConflict,
    StorageUnavailable,
)
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.codec import decode_control
from offer_optimizer.store.files import Moment
from offer_optimizer.store.memory_files import MemoryFiles

DOCUMENT = """
version: 1
offers:
  - {id: msg, type: MESSAGE}
  - {id: none, type: NOTHING}
placements:
  - {id: home, offers: [msg, none]}
"""
OTHER = DOCUMENT.replace("id: home", "id: cart")


class Control:
    """Keeps control records; `fails` makes it refuse them."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.fails = False

    def append_durable(self, payload: bytes) -> None:
        """See ControlLog."""
        if self.fails:
            raise StorageUnavailable("made to fail")
        self.payloads.append(payload)


def check_policy(name: str, options: dict[str, Any]) -> None:
    if options:
        raise InvalidInput("policy.options", f"{name} takes none")


class Bench:
    """A store on a disk in memory, and what it said."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.files = MemoryFiles(self._on_step, directories=("/data",))
        self.control = Control()
        self.store = self.another()

    def another(self) -> CatalogStore:
        """Open the same directory as another process does; the lock is the null device's."""
        return CatalogStore(
            self.files, Path("/data"), Path(os.devnull), self.control, lambda: 77, check_policy
        )

    def _on_step(self, step: str, moment: Moment) -> None:
        if step in self.failing and moment == "before":
            raise OSError(errno.EIO, "made to fail")


def test_a_catalog_applied_is_in_force_everywhere_and_survives_a_power_cut() -> None:
    bench = Bench()
    assert bench.store.apply(DOCUMENT, 0).revision == 1
    bench.files.disk.power_cut()
    for store in (bench.store, bench.another()):
        found = store.current()
        assert (found.revision, found.document, found.apply_time_us) == (1, DOCUMENT, 77)
    (payload,) = bench.control.payloads
    assert decode_control(payload) == bench.store.read_stored(1)


def test_others_see_a_new_revision_at_their_next_refresh() -> None:
    bench = Bench()
    bench.store.apply(DOCUMENT, 0)
    other = bench.another()
    assert other.current().revision == 1
    bench.store.apply(OTHER, 1)
    assert other.current().revision == 1
    assert other.refresh().revision == other.current().revision == 2
    assert other.read(1).document == DOCUMENT


@pytest.mark.parametrize("expected", [0, 2, -1])
def test_a_revision_conflict_changes_nothing(expected: int) -> None:
    bench = Bench()
    bench.store.apply(DOCUMENT, 0)
    with pytest.raises(RevisionConflict) as caught:
        bench.store.apply(OTHER, expected)
    assert (caught.value.expected, caught.value.found) == (expected, 1)
    assert bench.store.refresh().document == DOCUMENT
    assert len(bench.control.payloads) == 1


def test_the_same_document_again_makes_no_revision() -> None:
    bench = Bench()
    bench.store.apply(DOCUMENT, 0)
    change = bench.store.apply(DOCUMENT, 1)
    assert (change.revision, change.changes) == (1, ())
    assert len(bench.control.payloads) == 1


def test_validating_only_changes_nothing_but_tells_the_differences() -> None:
    bench = Bench()
    bench.store.apply(DOCUMENT, 0)
    change = bench.store.apply(OTHER, 1, validate_only=True)
    assert change.revision == 1
    assert change.changes == bench.store.diff(OTHER) != ()
    assert bench.store.newest_number() == 1


def test_an_invalid_document_is_refused_whole() -> None:
    bench = Bench()
    for document in ("", "version: 1", DOCUMENT.replace("none]", "absent]")):
        with pytest.raises(InvalidCatalog):
            bench.store.apply(document, 0)
    with pytest.raises(NotFound):
        bench.store.current()


def test_a_revision_whose_control_record_failed_is_in_force() -> None:
    """The learner takes the file when a decision names it."""
    bench = Bench()
    bench.control.fails = True
    assert bench.store.apply(DOCUMENT, 0).revision == 1
    assert bench.another().current().revision == 1


@pytest.mark.parametrize(
    "step", ["catalog.revision.write", "catalog.revision.sync", "catalog.revision.rename"]
)
def test_a_disk_that_fails_leaves_the_old_revision_and_no_control_record(step: str) -> None:
    bench = Bench()
    bench.store.apply(DOCUMENT, 0)
    bench.failing.add(step)
    with pytest.raises(StorageUnavailable):
        bench.store.apply(OTHER, 1)
    assert bench.store.refresh().document == DOCUMENT
    assert len(bench.control.payloads) == 1
    bench.failing.clear()
    assert bench.store.apply(OTHER, 1).revision == 2


def test_a_damaged_revision_is_refused_by_name() -> None:
    bench = Bench()
    bench.store.apply(DOCUMENT, 0)
    (name,) = bench.files.list("/data")
    content = bytearray(bench.files.read(f"/data/{name}"))
    for position in (0, 5, len(content) // 2, len(content) - 1):
        damaged = bytes(content[:position]) + bytes([content[position] ^ 1]) + bytes(content[position + 1 :])
        bench.files.replace(f"/data/{name}", damaged, "test")
        with pytest.raises(DamagedFile, match=name):
            bench.store.read(1)
    bench.files.replace(f"/data/{name}", b"", "test")
    with pytest.raises(DamagedFile):
        bench.store.read(1)


def test_an_unknown_revision_is_not_found() -> None:
    bench = Bench()
    bench.store.apply(DOCUMENT, 0)
    with pytest.raises(NotFound, match="revision: 9 does not exist, 1 is in force"):
        bench.store.read(9)
