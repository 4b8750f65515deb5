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


@pytest.mark.parametrize(
    ("kept_before", "broken_step"),
    [(0, "audit.sync_dir"), (0, "audit.append"), (0, "audit.sync"), (1, "audit.append"), (1, "audit.sync")],
)
def test_behind_what_the_disk_refused_another_file_begins(kept_before: int, broken_step: str) -> None:
    """What was in the file may not last, and a second sync would wrongly succeed."""
    broken: list[str] = []

    def fail(step: str, moment: Moment) -> None:
        if step in broken and moment == "before":
            raise OSError(5, "broken")

    files = MemoryFiles(fail)
    trail = AuditTrail(files, DIRECTORY, "a", lambda: 7)  # a clock that stands gives no name twice
    for _ in range(kept_before):
        trail.note("ops", "p", "c", "kept")
    broken.append(broken_step)
    with pytest.raises(StorageUnavailable):
        trail.note("ops", "p", "c", "lost")
    broken.clear()
    trail.note("ops", "p", "c", "asked")
    found = [entry.verdict for entry in read_entries(files, DIRECTORY)]
    assert [verdict for verdict in found if verdict != "lost"] == ["kept"] * kept_before + ["asked"]
    assert len(files.list(DIRECTORY)) == 2
    assert not files.is_locked(DIRECTORY / files.list(DIRECTORY)[0])
    files.disk.power_cut()
    durable = [entry.verdict for entry in read_entries(files, DIRECTORY)]
    assert [verdict for verdict in durable if verdict != "lost"] == ["kept"] * kept_before + ["asked"]


def test_a_line_that_was_torn_takes_no_other_with_it() -> None:
    broken: list[str] = []

    def fail(step: str, moment: Moment) -> None:
        if step in broken and moment == "before":
            raise OSError(5, "broken")

    files, times = MemoryFiles(fail), iter(range(10, 20))
    trail = AuditTrail(files, DIRECTORY, "a", lambda: next(times))
    trail.note("ops", "p", "c", "first")
    # The disk takes twenty bytes more, and doesn't let them be cut off again.
    files.disk.capacity_bytes = files.size(DIRECTORY / files.list(DIRECTORY)[0]) + 20
    broken.append("audit.append.cut")
    with pytest.raises(StorageUnavailable):
        trail.note("ops", "p", "c", "torn")
    files.disk.capacity_bytes = None
    for verdict in ("asked", "done"):
        trail.note("ops", "p", "c", verdict)
    assert [entry.verdict for entry in read_entries(files, DIRECTORY)] == ["first", "asked", "done"]


def test_what_can_not_be_noted_is_said() -> None:
    def fail(step: str, moment: Moment) -> None:
        if step == "audit.sync" and moment == "before":
            raise OSError(28, "no space")

    with pytest.raises(StorageUnavailable):
        AuditTrail(MemoryFiles(fail), DIRECTORY, "a", lambda: 1).note("ops", "p", "c", "asked")
