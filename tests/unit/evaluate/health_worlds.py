"""Rollups and facts of a healthy placement, and what a test changes about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from offer_optimizer.evaluate.health import LoopHealth, loop_health
from offer_optimizer.evaluate.health_facts import LoopFacts, PlacementFacts
from offer_optimizer.store.rollup_tables import HOUR_US, MILLION, Key, Measure, Rollup

HOME: Final = "home"
NOW_HOUR: Final = 480_000
HOURS: Final = 96
SECOND_US: Final = 1_000_000
WINDOW_US: Final = 600 * SECOND_US
HEALTHY: Final[Mapping[Key, int]] = {
    (Measure.DECISION, "MODEL"): 1000,
    (Measure.OFFER, "msg"): 400,
    (Measure.OFFER, "save5"): 400,
    (Measure.OFFER, "nothing"): 200,
    (Measure.SHOWN, "msg"): 360,
    (Measure.SHOWN, "save5"): 340,
    (Measure.DRAWN, ""): 1000,
    (Measure.EXPLORED, ""): 200,
    (Measure.EXPLORE_MASS, ""): 200 * MILLION,
    (Measure.ENTROPY, ""): 500 * MILLION,
    (Measure.ENTROPY_MOST, ""): 1099 * MILLION,
    (Measure.PROPENSITY_LEAST, ""): 7_000_000,
    (Measure.ARRIVAL, "6"): 20,
    (Measure.ARRIVAL, "8"): 50,
    (Measure.ARRIVAL, "10"): 50,
    (Measure.ARRIVAL, "12"): 20,
    (Measure.CLOSED, "LEARNED"): 1000,
    (Measure.REWARD, "0.0 1.0"): 100 * MILLION,
    (Measure.FEEDBACK, "APPLIED shown"): 700,
    (Measure.FEEDBACK, "APPLIED click"): 140,
    (Measure.FEEDBACK, "DUPLICATE click"): 10,
    (Measure.FEEDBACK, "LATE click"): 5,
}
FACTS: Final = PlacementFacts(
    HOME,
    "vw",
    learns=True,
    window_us=WINDOW_US,
    learned_count=90_000,
    published_us=NOW_HOUR * HOUR_US,
    nothing_offers=frozenset({"nothing"}),
)
LOOP: Final = LoopFacts(
    now_us=NOW_HOUR * HOUR_US + 60 * SECOND_US,
    ledger_time_us=NOW_HOUR * HOUR_US + 59 * SECOND_US,
    oldest_waiting_us=None,
    oldest_due_us=None,
    placements=(FACTS,),
)


def rollups(
    changes: Mapping[Key, int] | None = None, last: int = 6, hours: int = HOURS, placement_id: str = HOME
) -> list[Rollup]:
    """Return the full hours before NOW_HOUR; the `last` of them with changed counts, 0 takes one away."""
    found = []
    for hour in range(NOW_HOUR - hours, NOW_HOUR):
        counts = dict(HEALTHY)
        if hour >= NOW_HOUR - last:
            counts |= changes or {}
        kept = {key: value for key, value in counts.items() if value}
        found.append(Rollup(placement_id, hour, 1, kept))
    return found


def health(found: list[Rollup], loop: LoopFacts = LOOP, **facts: Any) -> LoopHealth:  # noqa: ANN401  (any field)
    """Return how the loop is, with changed facts of the placement."""
    return loop_health(found, replace(loop, placements=(replace(FACTS, **facts),)))


def names(found: LoopHealth) -> list[str]:
    """Return the names of the alarms."""
    return [alarm.name for alarm in found.alarms]
