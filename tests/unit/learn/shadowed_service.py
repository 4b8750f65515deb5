"""A service in memory whose learner has shadow policies, and a shop whose visitors follow a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from offer_optimizer.core.catalog import Placement, PolicyChoice, ShadowChoice, ShadowGate
from offer_optimizer.core.decision import SlotChoice
from offer_optimizer.evaluate.shadow_judge import ShadowJudge
from offer_optimizer.learn.loop import Learner
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.shadows import Shadows
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.shadow_file import ShadowState, ShadowStore
from tests.unit.learn.histories import SECOND
from tests.unit.learn.service_in_memory import SALTS, ServiceInMemory, Writer
from tests.unit.learn.worlds import OFFERS, PLACEMENT, catalog, decision_of, feedback_of, placement, stored

SHADOWS: Final = Path("/data/shadows")
OTHER: Final = ShadowChoice(name="other", policy=SECOND.policy)
LINEAR: Final = ShadowChoice(name="linear", policy=PolicyChoice(name="linear"))


class ShadowedService(ServiceInMemory):
    """As ServiceInMemory. `swapped` are the shadows that a gate has put in force."""

    def __init__(self) -> None:
        self.swapped: list[tuple[str, str]] = []
        super().__init__()

    def start(self) -> Learner:
        """See ServiceInMemory."""
        self.watch = self.look_at_clock()
        self.store = ShadowStore(self.files, SHADOWS)
        publisher = Publisher(self.snapshots, self.verifier, lambda: self.clock_us, self.publish_interval_us)
        self.shadows = Shadows(self.store, ShadowJudge, lambda: self.boot_us / 1e6, lambda: 0.0, self._swap)
        drainer: Callable[..., Any] = self._drainer
        self.learner = Learner(self.ledger, drainer, self.snapshots, publisher, SALTS, shadows=self.shadows)
        return self.learner

    def _swap(self, placement_id: str, name: str) -> int:
        self.swapped.append((placement_id, name))
        newest = self.learner.fold.revisions.newest
        part = self.learner.fold.revisions.catalog(newest).placement_by_id[placement_id]
        chosen = next(shadow for shadow in part.shadows if shadow.name == name)
        rest = tuple(shadow for shadow in part.shadows if shadow.name != name)
        previous = ShadowChoice(name="previous", policy=part.policy)
        swapped = part.model_copy(update={"policy": chosen.policy, "shadows": (*rest, previous)})
        self.revisions.stored[newest + 1] = stored(newest + 1, catalog(swapped))
        return newest + 1

    def saved(self, name: str) -> ShadowState:
        """Return a shadow's file."""
        found = self.store.read(PLACEMENT, name)
        assert found is not None
        return found


def shadowed(*shadows: ShadowChoice, **changes: object) -> Placement:
    """Return the usual placement with shadows."""
    return placement(shadows=shadows, **changes)


def gated(shadow: ShadowChoice, margin: float = 0.0, visitors: int = 400) -> ShadowChoice:
    """Return a shadow that a gate promotes."""
    return shadow.model_copy(update={"gate": ShadowGate(margin=margin, visitors=visitors)})


def serve(
    service: ShadowedService,
    writer: Writer,
    part: Placement,
    numbers: range,
    reward_of: Callable[[int, int, np.random.Generator], float],
    seed: int = 0,
    visitors: int = 500,
) -> None:
    """Let uniform draws be made and rewarded: `reward_of` (number, chosen offer, chance) is clicked for."""
    chance = np.random.default_rng((seed, numbers.start))
    pmf = np.full(len(OFFERS), 1.0 / len(OFFERS), np.float32)
    epoch, revision = epoch_of(part).id, service.learner.fold.revisions.newest or 1
    for number in numbers:
        chosen = int(chance.integers(len(OFFERS)))
        made = decision_of(number, service.clock_us, epoch=epoch, revision=revision)
        made = replace(made, slots=(SlotChoice(pmf, chosen, float(pmf[chosen])),))
        writer.decide(made, f"v{chance.integers(visitors)}")
        writer.hear(
            feedback_of("f", service.clock_us, decision=number, value=reward_of(number, chosen, chance))
        )
        service.clock_us += 1000
        service.boot_us += 1000
