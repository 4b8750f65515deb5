"""Segments that are drained and deleted while a backup runs are not drained a second time from the copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from offer_optimizer.store import backup
from offer_optimizer.store.backup import back_up
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.sqlite import transaction

BOOT = "01234567-89ab-cdef-0123-456789abcdef"


class Drained:
    """A data directory with one control segment of a dead writer, and what a learner does to it."""

    def __init__(self, path: Path) -> None:
        self.directory = DataDirectory(path)
        self.directory.prepare(Files())
        for file in (self.directory.secret_path, self.directory.salts_path):
            file.write_bytes(b"0")
        writer = SegmentWriter(Files(), self.directory.segments, "control", BOOT, "0" * 15 + "1")
        self.end = writer.append(b"roll back")
        writer.close()
        (self.name,) = (file.name for file in self.directory.segments.iterdir())
        self.ledger = Ledger.open_for_writing(self.directory.ledger_path, bytes)

    def drain(self) -> None:
        """Take it into the ledger."""
        with transaction(self.ledger.connection):
            self.ledger.set_segment_offset(self.name, self.end)

    def remove(self) -> None:
        """Delete it, and forget its offset, as Drainer does."""
        (self.directory.segments / self.name).unlink()
        with transaction(self.ledger.connection):
            self.ledger.forget_segment(self.name)

    def copy(self, at: str = "") -> tuple[bool, int | None]:
        """Back up, and remove the segment when a part begins; return whether the copy has it, and how far."""

        def hear(part: str) -> None:
            if part == at:
                self.drain()
                self.remove()

        target = DataDirectory(self.directory.path.with_name("copy"))
        back_up(Files(), self.directory, target.path, hear)
        with closing(Ledger.open_for_reading(target.ledger_path).connection) as connection:
            offset = Ledger(connection).segment_offsets().get(self.name)
        return (target.segments / self.name).exists(), offset


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Drained]:
    found = Drained(tmp_path / "data")
    yield found
    found.ledger.connection.close()


def test_one_that_went_before_the_ledger_is_copied_is_left_out(source: Drained) -> None:
    """Its rows are in the copy, which knows no offset of it: it would be drained from its beginning."""
    assert source.copy("ledger") == (False, None)


def test_one_that_goes_behind_the_ledger_is_copied(source: Drained) -> None:
    """The ledger was copied before its rows came."""
    assert source.copy("segments") == (True, None)


def test_one_that_is_drained_and_stays_is_copied_with_its_offset(source: Drained) -> None:
    source.drain()
    assert source.copy() == (True, source.end)


def test_one_that_goes_while_the_ledger_is_copied_is_there_once(
    source: Drained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its rows were copied can't be told: the ledger is copied again."""
    copy, count = backup._copy_ledger, 0

    def copied(ledger: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == 1:
            source.drain()
            source.remove()
        copy(ledger, target)

    monkeypatch.setattr(backup, "_copy_ledger", copied)
    assert source.copy() == (False, None)
    assert count == 2
