"""A ledger in memory with a placement that is decided and answered as a test wants it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from offer_optimizer.core.catalog import Catalog, Offer, OfferType, Placement, PolicyChoice, Reward
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    ExclusionReason,
    InlineCandidate,
    ModelVersion,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import make_decision_id
from offer_optimizer.store.ledger import Ledger
from tests.unit.learn.worlds import World

HOME: Final = "home"
SECOND_US: Final = 1_000_000
BEGIN_US: Final = 1_750_000_000 * SECOND_US
WINDOW_S: Final = 10.0
OFFERS: Final = (
    Offer(id="msg", type=OfferType.MESSAGE),
    Offer(id="save5", type=OfferType.COUPON),
    Offer(id="nothing", type=OfferType.NOTHING),
)


def placement(**changes: Any) -> Placement:  # noqa: ANN401  (any field)
    """Return the placement: all offers, a window of 10 s, a reward of 1 for a click."""
    parts: dict[str, Any] = {
        "id": HOME,
        "offers": ("msg", "save5", "nothing"),
        "baseline": ("nothing",),
        "policy": PolicyChoice(name="uniform"),
        "window_s": WINDOW_S,
        "reward": Reward(formula="sum.click", min=0.0, max=1.0, default=0.0),
    }
    return Placement(**(parts | changes))


def catalog(holdout: float = 0.0, **changes: Any) -> Catalog:  # noqa: ANN401  (any field of the placement)
    """Return a catalog with the placement and another one."""
    return Catalog(
        offers=OFFERS,
        placements=(placement(**changes), placement(id="other")),
        holdout=holdout,
    )


class Shop:
    """Decides and answers; time goes on by `step_us` with every decision."""

    def __init__(
        self, content: Catalog | None = None, step_us: int = 1000, world: World | None = None
    ) -> None:
        self.world = world or World()
        self.revision = 0
        self.now_us = BEGIN_US
        self._step_us = step_us
        self._count = 0
        self.apply(content or catalog())

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.world.ledger

    def apply(self, content: Catalog) -> None:
        """Put a catalog revision in force."""
        self.revision += 1
        self.epoch = self.world.apply(self.revision, content)

    def decide(
        self,
        visitor: str,
        chosen: int = 0,
        *,
        pmf: tuple[float, ...] = (0.5, 0.25, 0.25),
        excluded: tuple[int, ...] = (),
        click: bool = False,
        reason: Reason = Reason.MODEL,
        **changes: Any,  # noqa: ANN401  (any field of the decision)
    ) -> Decision:
        """Record a decision, and a click on it; `chosen` is a position among the eligible."""
        self._count += 1
        self.now_us += self._step_us
        stored = np.array(pmf, dtype=np.float32)
        decision = Decision(
            decision_id=make_decision_id(self.now_us, self._count.to_bytes(10, "big")),
            decide_time_us=self.now_us,
            catalog_revision=self.revision,
            placement_id=HOME,
            candidates=(0, 1, 2),
            excluded=excluded,
            exclusion_reasons=(int(ExclusionReason.RULE),) * len(excluded),
            slots=(SlotChoice(stored, chosen, float(stored[chosen]) / float(stored.sum(dtype=np.float64))),),
            context=EMPTY,
            model_version=ModelVersion(self.epoch, 0) if reason is Reason.MODEL else None,
            reason=reason,
            deferred=False,
            holdout=reason is Reason.HOLDOUT,
            ramp=1.0,
            floor=0.1,
            baseline=len(pmf) - 1,
            draw_salt_id=1,
            consent=Consent.FULL,
        )
        decision = replace(decision, **changes)
        self.world.decide(decision, visitor)
        if click:
            self.world.hear(
                Feedback(f"f{self._count}", decision.decision_id, "", 0, "click", 1.0, self.now_us)
            )
        return decision

    def close(self) -> int:
        """Let every window close; return ledger time."""
        time_us = self.now_us + round(WINDOW_S * SECOND_US) + 1
        self.world.tick(time_us)
        return time_us


def inline(*offer_ids: str) -> tuple[InlineCandidate, ...]:
    """Return offers given with the request."""
    return tuple(InlineCandidate(offer_id, Features()) for offer_id in offer_ids)
