"""A visitor is taken out of a ledger that lives through days; what is derived from it stays what it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offer_optimizer.core.control import Audit
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.features import Features
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.learn.base_snapshot import model_row
from offer_optimizer.learn.erase import VisitorEraser
from offer_optimizer.learn.erase_archive import erase_archived
from offer_optimizer.learn.trainer import restore_model
from offer_optimizer.store.codec import EraseChange
from offer_optimizer.store.outcomes import logged_decisions
from offer_optimizer.store.sqlite import transaction
from tests.integration.days import Days

VISITOR = "v3"
AUDIT = Audit("ann", "asked by mail", 1)


class HereArchivist:
    """Redacts the archive in this process."""

    def __init__(self, days: Days) -> None:
        self._days = days
        self._status: int | None = None

    def start(self, redaction: Redaction) -> None:
        """See Archivist."""
        erase_archived(self._days.files, self._days.directory, redaction)
        self._status = 0

    def poll(self) -> int | None:
        """See Archivist."""
        status, self._status = self._status, None
        return status


class NoCache:
    """A hot cache that is always full and never holds anybody."""

    def doubt(self) -> None:
        """See EmptiedCache."""

    def stage(self) -> str:
        """See EmptiedCache."""
        return "ready"


class ErasingDays(Days):
    """Days whose contexts name their visitor, so that traces can be looked for."""

    def described(self, decision: Decision, visitor: str) -> Decision:
        """See Days."""
        context = Features(categories=(("who", f"canary-{visitor}-"),))
        return replace(decision, context=context, holdout_u=0.625)

    def ask(self, visitor: str = VISITOR) -> None:
        """Ask for an erasure, as a drained control record does."""
        with transaction(self.world.connection):
            self.world.ledger.ask_erasure(EraseChange(digest_of(visitor), AUDIT))

    def eraser(self) -> VisitorEraser:
        """Return one that has just started."""
        archivist, cache = HereArchivist(self), NoCache()
        self.directory.segments.mkdir(exist_ok=True)
        found = VisitorEraser(
            self.files, self.directory, self.world.ledger, lambda: self.now_us, lambda: None, archivist, cache
        )
        found.begin(self.world.fold)
        return found

    def erase(self) -> None:
        """Erase who waits, and start anew as the learner does."""
        eraser = self.eraser()
        for _ in range(4):
            if eraser.step(lambda: [model_row(model) for model in self.models.values()]):
                break
        else:
            raise AssertionError("nobody was erased")
        self.world.reopen()
        eraser.begin(self.world.fold)
        for _ in range(3):
            eraser.step(lambda: None)

    def shas_from_base(self) -> dict[str, tuple[int, str]]:
        """Return the live models after a restart from what they saved."""
        for name, model in self.models.items():
            epoch = self.world.fold.revisions.epoch(model.policy_epoch)
            assert epoch is not None
            self.models[name] = restore_model(epoch, model.policy.save(), model.cursor, model.learned_count)
            model.policy.close()
        return self.shas()


def digest_of(visitor: str) -> bytes:
    """Return what stands for a visitor in this world."""
    return visitor.encode()


@pytest.fixture
def days(tmp_path: Path) -> Iterator[ErasingDays]:
    found = ErasingDays(tmp_path / "days")
    yield found
    found.close()


def _rows(days: Days) -> list[LoggedDecision]:
    return list(logged_decisions(days.world.ledger, 0, days.world.fold.position, lambda _done, _all: None))


def test_what(days: ErasingDays) -> None:
    days.live(2)
    key = days.world.ledger.known_visitor_key(digest_of(VISITOR))
    before = _rows(days)
    days.ask()
    days.erase()
    assert days.rebuilt() == []
    after = _rows(days)
    theirs = [row for row in before if row.visitor_key == key]
    assert theirs
    print(len(theirs), len(after))
    days.live(1)
    assert days.rebuilt() == []
