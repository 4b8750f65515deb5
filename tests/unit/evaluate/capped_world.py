"""A simulated service with a cap, and the exact truth of any other cap: coupons please once, then tire.

Three offers, uniform over what is eligible. Each coupon that a visitor has had makes the next less worth, and
the messages too; so what a cap is worth shows only along whole trajectories.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from offer_optimizer.core.catalog import Cap, Catalog, Offer, OfferType, Placement, PolicyChoice
from offer_optimizer.core.decision import Consent, Decision, ExclusionReason, ModelVersion, Reason, SlotChoice
from offer_optimizer.core.features import EMPTY
from offer_optimizer.core.log import LogRows, Vocabulary
from tests.unit.evaluate.memory_log import MemoryLog, TableContexts

OFFERS = ("coupon", "message-a", "message-b")
PLACEMENT = "home"
VISITS = (2, 3, 4, 5)
_VERSION = ModelVersion(bytes(16), 0)


def catalog(limit: int | None, **changes: Any) -> Catalog:  # noqa: ANN401  (parts of a catalog)
    """Return a catalog whose cap allows so many coupons a visitor; without a cap for None."""
    cap = Cap(id="coupons", limit=limit or 1, offers=("coupon",))
    parts: dict[str, Any] = {
        "offers": (
            Offer(id="coupon", type=OfferType.COUPON),
            Offer(id="message-a", type=OfferType.MESSAGE),
            Offer(id="message-b", type=OfferType.MESSAGE),
        ),
        "placements": (Placement(id=PLACEMENT, offers=OFFERS, policy=PolicyChoice(name="uniform")),),
        "caps": () if limit is None else (cap,),
    }
    return Catalog(**(parts | changes))


def worth(offer: int, had: int) -> float:
    """Return the chance of a reward, by the coupons that the visitor has had."""
    return (0.8 * 0.3**had, 0.62 - 0.19 * had, 0.5 - 0.16 * had)[offer]


@lru_cache
def _total(limit: int, left: int, had: int) -> float:
    """Return the expected sum of rewards of a visitor with so many visits left."""
    if not left:
        return 0.0
    eligible = range(1 if had >= limit else 0, 3)
    each = [worth(offer, had) + _total(limit, left - 1, had + (offer == 0)) for offer in eligible]
    return sum(each) / len(each)


def truth(limit: int) -> float:
    """Return the true reward a decision under a cap."""
    return sum(_total(limit, visits, 0) for visits in VISITS) / sum(VISITS)


def capped_log(chance: np.random.Generator, visitor_count: int, limit: int = 3) -> MemoryLog:
    """Return the log of a service with a cap, decisions of all visitors in the order of time."""
    visits = chance.choice(VISITS, visitor_count)
    visitor = np.repeat(np.arange(visitor_count), visits)
    chance.shuffle(visitor)
    had = np.zeros(visitor_count, dtype=np.int64)
    chosen, counts = np.zeros(len(visitor), dtype=np.int64), np.zeros(len(visitor), dtype=np.int64)
    for row, who in enumerate(visitor.tolist()):
        counts[row] = had[who]
        first = int(had[who] >= limit)
        chosen[row] = chance.integers(first, 3)
        had[who] += chosen[row] == 0
    is_capped = counts >= limit
    mean = np.array(
        [worth(offer, before) for offer, before in zip(chosen.tolist(), counts.tolist(), strict=True)]
    )
    offers = np.where(is_capped[:, None], [1, 2, -1], [0, 1, 2]).astype(np.int32)
    pmf = np.where(is_capped[:, None], [0.5, 0.5, 0.0], [1 / 3] * 3).astype(np.float32)
    vocabulary = Vocabulary()
    for offer_id in OFFERS:
        vocabulary.number(offer_id)
    rows = LogRows(
        visitor=visitor,
        time_us=np.arange(len(visitor)) * 1_000_000,
        reward=(chance.random(len(visitor)) < mean).astype(np.float64),
        chosen=chosen,
        propensity=np.where(is_capped, 0.5, 1 / 3),
        offers=offers,
        contexts=TableContexts({}, len(visitor)),
        pmf=pmf,
        decisions=[_decision(row, int(counts[row]), int(chosen[row]), limit) for row in range(len(visitor))],
    )
    return MemoryLog(rows, vocabulary, catalogs={1: catalog(limit)})


def _decision(row: int, count: int, chosen: int, limit: int) -> Decision:
    is_capped = count >= limit
    pmf = np.full(2 if is_capped else 3, 0.5 if is_capped else 1 / 3, dtype=np.float32)
    return Decision(
        decision_id=row.to_bytes(16, "big"),
        decide_time_us=row * 1_000_000,
        catalog_revision=1,
        placement_id=PLACEMENT,
        candidates=(0, 1, 2),
        excluded=(0,) if is_capped else (),
        exclusion_reasons=(int(ExclusionReason.CAPPED),) if is_capped else (),
        slots=(SlotChoice(pmf, chosen - is_capped, float(pmf[0])),),
        context=EMPTY,
        model_version=_VERSION,
        reason=Reason.MODEL,
        deferred=False,
        holdout=False,
        ramp=1.0,
        floor=0.02,
        baseline=None,
        draw_salt_id=1,
        consent=Consent.FULL,
        cap_counts=((0, count),),
    )
