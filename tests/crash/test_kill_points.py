"""Killed at every named step of every file that is written, from the first start on: nothing is lost.

A client does one thing after the other and repeats what was not answered. Every process dies at the step,
with the power or without; all start again, as after a boot.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import StoredCatalog
from offer_optimizer.store.files import Files
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.memory_files import MemoryDisk
from offer_optimizer.store.salts import read_salts
from tests.conftest import Size
from tests.crash.small_service import SmallService
from tests.unit.learn.service_in_memory import Writer
from tests.unit.learn.worlds import counted_entropy, decision_of, feedback_of

DOCUMENT = """
version: 1
offers:
  - {{id: msg, type: MESSAGE, payload: "{text}"}}
  - {{id: save5, type: COUPON, attributes: {{cost: 0.25}}}}
  - {{id: nothing, type: NOTHING}}
placements:
  - id: home
    offers: [msg, save5, nothing]
    baseline: [msg]
    policy: {{name: vw, options: {{bits: 10}}}}
    window: 10s
    reward: {{formula: "sum.click", min: 0, max: 1}}
"""
ACTIONS = ("open", "apply", "visit", "visit", "learn", "visit", "learn", "restart", "apply", "visit", "learn",
           "visit", "restart", "learn")  # fmt: skip


class Killed(BaseException):
    """Nothing of the process may clean up."""


class Story:
    """One history, in which everything dies at the `kill_at`-th step; -1: never."""

    def __init__(self, folder: Path, kill_at: int, cut: random.Random | None) -> None:
        self._folder = folder
        self._kill_at = kill_at
        self._cut = cut
        self.steps: list[str] = []
        self.disk = MemoryDisk()
        self._connection = sqlite3.connect("", isolation_level=None)
        self._entropy = counted_entropy()
        self._writers = 0
        self._number = 0
        self._clock_us = 0
        self.decided: list[int] = []
        self.heard: list[str] = []
        self.documents: list[str] = []
        self.digest = b""
        self.salts: tuple[object, ...] = ()
        self._service: SmallService | None = None
        for number, action in enumerate(ACTIONS):
            self._do(action, number)
        self._is_over = True
        self.service.run_for(60.0)
        self.service.run_for(60.0)

    @property
    def service(self) -> SmallService:
        assert self._service is not None
        return self._service

    def _on_step(self, step: str, moment: str) -> None:
        self.steps.append(f"{step} {moment}")
        if len(self.steps) == self._kill_at + 1:
            raise Killed

    def _do(self, action: str, number: int) -> None:
        """Do one thing until it is answered."""
        while True:
            try:
                if self._service is None:
                    self._open()
                getattr(self, f"_{action}")(number)
                return
            except Killed:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if self._cut is None:
                    self.disk.kill()
                else:
                    self.disk.power_cut(self._cut)
                self._clock_us = self.service.clock_us if self._service else 0
                self._service = None

    def _open(self, _number: int = 0) -> None:
        if self._service is not None:
            return
        files = Files(self._on_step, self.disk)

        def open_ledger(_path: Path, entropy: Callable[[int], bytes]) -> Ledger:
            return Ledger.create(self._connection, entropy)

        service = SmallService(Path("/data"), files, open_ledger, self._entropy)
        service.clock_us = max(service.clock_us, self._clock_us) + 1_000
        service.data.lock(files, 1)
        service.data.catalog_lock_path = self._folder / "catalog.lock"
        self._service = service
        if self.digest:
            assert Identity.load(files, service.data.secret_path).digest("v") == self.digest
            assert read_salts(files, service.data.salts_path) == self.salts
        self.digest = Identity.load(files, service.data.secret_path).digest("v")
        self.salts = read_salts(files, service.data.salts_path)
        self._writer = self._new_writer()
        service.start()

    def _new_writer(self) -> Writer:
        self._writers += 1
        return self.service.writer(self._writers)

    def _apply(self, number: int) -> None:
        store = self.service.store(self._writer.control)
        document = DOCUMENT.format(text=f"text {number}")
        store.apply(document, store.newest_number())
        if document not in self.documents:
            self.documents.append(document)

    def _visit(self, _number: int) -> None:
        service = self.service
        newest = service.store(self._writer.control)
        revision = newest.newest_number()
        epoch = epoch_of(newest.read(revision).catalog.placements[0]).id
        self._number += 1
        mine = self._number
        decision = decision_of(mine, service.clock_us, epoch=epoch, revision=revision)
        self._writer.decide(decision, f"v{mine % 3}")
        if self._cut is not None:
            # Without the power nobody is promised the last 50 ms.
            self._writer.segments[0].sync()
        self.decided.append(mine)
        self._writer.hear(feedback_of(f"f{mine}", service.clock_us, decision=mine, value=0.5))
        self.heard.append(f"f{mine}")

    def _learn(self, _number: int) -> None:
        self.service.run_for(13.0)

    def _restart(self, _number: int) -> None:
        """Let the writer end in good order, so that its segments are drained whole and removed."""
        self._writer.die()
        self._writer = self._new_writer()

    def problems(self) -> list[str]:
        decided, heard, documents = [], [], []
        for record in self.service.ledger.records():
            match record.body():
                case Decision() as decision:
                    decided.append(int.from_bytes(decision.decision_id, "big"))
                case Feedback() as feedback:
                    heard.append(feedback.feedback_id)
                case StoredCatalog() as stored:
                    documents.append(stored.document)
        found = [f"decision {number} is lost" for number in self.decided if number not in decided]
        found += [f"feedback {name} is lost" for name in self.heard if name not in heard]
        found += ["twice"] if len(set(decided)) < len(decided) else []
        newest = self.service.store(self._writer.control)
        in_force = newest.read_stored(newest.newest_number()).document
        found += [] if documents == self.documents and in_force == self.documents[-1] else ["catalogs differ"]
        return found + self.service.differences()


@pytest.mark.parametrize("power", ["on", "cut"])
def test_killed_at_any_named_step_nothing_answered_is_lost(
    tmp_path: Path, size: Size, figure: Callable[[str], None], power: str
) -> None:
    whole = Story(tmp_path, -1, None)
    assert whole.problems() == []
    steps = len(whole.steps)
    names = {step.partition(" ")[0] for step in whole.steps}
    assert {part.partition(".")[0] for part in names} >= {
        "layout", "secret", "salts", "catalog", "cells", "journal", "inbox", "control", "segment", "snapshot",
    }  # fmt: skip
    stride = size.pick(test=41, ci=17, proof=1)
    killed = 0
    for kill_at in range(0, steps, stride):
        cut = random.Random(kill_at) if power == "cut" else None
        story = Story(tmp_path, kill_at, cut)
        assert story.problems() == [], f"killed at {whole.steps[kill_at]}, step {kill_at}"
        killed += len(story.steps) > kill_at
    figure(
        f"killed at {killed} of {steps} steps ({len(names)} names), power {power}: nothing answered lost,"
        " every model the rebuilt one"
    )
