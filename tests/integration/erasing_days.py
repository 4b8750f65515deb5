"""Days whose contexts name their visitor, and from which visitors are erased as a learner does it."""

from __future__ import annotations

import random
from dataclasses import replace

from offer_optimizer.core.control import Audit
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.features import Features
from offer_optimizer.core.ids import make_decision_id
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.learn.base_snapshot import model_row
from offer_optimizer.learn.erase import VisitorEraser
from offer_optimizer.learn.erase_archive import erase_archived
from offer_optimizer.learn.trainer import restore_model
from offer_optimizer.store.codec import EraseChange
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction
from tests.integration.days import Days
from tests.traces import traces
from tests.unit.learn.worlds import PLACEMENT, decision_of

VISITOR = "v3"
AUDIT = Audit("ann", "asked by mail", 1)


class HereArchivist:
    """Redacts the archive in this process."""

    def __init__(self, days: Days) -> None:
        self._days = days
        self._status: int | None = None
        self._decisions: dict[bytes, int] = {}

    def start(self, redaction: Redaction) -> None:
        """See Archivist."""
        self._decisions = erase_archived(self._days.files, self._days.directory, redaction)
        self._status = 0

    def poll(self) -> int | None:
        """See Archivist."""
        status, self._status = self._status, None
        return status

    def decisions(self) -> dict[bytes, int]:
        """See Archivist."""
        return self._decisions


class NoCache:
    """A hot cache that is always full and never holds anybody."""

    def doubt(self) -> None:
        """See EmptiedCache."""

    def stage(self) -> str:
        """See EmptiedCache."""
        return "ready"


class ErasingDays(Days):
    """Days whose contexts name their visitor, so that traces can be looked for."""

    lives = 0

    def described(self, decision: Decision, visitor: str) -> Decision:
        """See Days."""
        context = Features(categories=(("who", f"canary-{visitor}-"),))
        return replace(decision, context=context, holdout_u=0.625)

    def reopen(self) -> None:
        """See Days. Another life has other entropy."""
        super().reopen()
        self.lives += 1
        self.world.ledger = Ledger.create(self.world.connection, random.Random(self.lives).randbytes)
        self.world.reopen()

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

    def live_hours(self, count: int, visitor: str) -> None:
        """Let hours go by in which a visitor comes again."""
        for _ in range(count):
            self._hour()
        with transaction(self.world.connection):
            self.number += 1
            decision = decision_of(0, self.now_us, epoch=self.epochs[PLACEMENT].id)
            decision_id = make_decision_id(self.now_us, self.number.to_bytes(10, "big"))
            self.world.decide(self.described(replace(decision, decision_id=decision_id), visitor), visitor)
            self.world.tick(self.now_us)

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


def left_of(days: ErasingDays, keys: frozenset[int], visitor: str = VISITOR) -> list[str]:
    """Return where a context, the digest or a key of the visitor can still be found."""
    wanted = {"context": f"canary-{visitor}-".encode()}
    for key in keys:
        wanted |= {f"key {key}": str(key).encode(), f"bytes of {key}": key.to_bytes(8, "big")}
    return traces(days.path, wanted)
