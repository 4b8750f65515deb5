"""The audit log keeps every entry of every process, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.store.audit import AuditTrail, read_entries
from offer_optimizer.store.files import Moment
from offer_optimizer.store.memory_files import MemoryFiles

DIRECTORY = Path("/audit")


def test_entries_of_two_processes_come_back_in_order() -> None:
    files, times = MemoryFiles(), iter(range(10, 20))
    first, second = (AuditTrail(files, DIRECTORY, name, lambda: next(times)) for name in ("a", "b"))
    first.note("ops", "peer", "ApplyCatalog", "asked")
    second.note("ann", "peer", "DisableOffer", "asked")
    first.note("ops", "peer", "ApplyCatalog", "done")
    assert [(entry.time_us, entry.actor, entry.verdict) for entry in read_entries(files, DIRECTORY)] == [
        (10, "ops", "asked"),
        (11, "ann", "asked"),
        (12, "ops", "done"),
    ]


def test_nothing_was_changed_yet_reads_as_nothing() -> None:
    assert read_entries(MemoryFiles(), DIRECTORY) == []


def test_a_file_whose_name_may_not_last_is_begun_anew() -> None:
    broken, times = [True], iter(range(10, 20))

    def fail(step: str, moment: Moment) -> None:
        if step == "audit.sync_dir" and moment == "before" and broken:
            raise OSError(5, "broken")

    files = MemoryFiles(fail)
    trail = AuditTrail(files, DIRECTORY, "a", lambda: next(times))
    with pytest.raises(StorageUnavailable):
        trail.note("ops", "p", "c", "lost")
    broken.clear()
    trail.note("ops", "p", "c", "asked")
    assert [entry.verdict for entry in read_entries(files, DIRECTORY)] == ["asked"]
    assert len(files.list(DIRECTORY)) == 2


def test_what_can_not_be_noted_is_said() -> None:
    def fail(step: str, moment: Moment) -> None:
        if step == "audit.sync" and moment == "before":
            raise OSError(28, "no space")

    with pytest.raises(StorageUnavailable):
        AuditTrail(MemoryFiles(fail), DIRECTORY, "a", lambda: 1).note("ops", "p", "c", "asked")
