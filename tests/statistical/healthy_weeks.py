"""Weeks of healthy placements as counts by the hour: days and nights, moods, slow and quick answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.evaluate.health_facts import LoopFacts, PlacementFacts
from offer_optimizer.store.rollup_tables import DELAY_EDGES_US, HOUR_US, MILLION, Key, Measure, Rollup

PLACEMENT: Final = "home"
FIRST_HOUR: Final = 480_000
DAYS: Final = 10
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of placement: mean decisions an hour, how often answered, after what median, and its window."""

    per_hour: float
    answered: float
    median_s: float
    window_s: float


KINDS: Final = {
    "busy, quick clicks": Kind(3000.0, 0.2, 30.0, 1800.0),
    "sales within days": Kind(800.0, 0.08, 4 * 3600.0, 3 * 86_400.0),
    "small": Kind(40.0, 0.15, 300.0, 3600.0),
}


class HealthyWeeks:
    """Ten days of one placement, to be looked at as of any hour."""

    def __init__(self, kind: Kind, seed: int) -> None:
        self.kind = kind
        chance = np.random.default_rng([41, seed])
        hours = DAYS * 24
        of_day = 1.0 + 0.7 * np.sin(2 * np.pi * (np.arange(hours) % 24 - 9) / 24)
        day = np.repeat(chance.normal(1.0, 0.08, DAYS).clip(0.7, 1.3), 24)
        self.size: Ints = chance.poisson(kind.per_hour * of_day * day)
        # The mood of an hour, and of the time of day: rates vary more than chance.
        mood = chance.gamma(100.0, 0.01, hours) * (1.0 + 0.1 * np.sin(2 * np.pi * np.arange(hours) / 24))
        answered: Ints = chance.binomial(self.size, np.minimum(kind.answered * mood, 1.0))
        self._cohort: Ints = np.repeat(np.arange(hours), answered)
        delay_us = chance.lognormal(np.log(kind.median_s), 1.2, len(self._cohort)) * 1e6
        in_time = delay_us < kind.window_s * 1e6
        self._cohort, delay_us = self._cohort[in_time], delay_us[in_time]
        self._bucket: Ints = np.searchsorted(np.array(DELAY_EDGES_US), delay_us, side="right")
        start_us = (self._cohort + chance.random(len(self._cohort))) * HOUR_US
        self._arrive_us = start_us + delay_us
        self._explored: Ints = chance.binomial(self.size, 0.15)
        self._chosen: Ints = chance.multinomial(self.size, [0.5, 0.3, 0.18, 0.02])
        self._shown: Ints = chance.binomial(self._chosen, [0.92, 0.85, 0.7, 0.9])
        self._fates: Ints = np.column_stack(
            [chance.binomial(self.size, rate) for rate in (0.03, 0.02, 0.001, 0.001, 0.01)]
        )

    def rollups(self, now: int) -> list[Rollup]:
        """Return what the fold would have counted by the beginning of hour `now`, counted from 0."""
        seen = self._arrive_us < now * HOUR_US
        width = len(DELAY_EDGES_US) + 1
        table = np.bincount(self._cohort[seen] * width + self._bucket[seen], minlength=now * width).reshape(
            -1, width
        )
        return [self._rollup(hour, table[hour], now) for hour in range(now)]

    def facts(self, now: int) -> LoopFacts:
        """Return a learner that keeps up."""
        now_us = (FIRST_HOUR + now) * HOUR_US
        window_us = round(self.kind.window_s * 1e6)
        placement = PlacementFacts(PLACEMENT, "vw", learns=True, window_us=window_us, learned_count=10_000)
        return LoopFacts(now_us, now_us - 1_000_000, None, None, (placement,))

    def _rollup(self, hour: int, arrivals: Ints, now: int) -> Rollup:
        size = int(self.size[hour])
        window_hours = -(-round(self.kind.window_s) // 3600)
        counts: dict[Key, int] = {
            (Measure.DECISION, "MODEL"): size,
            (Measure.DRAWN, ""): size,
            (Measure.EXPLORED, ""): int(self._explored[hour]),
            (Measure.EXPLORE_MASS, ""): round(size * 0.15 * MILLION),
            (Measure.ENTROPY, ""): size * 500_000,
            (Measure.ENTROPY_MOST, ""): size * 1_386_294,
            (Measure.CLOSED, "LEARNED"): size if hour + window_hours < now else 0,
            (Measure.CLIPPED, ""): round(arrivals.sum() * 0.01),
            (Measure.FEEDBACK, "APPLIED click"): int(arrivals.sum()) + size,
        }
        for number in np.flatnonzero(arrivals).tolist():
            counts[Measure.ARRIVAL, str(number)] = int(arrivals[number])
        for offer in range(4):
            counts[Measure.OFFER, f"offer-{offer}"] = int(self._chosen[hour, offer])
            counts[Measure.SHOWN, f"offer-{offer}"] = int(self._shown[hour, offer])
        for fate, count in zip(
            ("LATE", "DUPLICATE", "CONFLICTING", "INVALID", "UNATTRIBUTED"), self._fates[hour], strict=True
        ):
            counts[Measure.FEEDBACK, f"{fate} click"] = int(count)
        return Rollup(PLACEMENT, FIRST_HOUR + hour, 1, {key: count for key, count in counts.items() if count})
