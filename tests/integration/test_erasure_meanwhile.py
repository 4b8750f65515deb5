"""Erasure beside others who read the ledger, move days away or back up, and beside an earlier erasure."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from offer_optimizer.core.redaction import Redaction
from offer_optimizer.learn.base_snapshot import model_row
from offer_optimizer.learn.erase import VisitorEraser
from offer_optimizer.store.base_file import Row
from offer_optimizer.store.erasing import keys_of
from offer_optimizer.store.sqlite import open_reader
from tests.integration.erasing_days import ErasingDays, digest_of


class SlowArchivist:
    """A child that goes on until `status` is set."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.start_count = 0

    def start(self, _redaction: Redaction) -> None:
        """See Archivist."""
        self.start_count += 1

    def poll(self) -> int | None:
        """See Archivist."""
        return self.status

    def decisions(self) -> dict[bytes, int]:
        """See Archivist."""
        return {}


@pytest.fixture
def days(tmp_path: Path) -> Iterator[ErasingDays]:
    found = ErasingDays(tmp_path / "days")
    yield found
    found.close()


@contextmanager
def reader(days: ErasingDays) -> Iterator[sqlite3.Connection]:
    """Read the ledger for long, as `doctor` or a report does."""
    with closing(open_reader(days.directory.ledger_path)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT COUNT(*) FROM record").fetchone()
        yield connection


def models(days: ErasingDays) -> list[Row]:
    """Return the models of now."""
    return [model_row(model) for model in days.models.values()]


def steps(days: ErasingDays, eraser: VisitorEraser, count: int) -> list[bool]:
    """Do some rounds, each from what is committed."""
    done = []
    for _ in range(count):
        done.append(eraser.step(lambda: models(days)))
        if done[-1]:
            days.world.reopen()
            eraser.begin(days.world.fold)
    return done


def is_known(days: ErasingDays, visitor: str) -> bool:
    """Return whether the ledger knows a visitor."""
    return bool(keys_of(days.world.ledger, digest_of(visitor)))


def is_held(days: ErasingDays) -> bool:
    """Return whether backups and retention have to wait."""
    return days.files.is_locked(days.directory.retention_lock_path)


def test_a_long_reader_holds_up_no_round_of_the_learner(days: ErasingDays) -> None:
    """The log can't be emptied beside it: that is tried again, and nobody waits for it."""
    days.live_hours(2, "v3")
    with reader(days):
        days.ask("v3")
        eraser = days.eraser()
        began_s = time.monotonic()
        steps(days, eraser, 5)
        assert time.monotonic() - began_s < 8.0  # SQLite would wait ten seconds in each round
        assert not is_known(days, "v3")
        assert is_held(days)
    steps(days, eraser, 1)
    assert not is_held(days)


def test_a_base_that_waits_goes_first_behind_an_earlier_erasure_too(days: ErasingDays) -> None:
    """It was made between two lives of the learner, before the first erasure was cleaned."""
    days.live(3)
    days.ask("v4")
    first = days.eraser()
    with reader(days):
        steps(days, first, 3)
        first.close()
        assert days.prepare() is not None
        days.ask("v3")
        second = days.eraser()
        assert not any(steps(days, second, 6))
        assert is_known(days, "v3")
        days.retire()
        second.begin(days.world.fold)
        assert any(steps(days, second, 6))
    assert not is_known(days, "v3")


def test_what_waits_for_somebody_to_mend_the_archive_lets_others_go_on(days: ErasingDays) -> None:
    days.live(3)
    days.prepare()
    days.retire()
    days.ask("v3")
    eraser, archivist = days.eraser(), SlowArchivist()
    eraser._archivist = archivist
    steps(days, eraser, 2)
    assert is_held(days)
    archivist.status = 1
    steps(days, eraser, 2)
    assert archivist.start_count == 1
    assert not is_held(days)


def test_a_model_in_training_lets_others_go_on(days: ErasingDays) -> None:
    """It may take hours, and a backup has the wish in it."""
    days.live_hours(2, "v3")
    days.ask("v3")
    eraser = days.eraser()
    for _ in range(4):
        assert not eraser.step(lambda: None)
        assert not is_held(days)
    assert any(steps(days, eraser, 2))


def test_the_end_of_one_erasure_lets_nobody_in_while_the_next_writes_the_archive(
    days: ErasingDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that were archived in between would hold the visitor."""
    days.live(3)
    days.prepare()
    days.retire()
    with reader(days):
        days.ask("v4")
        eraser = days.eraser()
        steps(days, eraser, 4)
        assert not is_known(days, "v4")
        days.ask("v3")
        archivist = SlowArchivist()
        eraser._archivist = archivist
        steps(days, eraser, 4)
    seen: list[int] = []
    monkeypatch.setattr(eraser._files, "close", seen.append)
    steps(days, eraser, 2)
    assert archivist.start_count == 1
    assert seen == []
