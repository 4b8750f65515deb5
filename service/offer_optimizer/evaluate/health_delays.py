"""Do rewards arrive as they usually do: as many, and as soon after their decisions? Pure.

Decisions of one hour are a cohort. A delay bucket of a cohort is complete once its youngest decision is older
than the bucket's end, so a recent cohort is compared with earlier ones at the age that it has reached: no
window has to close first. Earlier cohorts are those of the same hours of the day where three days are there;
how much hours differ by themselves is measured and allowed for (`dispersion`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from offer_optimizer.evaluate.alarms import Alarm
from offer_optimizer.evaluate.health_learner import show_s
from offer_optimizer.evaluate.health_rates import ALARM_Z, History, Share, dispersion, is_surely_below
from offer_optimizer.store.rollup_tables import DAY_HOURS, DELAY_EDGES_US, HOUR_US, Measure, Rollup

EXPECTED_LEAST: Final = 50
"""Rewards to expect of the recent cohorts: below, a loss of 3 in 10 could not be told from chance."""
RECENT_HOURS_MOST: Final = 48
"""Cohorts that count as recent at most: what is older is history."""
BASE_HOURS_LEAST: Final = 24
"""Earlier cohorts to know the usual from: a day, so that day and night are both in it."""
MISSING_SHARE: Final = 0.7
"""Fewer than this share of what is usual is worth an alarm: days differ by less."""
LATE_SHIFT: Final = 0.1
"""Of the rewards that usually come in the faster half, so many less is worth an alarm."""
BUCKETS: Final = len(DELAY_EDGES_US) + 1
_DAYS_LEAST: Final = 3


@dataclass(frozen=True, slots=True)
class Cohort:
    """The decisions of an hour: how many, how many were first answered in each bucket, complete buckets."""

    hour: int
    size: int
    arrivals: tuple[int, ...]
    complete: int
    _sums: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", tuple(accumulate(self.arrivals, initial=0)))

    def arrived(self, buckets: int) -> int:
        """Return how many were answered within the first buckets."""
        return self._sums[buckets]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Recent cohorts against the usual: arrivals and what they should be, early ones of both.

    `early` is the share of recent arrivals within `median_us`, the usual median; `early_before` the usual
    share, and `late_expected` how many later ones there should be. `error` is the standard error of arrivals,
    `early_scale` by how much the early share of hours varies more than chance.
    """

    arrived: int
    expected: float
    early: Share
    early_before: Share
    late_expected: float
    median_us: int
    error: float
    early_scale: float

    @property
    def is_missing(self) -> bool:
        """Whether too few came, beyond chance."""
        return self.arrived < MISSING_SHARE * self.expected and (
            self.arrived - self.expected < -ALARM_Z * self.error
        )

    @property
    def is_late(self) -> bool:
        """Whether they came later, beyond chance. Where early ones are lost, late ones are not more."""
        late = self.early.size - self.early.count
        is_shifted = self.early_before.value - self.early.value > LATE_SHIFT
        is_more = late > self.late_expected
        return is_shifted and is_more and is_surely_below(self.early, self.early_before, self.early_scale)


def cohorts(history: History, ledger_time_us: int, window_us: int) -> list[Cohort]:
    """Return the cohorts with a complete bucket, oldest first."""
    found = []
    for hour, rollup in history.hours.items():
        age_us = ledger_time_us - (hour + 1) * HOUR_US
        complete = BUCKETS if age_us >= window_us else bisect_right(DELAY_EDGES_US, age_us)
        size = rollup.total(Measure.DECISION) - rollup.of(Measure.DECISION, "NO_ELIGIBLE_OFFER")
        if complete and size:
            found.append(Cohort(hour, size, _arrivals(rollup), complete))
    return found


def compare(found: Sequence[Cohort]) -> Iterator[Comparison]:
    """Yield comparisons of the newest cohorts with those before: as few as can be, twice as many and so on.

    The fewest see a break soonest, more see a small one, and one that has lasted for long.
    """
    least = 1
    for count in range(1, min(len(found), RECENT_HOURS_MOST + 1)):
        if count < least:
            continue
        recent, before = found[-count:], found[:-count]
        if len(before) < BASE_HOURS_LEAST or recent[-1].hour - recent[0].hour >= RECENT_HOURS_MOST:
            return
        usual = _same_hours(recent, before)
        rates = {cohort.complete: _rate(usual, cohort.complete) for cohort in recent}
        expected = sum(cohort.size * rates[cohort.complete].value for cohort in recent)
        if expected >= EXPECTED_LEAST:
            least = 2 * count
            yield _compared(recent, before, usual, expected)


def _compared(
    recent: Sequence[Cohort], before: Sequence[Cohort], usual: Sequence[Cohort], expected: float
) -> Comparison:
    most = max(cohort.complete for cohort in recent)
    known = [cohort for cohort in before if cohort.complete >= most] or list(before)
    scale = dispersion(Share(cohort.arrived(most), cohort.size) for cohort in known)
    basis = max(sum(cohort.arrived(cohort.complete) for cohort in usual), 1)
    spread = expected * (1.0 - min(expected / sum(cohort.size for cohort in recent), 1.0))
    middle = _median_bucket(usual, most)
    # Early and late are told apart among cohorts that are old enough for both.
    able = [cohort for cohort in recent if cohort.complete > middle]
    early = Share(
        sum(cohort.arrived(middle) for cohort in able),
        sum(cohort.arrived(cohort.complete) for cohort in able),
    )
    early_usual, size_usual, late_expected = 0.0, 0.0, 0.0
    for cohort in able:
        like = [other for other in usual if other.complete >= cohort.complete]
        share = Share(sum(o.arrived(middle) for o in like), sum(o.arrived(cohort.complete) for o in like))
        early_usual += share.value * cohort.arrived(cohort.complete)
        size_usual += cohort.arrived(cohort.complete)
        late_expected += cohort.size * _rate(usual, cohort.complete).value * (1.0 - share.value)
    share_usual = early_usual / size_usual if size_usual else 0.0
    return Comparison(
        arrived=sum(cohort.arrived(cohort.complete) for cohort in recent),
        expected=expected,
        early=early,
        early_before=Share(round(share_usual * basis), basis),
        late_expected=late_expected,
        median_us=DELAY_EDGES_US[middle - 1],
        error=math.sqrt(scale * (spread + expected * expected / basis)),
        early_scale=dispersion(Share(cohort.arrived(middle), cohort.arrived(most)) for cohort in known),
    )


def delay_alarms(history: History, ledger_time_us: int, window_us: int) -> Iterator[Alarm]:
    """Yield what is wrong with the arrival of rewards, each at most once."""
    told: set[str] = set()
    for found in compare(cohorts(history, ledger_time_us, window_us)):
        for name, message in _findings(found):
            if name not in told:
                told.add(name)
                yield Alarm(name, history.placement_id, message)


def _findings(found: Comparison) -> Iterator[tuple[str, str]]:
    usual = f"usually {found.expected:,.0f} at their age"
    if found.is_late:
        message = (
            f"{found.early.value:.0%} of what came first came within {show_s(found.median_us / 1e6)} of its "
            f"decision, usually {found.early_before.value:.0%}; {found.arrived:,} decisions were answered, "
            f"{usual}."
        )
        yield "rewards_late", message
    if found.is_missing:
        yield (
            "rewards_missing",
            f"{found.arrived:,} of the recent decisions were answered by feedback, {usual}.",
        )


def delay_quantiles(
    history: History, ledger_time_us: int, window_us: int
) -> tuple[float, float, float] | None:
    """Return p50, p90 and p99 of delays in seconds; None without any.

    Of cohorts whose windows are over, so that slow ones are not left out; before the first, of all there is.
    """
    over = [cohort for cohort in cohorts(history, ledger_time_us, window_us) if cohort.complete == BUCKETS]
    counted = [cohort.arrivals for cohort in over] or [_arrivals(rollup) for rollup in history.hours.values()]
    arrivals = [sum(column) for column in zip(*counted, strict=True)]
    if not sum(arrivals):
        return None
    p50, p90, p99 = (_quantile_s(arrivals, level) for level in (0.5, 0.9, 0.99))
    return p50, p90, p99


def _arrivals(rollup: Rollup) -> tuple[int, ...]:
    counted = rollup.by_label(Measure.ARRIVAL)
    return tuple(counted.get(str(bucket), 0) for bucket in range(BUCKETS))


def _same_hours(recent: Sequence[Cohort], before: Sequence[Cohort]) -> Sequence[Cohort]:
    """Return earlier cohorts of the same hours of the day, where there are three days of them; else all."""
    wanted = {cohort.hour % DAY_HOURS for cohort in recent}
    same = [cohort for cohort in before if cohort.hour % DAY_HOURS in wanted]
    return same if len({cohort.hour // DAY_HOURS for cohort in same}) >= _DAYS_LEAST else before


def _rate(usual: Sequence[Cohort], complete: int) -> Share:
    able = [cohort for cohort in usual if cohort.complete >= complete]
    return Share(sum(cohort.arrived(complete) for cohort in able), sum(cohort.size for cohort in able))


def _median_bucket(usual: Sequence[Cohort], most: int) -> int:
    """Return within how many buckets half of the usual arrivals come, at least one."""
    arrivals = [sum(column) for column in zip(*(cohort.arrivals[:most] for cohort in usual), strict=True)]
    half, found = sum(arrivals) / 2.0, 0.0
    for bucket, count in enumerate(arrivals):
        found += count
        if found >= half:
            return min(bucket + 1, BUCKETS - 1)
    return 1


def _quantile_s(arrivals: Sequence[int], level: float) -> float:
    """Return a quantile, even within a bucket on the scale of logarithms."""
    wanted, below = level * sum(arrivals), 0.0
    for bucket, count in enumerate(arrivals):
        if count and below + count >= wanted:
            low = DELAY_EDGES_US[bucket - 1] if bucket else DELAY_EDGES_US[0] / 2
            high = DELAY_EDGES_US[bucket] if bucket < len(DELAY_EDGES_US) else low
            return float(low * (high / low) ** ((wanted - below) / count)) / 1e6
        below += count
    return DELAY_EDGES_US[-1] / 1e6
