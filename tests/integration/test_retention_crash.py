"""Retention dies at every step, or finds the disk full: nothing is lost, and the next try does all of it."""

from __future__ import annotations

import errno
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from offer_optimizer.core.control import Audit, Quarantine
from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.formats.parquet import ParquetLog
from offer_optimizer.learn.archive import archived_files
from offer_optimizer.learn.lineage import START
from offer_optimizer.learn.reach import LedgerReach
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.learn.restore import Restorer
from offer_optimizer.learn.retention import CannotRetire
from offer_optimizer.learn.retire import LedgerRetirer
from offer_optimizer.learn.trainer import BATCH, Trainer, initial_model
from offer_optimizer.store.base_file import BaseStore
from offer_optimizer.store.disk import OsDisk
from offer_optimizer.store.files import Files, Moment, OnStep
from offer_optimizer.store.outcomes import logged_decisions
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore
from tests.conftest import Size
from tests.integration.days import DAY_US, SLOW, Days
from tests.unit.learn.worlds import PLACEMENT


class Killed(BaseException):
    """The process is gone."""


class DyingDisk(OsDisk):
    """A disk on which nothing is tidied up once its process is dead; its handles are closed."""

    def __init__(self) -> None:
        self.is_dead = False
        self.handles: set[int] = set()

    def open(self, path: str, mode: int, *, must_be_new: bool) -> int:
        """See Disk."""
        fd = super().open(path, mode, must_be_new=must_be_new)
        self.handles.add(fd)
        return fd

    def close(self, fd: int) -> None:
        """See Disk."""
        self.handles.discard(fd)
        super().close(fd)

    def unlink(self, path: str) -> None:  # type: ignore[override]
        """See Disk."""
        if self.is_dead:
            raise OSError(errno.EIO, "dead")
        super().unlink(path)

    def end(self) -> None:
        """Close what the dead process had open."""
        for fd in list(self.handles):
            self.close(fd)


def dying_at(disk: DyingDisk, wanted: str, moment: Moment, number: int) -> Files:
    """Return files whose process dies at the given occurrence of a step."""
    seen = Counter[tuple[str, Moment]]()

    def on_step(step: str, at: Moment) -> None:
        if disk.is_dead:
            raise Killed
        seen[step, at] += 1
        if (step, at) == (wanted, moment) and seen[step, at] == number:
            disk.is_dead = True
            raise Killed

    return Files(on_step, disk)


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    found = Days(tmp_path / "data", per_hour=2)
    found.live(3)
    yield found
    found.close()


def archive_of(days: Days) -> list[LoggedDecision]:
    paths = [path for path, _ in archived_files(Files(), days.directory)]
    return [row for path in paths for row in ParquetLog.open(path).rows()]


def check_whole(days: Days, all_ids: set[bytes]) -> None:
    """Fail unless every decision is in the archive once, or in the ledger, and a rebuild agrees."""
    assert days.rebuilt() == []
    archived = Counter(row.decision.decision_id for row in archive_of(days))
    assert archived
    assert max(archived.values()) == 1
    rows = logged_decisions(days.world.ledger, 0, days.world.fold.position, lambda _done, _all: None)
    assert {row.decision.decision_id for row in rows} | archived.keys() == all_ids


def steps_of(days: Days) -> dict[str, int]:
    """Return the steps of a whole retention, and how often each is done; leave nothing of it."""
    seen: Counter[str] = Counter()

    def on_step(step: str, moment: Moment) -> None:
        if moment == "before":
            seen[step] += 1

    days.files = Files(on_step)
    days.prepare()
    return dict(seen)


def test_a_retention_that_dies_anywhere_is_done_again_whole(tmp_path: Path, size: Size) -> None:
    steps = steps_of(_lived(tmp_path / "once"))
    assert {
        "base.write.rename",
        "export.write.rename",
        "export.history.rename",
        "retention.lock.open",
    } <= set(steps)
    moments: tuple[Moment, Moment] = ("before", "after")
    cases = [(step, moment) for step in steps for moment in moments]
    stride = size.pick(test=9, ci=3, proof=1)
    for index, (step, moment) in enumerate(cases[::stride]):
        days = _lived(tmp_path / str(index))
        all_ids = {decision_id for decision_id, _ in days.decided}
        disk = DyingDisk()
        days.files = dying_at(disk, step, moment, max(steps[step] // 2, 1))
        with pytest.raises(Killed):
            days.prepare()
        disk.end()
        days.reopen()
        assert days.rebuilt() == []
        days.live(1)
        all_ids |= {decision_id for decision_id, _ in days.decided}
        # A base that was made whole before the end is noted; else everything is prepared again.
        waits = bool(BaseStore(Files(), days.directory.bases).positions())
        assert (days.prepare() is None) is waits
        assert days.retire()
        check_whole(days, all_ids)
        days.close()


def _lived(path: Path) -> Days:
    days = Days(path, per_hour=1)
    days.live(3)
    return days


def test_dropping_that_dies_between_two_pieces_goes_on(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offer_optimizer.store.dropping.AT_ONCE", 10)
    all_ids = {decision_id for decision_id, _ in days.decided}
    days.prepare()
    pieces = 0
    while True:
        retirer = LedgerRetirer(days.files, days.directory, days.world.ledger, lambda: days.now_us)
        retirer.begin(days.world.fold)
        done = [retirer.step() for _ in range(2 + pieces)]
        days.reopen()
        assert days.rebuilt() == []
        pieces += 1
        if not any(done):
            break
    assert pieces > 3
    check_whole(days, all_ids)
    (left,) = days.world.connection.execute("SELECT COUNT(*) FROM record WHERE kind <= 3").fetchone()
    assert left < days.world.ledger.last_position() * 0.8


@pytest.mark.parametrize(
    "step", ["export.write.write", "base.write.write", "base.write.sync", "export.history.write"]
)
def test_a_full_disk_loses_nothing_and_leaves_nothing(days: Days, step: str) -> None:
    before = days.world.content()
    days.files = Files(_full_at(step))
    with pytest.raises(StorageUnavailable, match="could not"):
        days.prepare()
    assert not list(archived_files(Files(), days.directory))
    assert BaseStore(Files(), days.directory.bases).positions() == []
    assert not days.retire()
    assert days.world.content() == before
    days.files = Files()
    assert days.prepare() is not None
    assert days.retire()
    check_whole(days, {decision_id for decision_id, _ in days.decided})


def _full_at(wanted: str) -> OnStep:
    def on_step(step: str, moment: Moment) -> None:
        if (step, moment) == (wanted, "before"):
            raise OSError(errno.ENOSPC, "no space left on device")

    return on_step


def test_late_feedback_on_what_was_moved_is_unknown_from_the_record_on(days: Days) -> None:
    """And so it is in a rebuild, whichever side of the record it came on."""
    decision_id = days.decided[0][0]
    days.prepare()

    def hear(feedback_id: str) -> tuple[int, Fate]:
        item = Feedback(feedback_id, decision_id, "", 0, "click", 1.0, days.now_us)
        return days.world.ledger.last_position() + 1, days.world.hear(item)

    assert hear("before")[1] is Fate.LATE
    assert days.retire()
    position, fate = hear("after")
    assert fate is Fate.PARKED, "as for any id that is not known: it waits ten minutes for its decision"
    days.live(1)
    assert days.world.tables.fate_of(position) is Fate.UNKNOWN
    assert days.rebuilt() == []


@pytest.mark.parametrize("back_days", [0, 3])
def test_what_asks_for_moved_history_puts_retention_off(days: Days, back_days: int) -> None:
    """A quarantine of today does not; one of the days that are to go does, until it is one of them."""
    days.prepare()
    start_us = days.now_us - back_days * DAY_US
    days.world.add(Quarantine(PLACEMENT, start_us, start_us + 1, "", "", Audit("ann", "", 1)))
    if back_days == 0:
        assert days.retire()
        return
    assert not days.retire()
    assert not list(archived_files(Files(), days.directory))
    with pytest.raises(CannotRetire, match="quarantine"):
        days.prepare()
    days.live(3)
    assert days.prepare() is not None
    assert days.retire()


def test_an_archive_that_lost_a_file_is_not_what_anything_is_dropped_for(days: Days) -> None:
    before = days.world.content()
    prepared = days.prepare()
    assert prepared is not None
    prepared.files[0].unlink()
    assert not days.retire()
    assert days.world.content() == before


def test_a_model_that_lost_its_snapshots_goes_on_from_the_base(days: Days) -> None:
    days.prepare()
    days.retire()
    days.live(1)
    retirer = LedgerRetirer(days.files, days.directory, days.world.ledger, lambda: days.now_us)
    retirer.begin(days.world.fold)
    trainer = Trainer(days.world.ledger, days.world.tables, days.world.fold.revisions)
    for live in days.models.values():
        epoch = days.world.fold.revisions.epoch(live.policy_epoch)
        assert epoch is not None
        model = retirer.model(epoch)
        if model is None:  # the long windows of the other placement had not closed by then
            assert live.placement_id == SLOW
            continue
        assert 0 < model.learned_count < live.learned_count
        while trainer.teach(model) == BATCH:
            pass
        assert model.policy.save() == live.policy.save()
        model.policy.close()


def test_people_are_told_from_where_on_history_can_be_learned_again(days: Days) -> None:
    reach = LedgerReach(Files(), days.directory)
    epoch = days.epochs[PLACEMENT].id
    assert (reach.moved(), reach.begins_at(epoch)) == (None, START)
    prepared = days.prepare()
    days.retire()
    days.live(1)
    moved = reach.moved()
    assert prepared is not None
    assert moved is not None
    assert moved.position == prepared.position
    begin = reach.begins_at(epoch)
    assert START < begin <= (prepared.time_us, prepared.position)
    assert days.world.tables.has_lesson(PLACEMENT, begin), "a model that stands there can go on"
    assert reach.begins_at(bytes(16)) == START


def test_a_quarantine_behind_the_base_trains_anew_from_it_and_so_does_a_rebuild(days: Days) -> None:
    days.prepare()
    days.retire()
    start_us = days.now_us
    days.live(1)
    days.world.add(Quarantine(PLACEMENT, start_us, days.now_us - DAY_US // 2, "", "", Audit("ann", "", 1)))
    days.live(1)
    retirer = LedgerRetirer(days.files, days.directory, days.world.ledger, lambda: days.now_us)
    retirer.begin(days.world.fold)
    snapshots = SnapshotStore(Files(), days.directory.snapshots)
    restorer = Restorer(snapshots, days.world.tables, days.world.fold, retirer.model)
    live = days.models[PLACEMENT]
    epoch = days.world.fold.revisions.epoch(live.policy_epoch)
    assert epoch is not None
    model = restorer.begun(epoch, restorer.lineage(epoch))
    assert model.learned_count > 0, "the base's"
    initial = initial_model(epoch)
    state = initial.policy.save()
    snapshots.publish(Snapshot(PLACEMENT, epoch.policy_epoch, live.policy_name, 1, *START, 0, state), 1)
    again = restorer.begun(epoch, restorer.lineage(epoch))
    assert again.learned_count == model.learned_count, "not the one that was published before anything closed"
    trainer = Trainer(days.world.ledger, days.world.tables, days.world.fold.revisions)
    while trainer.teach(model) == BATCH:
        pass
    assert model.learned_count < live.learned_count

    def check(rebuilt: Rebuilt) -> None:
        same = rebuilt.model(live.policy_epoch)
        assert (same.learned_count, same.policy.save()) == (model.learned_count, model.policy.save())

    days.rebuilt(check)


def test_a_failed_drop_is_begun_again(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    days.prepare()
    retirer = LedgerRetirer(days.files, days.directory, days.world.ledger, lambda: days.now_us)
    retirer.begin(days.world.fold)
    assert retirer.step()
    _break_once(days.world.connection)
    with pytest.raises(sqlite3.Error):
        retirer.step()
    days.world.connection.execute("DROP TRIGGER full")
    retirer.begin(days.world.fold)
    while retirer.step():
        pass
    check_whole(days, {decision_id for decision_id, _ in days.decided})


def _break_once(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TEMP TRIGGER full BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
