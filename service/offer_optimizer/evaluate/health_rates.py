"""What is needed to call a rate wrong: sums over hours, a bound that is surely passed, a surely lower rate.

One look at one rate of a healthy shop alarms with a probability of at most 3.4e-6 (`ALARM_Z`), so a look
every hour at eight rates for a year alarms falsely about once in four years; thresholds on the size
of an effect make it rarer. Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from offer_optimizer.store.rollup_tables import Key, Measure, Rollup

ALARM_Z: Final = 4.5
"""Standard errors behind which chance is not believed any more; one-sided 3.4e-6."""


class History:
    """The hourly rollups of one placement, by hour. Days are left out: they can't be compared with hours."""

    def __init__(self, placement_id: str, rollups: Iterable[Rollup]) -> None:
        self.placement_id = placement_id
        self.hours: Mapping[int, Rollup] = {
            rollup.hour: rollup
            for rollup in sorted(rollups, key=lambda rollup: rollup.hour)
            if rollup.placement_id == placement_id and rollup.hours == 1
        }

    def over(self, first_hour: int, last_hour: int) -> Rollup:
        """Return the sum of [first_hour, last_hour], both inclusive."""
        inside = (self.hours[hour] for hour in self.hours if first_hour <= hour <= last_hour)
        return total_of(self.placement_id, first_hour, inside)


def total_of(placement_id: str, hour: int, rollups: Iterable[Rollup]) -> Rollup:
    """Return rollups added up; of PROPENSITY_LEAST the least."""
    counts: defaultdict[Key, int] = defaultdict(int)
    hours = 0
    for rollup in rollups:
        hours += rollup.hours
        for key, value in rollup.counts.items():
            is_least = key[0] == Measure.PROPENSITY_LEAST and key in counts
            counts[key] = min(counts[key], value) if is_least else counts[key] + value
    return Rollup(placement_id, hour, hours, dict(counts))


def is_surely_above(count: int, size: int, bound: float) -> bool:
    """Return whether a rate lies above a bound beyond chance: the lower end of Wilson's interval does.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if size == 0:
        return False
    share, z2 = count / size, ALARM_Z**2
    spread = ALARM_Z * math.sqrt(share * (1.0 - share) / size + z2 / (4.0 * size * size))
    return (share + z2 / (2.0 * size) - spread) / (1.0 + z2 / size) > bound


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `size`."""

    count: int
    size: int

    @property
    def value(self) -> float:
        """The share, 0 of nothing."""
        return self.count / self.size if self.size else 0.0


def dispersion(shares: Iterable[Share]) -> float:
    """Return by how much hours vary more than chance: Pearson's statistic a degree of freedom, at least 1.

    Visitors come back and hours of a day differ, so counts vary more than those of independent decisions.
    Source: P. McCullagh and J. Nelder, Generalized linear models, 2nd edition (1989), section 4.5.
    """
    found = [share for share in shares if share.size]
    size = sum(share.size for share in found)
    rate = sum(share.count for share in found) / size if size else 0.0
    if len(found) < 2 or not 0.0 < rate < 1.0:
        return 1.0
    variance = rate * (1.0 - rate)
    chi2 = sum((share.count - share.size * rate) ** 2 / (share.size * variance) for share in found)
    return max(chi2 / (len(found) - 1), 1.0)


def binomial_tail(share: Share, rate: float) -> float:
    """Return the chance of at most `share.count` at a rate in (0, 1]; 0 where the normal one is close enough.

    A handful of draws is far from normal: none of four at 0.9 is five standard errors and happens.
    """
    if share.size > _EXACT_MOST:
        return 0.0
    draws = range(share.count + 1)
    return sum(math.comb(share.size, k) * rate**k * (1.0 - rate) ** (share.size - k) for k in draws)


_EXACT_MOST: Final = 500


def is_surely_below(now: Share, before: Share, scale: float = 1.0) -> bool:
    """Return whether a rate is lower than it was, beyond chance; `scale` multiplies the variance."""
    if not now.size or not before.size:
        return False
    pooled = (now.count + before.count) / (now.size + before.size)
    error = math.sqrt(scale * pooled * (1.0 - pooled) * (1.0 / now.size + 1.0 / before.size))
    return error > 0.0 and (now.value - before.value) / error < -ALARM_Z
