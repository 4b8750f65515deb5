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
from offer_optimizer.evaluate.health_rates import ALARM_Z, History, Share, dispersion
from offer_optimizer.store.rollup_tables import DAY_HOURS, DELAY_EDGES_US, HOUR_US, Measure, Rollup

EXPECTED_LEAST: Final = 50
"""Rewards to expect of the recent cohorts: below, a loss of 3 in 10 could not be told from chance."""
RECENT_HOURS_MOST: Final = 48
"""Cohorts that count as recent at most: what is older is history."""
BASE_HOURS_LEAST: Final = 24
"""Earlier cohorts to know the usual from: a day, so that day and night are both in it."""
MISSING_SHARE: Final = 0.7
"""Fewer than this share of what is usual is worth an alarm: days differ by less."""
LATER_FACTOR: Final = 1.4
"""So many times as long after their decisions as usual is worth an alarm."""
BUCKETS: Final = len(DELAY_EDGES_US) + 1
BUCKETS_PER_DOUBLING: Final = 2
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

    def bucket_sum(self, buckets: int) -> int:
        """Return the sum of the numbers of their buckets, over the first buckets."""
        return sum(bucket * count for bucket, count in enumerate(self.arrivals[:buckets]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Recent cohorts against the usual: arrivals, their delays, and what both should be.

    `factor` says how many times as long after their decisions they came, in the geometric mean, and `delay_z`
    by how many standard errors that is more than 1. `late` of them came later than the usual median,
    `late_expected` should have. `error` is the standard error of `arrived`.
    """

    arrived: int
    expected: float
    error: float
    factor: float
    delay_z: float
    late: int
    late_expected: float

    @property
    def is_missing(self) -> bool:
        """Whether too few came, beyond chance."""
        return self.arrived < MISSING_SHARE * self.expected and (
            self.arrived - self.expected < -ALARM_Z * self.error
        )

    @property
    def is_late(self) -> bool:
        """Whether they came later, beyond chance. Where early ones are lost, late ones are not more."""
        return self.factor > LATER_FACTOR and self.delay_z > ALARM_Z and self.late > self.late_expected


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
    delays = _compare_delays(recent, known, usual, _median_bucket(usual, most))
    return Comparison(
        sum(cohort.arrived(cohort.complete) for cohort in recent),
        expected,
        math.sqrt(scale * (spread + expected * expected / basis)),
        *delays,
    )


def _compare_delays(
    recent: Sequence[Cohort], known: Sequence[Cohort], usual: Sequence[Cohort], middle: int
) -> tuple[float, float, int, float]:
    """Return factor, delay_z, late and late_expected; `middle` is the bucket where the usual median ends.

    Each cohort's mean bucket, which is the mean logarithm of its delays, is held against that of the usual
    arrivals at the same age.
    """
    shift, variance, count, late, late_expected = 0.0, 0.0, 0, 0, 0.0
    basis = 1
    for cohort in recent:
        complete = cohort.complete
        like = [other for other in usual if other.complete >= complete]
        usual_count, mean, spread = _bucket_moments(like, complete)
        if complete <= middle or usual_count < EXPECTED_LEAST:
            continue  # too young for both halves
        basis = max(basis, usual_count)
        count += cohort.arrived(complete)
        shift += cohort.bucket_sum(complete) - cohort.arrived(complete) * mean
        variance += cohort.arrived(complete) * spread
        late += cohort.arrived(complete) - cohort.arrived(middle)
        share = 1.0 - sum(other.arrived(middle) for other in like) / usual_count
        late_expected += cohort.size * _rate(usual, complete).value * share
    if not count or not variance:
        return 1.0, 0.0, late, late_expected
    scale = _bucket_dispersion(known)
    error = math.sqrt(scale * variance * (1.0 + count / basis))
    return float(2.0 ** (shift / count / BUCKETS_PER_DOUBLING)), shift / error, late, late_expected


def _bucket_moments(like: Sequence[Cohort], complete: int) -> tuple[int, float, float]:
    """Return how many arrivals there were in the first buckets, the mean bucket and its variance."""
    arrivals = [sum(column) for column in zip(*(cohort.arrivals[:complete] for cohort in like), strict=True)]
    count = sum(arrivals)
    if not count:
        return 0, 0.0, 0.0
    mean = sum(bucket * found for bucket, found in enumerate(arrivals)) / count
    square = sum(bucket * bucket * found for bucket, found in enumerate(arrivals)) / count
    return count, mean, square - mean * mean


def _bucket_dispersion(known: Sequence[Cohort]) -> float:
    """Return by how much the mean buckets of hours vary more than chance, at least 1."""
    complete = min(cohort.complete for cohort in known)
    _, mean, spread = _bucket_moments(known, complete)
    hours = [cohort for cohort in known if cohort.arrived(complete)]
    if len(hours) < 2 or not spread:
        return 1.0
    squares = (
        (cohort.bucket_sum(complete) - cohort.arrived(complete) * mean) ** 2 / cohort.arrived(complete)
        for cohort in hours
    )
    return max(sum(squares) / spread / (len(hours) - 1), 1.0)


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
            f"Feedback came {found.factor:.2g} times as long after its decision as usual; "
            f"{found.arrived:,} decisions were answered, {usual}."
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
