"""A ledger on disk that lives through days: decisions, feedback early and late, models, retention.

Nothing is drained: records are folded as they are appended. Live models learn after every hour.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from offer_optimizer.core.catalog import Cap, Catalog, Window
from offer_optimizer.core.control import Thinning
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import make_decision_id
from offer_optimizer.learn.base_snapshot import base_in_force
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.learn.retention import Prepared, prepare
from offer_optimizer.learn.retire import LedgerRetirer
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.base_file import BaseStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.snapshots import Snapshot
from offer_optimizer.store.sqlite import open_writer, transaction
from tests.unit.learn.worlds import OFFERS, PLACEMENT, World, catalog, decision_of, placement

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
BEGIN_US: Final = 20_000 * DAY_US
SLOW: Final = "slow"


def content() -> Catalog:
    """Return a placement with a window of six hours, one of two days that dismissals end, and a cap."""
    home = placement(window_s=6 * 3600.0, trust_occur_time=True, grace_s=1800.0)
    parts = catalog(home, placement(id=SLOW, window_s=48 * 3600.0, close_on=("dismiss",)))
    cap = Cap(id="few", limit=100, offers=(OFFERS[0].id,), window=Window(rolling_s=86400.0))
    return parts.model_copy(update={"caps": (cap,)})


@dataclass
class Days:
    """One life; the same seed gives the same life, whether retention runs or not."""

    path: Path
    seed: int = 7
    per_hour: int = 4
    files: Files = field(default_factory=Files)

    def __post_init__(self) -> None:
        self.directory = DataDirectory(self.path)
        self.directory.prepare(Files())
        self.world = World(open_writer(self.directory.ledger_path))
        self.chance = random.Random(self.seed)
        self.content = content()
        self.world.apply(1, self.content)
        self.epochs = {part.id: epoch_of(part) for part in self.content.placements}
        self.now_us = BEGIN_US
        self.number = 0
        self.decided: list[tuple[bytes, str]] = []
        self.models: dict[str, Model] = {}
        self.begin_models()

    def begin_models(self) -> None:
        """Start the live models anew."""
        for placement_id, epoch in self.epochs.items():
            found = self.world.fold.revisions.epoch(epoch.id)
            assert found is not None
            self.models[placement_id] = initial_model(found)

    def live(self, days: int) -> None:
        """Let days go by."""
        for _ in range(days * 24):
            self._hour()

    def _hour(self) -> None:
        with transaction(self.world.connection):
            self._happens()
        trainer = Trainer(self.world.ledger, self.world.tables, self.world.fold.revisions)
        for model in self.models.values():
            while trainer.teach(model) == BATCH:
                pass

    def _happens(self) -> None:
        for step in range(self.per_hour):
            self.now_us += HOUR_US // self.per_hour
            self._decide()
            if step % 2:
                self._answer()
        if self.chance.random() < 0.05:
            self.world.add(Thinning(PLACEMENT, self.chance.choice([0.5, 1.0])))
        self.world.tick(self.now_us - 1_000_000)

    def _decide(self) -> None:
        self.number += 1
        placement_id = self.chance.choice([PLACEMENT, PLACEMENT, SLOW])
        visitor = f"v{self.chance.randrange(12)}"
        decision = decision_of(
            self.chance.randrange(9),
            self.now_us,
            epoch=self.epochs[placement_id].id,
            placement_id=placement_id,
        )
        entropy = self.number.to_bytes(10, "big")
        decision = replace(decision, decision_id=make_decision_id(self.now_us, entropy))
        self.world.decide(self.described(decision, visitor), visitor)
        self.decided.append((decision.decision_id, visitor))

    def described(self, decision: Decision, visitor: str) -> Decision:
        """Return a decision as it is recorded."""
        return decision

    def _answer(self) -> None:
        """Send feedback: soon, late, days late, twice, by visitor, or on nothing."""
        back = self.chance.choice([0, 1, 2, 5, 20, 60, 200])
        decision_id, visitor = self.decided[-min(back + 1, len(self.decided))]
        by_visitor = self.chance.random() < 0.3
        item = Feedback(
            feedback_id=f"f{self.chance.randrange(5)}",
            decision_id=b"" if by_visitor else decision_id,
            placement_id=PLACEMENT if by_visitor else "",
            slot=0,
            kind=self.chance.choice(["click", "shown", "dismiss"]),
            value=1.0,
            receive_time_us=self.now_us,
            occur_time_us=self.now_us - HOUR_US if self.chance.random() < 0.2 else None,
            retracts_feedback_id=f"f{self.chance.randrange(5)}" if self.chance.random() < 0.1 else "",
        )
        if self.chance.random() < 0.05:
            item = replace(item, decision_id=self.chance.randbytes(16), placement_id="")
        self.world.hear(item, visitor if by_visitor else "")

    def prepare(self, keep_days: int = 1) -> Prepared | None:
        """Archive, and make a base."""
        return prepare(self.files, self.directory, keep_days, lambda _stage, _done, _all: None)

    def retire(self) -> bool:
        """Note the base and drop; return whether there was one."""
        retirer = LedgerRetirer(self.files, self.directory, self.world.ledger, lambda: self.now_us)
        retirer.begin(self.world.fold)
        return retirer.finish()

    def reopen(self) -> None:
        """Start again as after a crash: what was not committed is gone. Models are kept."""
        self.world.connection.close()
        self.files = Files()
        self.world = World(open_writer(self.directory.ledger_path))

    def shas(self) -> dict[str, tuple[int, str]]:
        """Return how much each live model has learned, and its hash."""
        return {
            name: (model.learned_count, hashlib.sha256(model.policy.save()).hexdigest())
            for name, model in self.models.items()
        }

    def rebuilt(self, check: Callable[[Rebuilt], None] = lambda _rebuilt: None) -> list[str]:
        """Rebuild beside it; return what differs: rows, and models."""
        reader = Ledger.open_for_reading(self.directory.ledger_path)
        base = base_in_force(reader, BaseStore(Files(), self.directory.bases))
        found = Rebuilt(reader, self.world.fold.position, lambda _done, _all: None, base)
        check(found)
        differing = found.differing_rows(self.world.tables)
        for model in self.models.values():
            comparison = found.compare(self._snapshot(model))
            if not comparison.is_equal:
                differing.append(f"{comparison}")
        found.close()
        reader.connection.close()
        return differing

    def _snapshot(self, model: Model) -> Snapshot:
        return Snapshot(
            model.placement_id,
            model.policy_epoch,
            model.policy_name,
            self.world.fold.position,
            *model.cursor,
            model.learned_count,
            model.policy.save(),
        )

    def close(self) -> None:
        """Let go."""
        for model in self.models.values():
            model.policy.close()
        self.world.connection.close()
