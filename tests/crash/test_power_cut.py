"""The power goes at any write to any file, SQLite's included: what was answered is there, and once.

Segments, snapshots and the catalog lie on the disk in memory, the ledger on a SQLite whose disk loses what
was not synced; both are cut at the same moment. Taking out a sync makes the test fail, which is tested too.
"""

from __future__ import annotations

import errno
import gc
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.store.files import Files
from tests.careless_disk import CarelessDisk
from tests.conftest import Size
from tests.crash.cut_sqlite import CutDisk, open_over
from tests.crash.small_service import SmallService
from tests.unit.learn.service_in_memory import Writer
from tests.unit.learn.worlds import counted_entropy


class Cut(Exception):
    """The power is gone; what is still running writes to nothing that counts."""


class Lives:
    """One data directory through many power cuts."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        monkeypatch: pytest.MonkeyPatch,
        pragmas: dict[str, str] | None = None,
        forgets: str = "nothing",
    ) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._monkeypatch = monkeypatch
        self._pragmas = pragmas or {}
        self.disk = CarelessDisk(forgets)
        self._sqlite = CutDisk()
        self._entropy = counted_entropy()
        self.decided: set[int] = set()
        self.heard: set[str] = set()
        self.cuts = 0
        self._number = 0
        self._left = -1
        self._at = folder / "0"
        self._at.mkdir()
        self._clock_us = 0
        self._is_applied = False

    def _open(self) -> SmallService:
        # What an earlier life still writes, as it is collected, is no step of this one.
        self._sqlite.on_write = lambda: None
        self._sqlite = CutDisk()
        self._sqlite.on_write = self._tick
        opener = open_over(self._sqlite, self._at / "ledger.sqlite", self._pragmas, self._monkeypatch)
        life = self.cuts

        def on_step(_step: str, _moment: str) -> None:
            self._tick()
            if self.cuts > life:
                raise OSError(errno.EIO, "the power is gone")

        files = Files(on_step, self.disk)
        service = SmallService(Path("/data"), files, opener, self._entropy)
        service.clock_us = max(service.clock_us, self._clock_us)
        return service

    def _tick(self) -> None:
        """Count down to the cut, and cut both disks at one moment."""
        self._left -= 1
        if self._left == 0:
            self.cuts += 1
            used, self._at = self._at, self._folder / str(self.cuts)
            self._sqlite.leave(used, self._at, self._chance)
            self.disk.power_cut(self._chance)

    def live(self) -> None:
        """Record, learn, and lose the power somewhere in it."""
        self._left = -1
        service = self._open()
        cuts = self.cuts
        # From here on every step may be the last.
        self._left = self._chance.choice([-1, *[self._chance.randrange(1, 400)] * 3])
        try:
            self._work(service, cuts)
        except (Cut, OSError, sqlite3.Error, OfferOptimizerError):
            assert self.cuts > cuts
        self._clock_us = service.clock_us + 1_000_000
        self._bury(service)

    def _bury(self, service: SmallService) -> None:
        """Close what an ended life had open: closed later it would write in the middle of the next one."""
        self._sqlite.on_write = lambda: None
        if hasattr(service, "ledger"):
            service.ledger.connection.close()
        del service
        gc.collect()  # what a cut in the middle of opening left behind

    def _work(self, service: SmallService, cuts: int) -> None:
        writer = service.writer(1000 * self.cuts + self._number + 1)
        if not self._is_applied:
            self._left = -1
            service.apply(writer)
            self._is_applied = True
        service.start()
        for _ in range(self._chance.randrange(1, 8)):
            self._visit(service, writer, cuts)
            if self._chance.random() < 0.3:
                writer.die()
                writer = service.writer(1000 * self.cuts + self._number + 1)
            if self._chance.random() < 0.5:
                service.run_for(self._chance.choice([0.5, 3.0, 15.0]))
            self._check(cuts)
        self._left = -1

    def _visit(self, service: SmallService, writer: Writer, cuts: int) -> None:
        self._number += 1
        service.visit(writer, self._number)
        if self.cuts == cuts:
            self.decided.add(self._number)
            if self._number % 3:
                self.heard.add(f"f{self._number}")

    def _check(self, cuts: int) -> None:
        if self.cuts > cuts:
            raise Cut

    def end(self) -> list[str]:
        """Let all be drained in peace; return what is lost, twice, or different from a rebuild."""
        self._left = -1
        service = self._open()
        service.clock_us += 100_000_000
        service.start()
        service.run_for(60.0)
        service.run_for(60.0)
        problems = [service.learner._complaint] if service.learner.retry_s else []
        decided: list[int] = []
        heard: list[str] = []
        for record in service.ledger.records():
            match record.body():
                case Decision() as decision:
                    decided.append(int.from_bytes(decision.decision_id, "big"))
                case Feedback() as feedback:
                    heard.append(feedback.feedback_id)
        problems += [f"decision {number} is lost" for number in self.decided - set(decided)]
        problems += [f"feedback {name} is lost" for name in self.heard - set(heard)]
        if len(set(decided)) != len(decided) or len(set(heard)) != len(heard):
            problems.append("something is there twice")
        problems += service.differences()
        service.stop()
        with closing(sqlite3.connect(self._at / "ledger.sqlite")) as plain:
            problems += [row[0] for row in plain.execute("PRAGMA integrity_check") if row[0] != "ok"]
        return problems


def run(
    folder: Path,
    seed: int,
    lives: int,
    monkeypatch: pytest.MonkeyPatch,
    pragmas: dict[str, str] | None = None,
    forgets: str = "nothing",
) -> tuple[Lives, list[str]]:
    folder.mkdir()
    found = Lives(folder, seed, monkeypatch, pragmas, forgets)
    for _ in range(lives):
        found.live()
    return found, found.end()


def test_nothing_answered_is_lost_or_doubled_wherever_the_power_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: Size, figure: Callable[[str], None]
) -> None:
    histories = size.pick(test=2, ci=6, proof=100)
    cuts = decisions = items = 0
    for seed in range(histories):
        found, problems = run(tmp_path / str(seed), seed, 12, monkeypatch)
        assert problems == [], f"history {seed}"
        cuts, decisions, items = cuts + found.cuts, decisions + len(found.decided), items + len(found.heard)
    assert cuts >= histories * 3
    figure(
        f"{cuts} power cuts in {histories} histories: {decisions} synced decisions and {items} answered items"
        " of feedback, each in the ledger once, every model the rebuilt one"
    )


@pytest.mark.parametrize(
    ("pragmas", "forgets"),
    [({"=FULL": "=OFF"}, "nothing"), ({}, "content"), ({}, "names")],
    ids=["ledger", "content", "names"],
)
def test_without_one_of_the_syncs_something_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pragmas: dict[str, str], forgets: str
) -> None:
    """Taking out the syncs of SQLite, of our files' content, or of names is noticed in ten histories."""
    for seed in range(10):
        try:
            _, problems = run(tmp_path / str(seed), seed, 12, monkeypatch, pragmas, forgets)
        except (OfferOptimizerError, sqlite3.Error) as error:
            problems = [f"{type(error).__name__}: {error}"]
        if problems:
            return
    raise AssertionError("nobody noticed that nothing was synced")
