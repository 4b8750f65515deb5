"""Are decisions, feedback and exploration as they should be? From the rollups of one placement. Pure.

Thresholds are rates that are wrong in themselves; a rate must pass its own beyond chance (`is_surely_above`).
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Final

from offer_optimizer.core.feedback import Fate
from offer_optimizer.evaluate.alarms import Alarm
from offer_optimizer.evaluate.health_facts import PlacementFacts
from offer_optimizer.evaluate.health_rates import (
    ALARM_Z,
    History,
    Share,
    binomial_tail,
    dispersion,
    is_surely_above,
    is_surely_below,
)
from offer_optimizer.store.rollup_tables import DAY_HOURS, MILLION, Measure, Rollup

RECENT_HOURS: Final = 6
"""An alarm is over so many hours after its cause, and a slow placement still has something to count."""
ACTIVATION_HOURS: Final = (1, 6, 24)
"""Offers are compared over the last hour, in which a break shows soonest, and over a day, for rare offers."""

UNKNOWN_BOUND: Final = 0.05
"""Feedback that is early waits until its decision is here: what remains unknown is wrong."""
LATE_BOUND: Final = 0.10
"""A tenth of the truth that is learned as silence moves the model."""
UNATTRIBUTED_BOUND: Final = 0.5
"""Callers may send all events of a site; where most find nobody, ids don't match."""
CONFLICTING_BOUND: Final = 0.01
INVALID_BOUND: Final = 0.01
"""Neither ever happens to a sender that works; one in a hundred is more than a stray test."""
DUPLICATE_BOUND: Final = 0.2
"""Retries repeat some items; one in five is no retry."""
CLIPPED_BOUND: Final = 0.05
"""One reward in twenty that is not what was earned can turn two offers round."""
FAILED_BOUND: Final = 0.01
UNAVAILABLE_BOUND: Final = 0.01
UNREADY_BOUND: Final = 0.01
"""A restart takes a second of an hour, 3 in 10,000."""
JOIN_FALL: Final = 0.1
SILENT_DECISIONS: Final = 10_000
"""Rewards rarer than 1 in 1,000 can't be learned from; 10,000 times silence has a chance of 5e-5 there."""
ACTIVE_SHARE: Final = 0.05
"""Where `shown` is not sent for others either, its absence says nothing."""
TASTE: Final = 0.5
"""Offers differ in how often they are seen: chance is asked about one seen half as often as the others."""
INACTIVE_FACTOR: Final = 0.2
"""Offers at the foot of a page are seen less; a fifth of the others' rate is no matter of taste."""
EXPLORATION_LEAST: Final = 0.005
"""The default floor leaves 1 in 100 with two offers, more with more."""
UNIFORM_ENTROPY: Final = 0.98
UNIFORM_LEARNED: Final = 5000
"""By then a model that can tell offers apart does; before, it should be close to uniform."""
DRAWS_LEAST: Final = 1000
TRAFFIC_LEAST: Final = 20
"""Nobody for an hour where 20 are usual has a chance of 2e-9."""
TRAFFIC_DAYS: Final = 2


def fates_of(rollup: Rollup) -> dict[Fate, int]:
    """Return how many items met each fate."""
    found: dict[Fate, int] = {}
    for label, count in rollup.by_label(Measure.FEEDBACK).items():
        fate = Fate[label.split(" ", 1)[0]]
        found[fate] = found.get(fate, 0) + count
    return found


def feedback_alarms(history: History, hour: int) -> Iterator[Alarm]:
    """Yield what is wrong with the feedback of a placement. `hour` is the running one."""
    fates = fates_of(history.over(hour - RECENT_HOURS, hour))
    size = sum(fates.values())
    for name, fate, bound in _FATE_BOUNDS:
        yield from _above(history, name, Share(fates.get(fate, 0), size), bound, "items of feedback")


def loop_feedback_alarms(everything: History, hour: int) -> Iterator[Alarm]:
    """Yield what is wrong with all feedback: what is unknown has no placement."""
    fates = fates_of(everything.over(hour - RECENT_HOURS, hour))
    # What was parked is counted again by the fate that it met, or has met none yet.
    judged = sum(fates.values()) - fates.get(Fate.PARKED, 0)
    unknown = Share(fates.get(Fate.UNKNOWN, 0), judged)
    yield from _above(everything, "unknown_feedback", unknown, UNKNOWN_BOUND, "items of feedback")
    now = join_share(fates)
    hours = [
        rollup
        for at, rollup in everything.hours.items()
        if at < hour - RECENT_HOURS and join_share(fates_of(rollup)).size
    ]
    shares = [join_share(fates_of(rollup)) for rollup in hours]
    before = Share(sum(share.count for share in shares), sum(share.size for share in shares))
    has_fallen = len(shares) >= DAY_HOURS and before.value - now.value > JOIN_FALL
    if has_fallen and is_surely_below(now, before, dispersion(shares)):
        yield Alarm(
            "join_rate_fell",
            "",
            f"{now.value:.1%} of {now.size:,} items found their decision, before {before.value:.1%}.",
        )


def join_share(fates: dict[Fate, int]) -> Share:
    """Return how much of the feedback found its decision; what was sent twice counts once."""
    size = sum(count for fate, count in fates.items() if fate not in (Fate.DUPLICATE, Fate.PARKED))
    return Share(fates.get(Fate.APPLIED, 0), size)


def reward_alarms(history: History, hour: int, window_hours: int) -> Iterator[Alarm]:
    """Yield what is wrong with rewards, of decisions whose windows closed in the last hours or are open."""
    recent = history.over(hour - RECENT_HOURS - window_hours, hour)
    arrived, closed = recent.total(Measure.ARRIVAL), recent.total(Measure.CLOSED)
    clipped, failed = recent.total(Measure.CLIPPED), recent.of(Measure.CLOSED, "REWARD_FAILED")
    yield from _above(
        history, "reward_clipped", Share(clipped, max(arrived, clipped)), CLIPPED_BOUND, "rewards"
    )
    yield from _above(history, "reward_failed", Share(failed, closed), FAILED_BOUND, "closed decisions")
    if not arrived and closed >= SILENT_DECISIONS:
        yield Alarm("only_silence", history.placement_id, f"All of {closed:,} windows closed in silence.")


def decision_alarms(history: History, hour: int, facts: PlacementFacts) -> Iterator[Alarm]:
    """Yield what is wrong with decisions, and with how the model explores."""
    recent = history.over(hour - RECENT_HOURS, hour)
    size = recent.total(Measure.DECISION)
    unavailable = Share(recent.of(Measure.DECISION, "MODEL_UNAVAILABLE"), size)
    yield from _above(history, "model_unavailable", unavailable, UNAVAILABLE_BOUND, "decisions")
    unready = Share(recent.of(Measure.UNREADY), size)
    yield from _above(history, "counters_unready", unready, UNREADY_BOUND, "decisions")
    drawn = recent.of(Measure.DRAWN)
    if drawn < DRAWS_LEAST:
        return
    mass = recent.of(Measure.EXPLORE_MASS) / MILLION
    explored = recent.of(Measure.EXPLORED)
    # Draws that are not alike vary less than if all had their mean: the bound is on the safe side.
    error = (mass * (1.0 - mass / drawn)) ** 0.5
    if abs(explored - mass) > ALARM_Z * max(error, 1.0):
        yield Alarm(
            "draws_off",
            history.placement_id,
            f"{explored:,} of {drawn:,} draws took another offer than the likeliest, expected {mass:,.0f}.",
        )
    if mass < EXPLORATION_LEAST * drawn and facts.learns:
        yield Alarm(
            "exploration_collapsed",
            history.placement_id,
            f"{mass / drawn:.2%} of {drawn:,} decisions explore.",
        )
    spread = recent.of(Measure.ENTROPY) / max(recent.of(Measure.ENTROPY_MOST), 1)
    if facts.learns and facts.learned_count >= UNIFORM_LEARNED and spread > UNIFORM_ENTROPY:
        yield Alarm(
            "exploration_uniform",
            history.placement_id,
            f"After {facts.learned_count:,} examples the entropy is {spread:.1%} of that of pure chance.",
        )


def activation_alarms(history: History, hour: int, nothing_offers: frozenset[str]) -> Iterator[Alarm]:
    """Yield offers whose `shown` hardly ever comes, each at most once."""
    told: set[str] = set()
    for hours in ACTIVATION_HOURS:
        recent = history.over(hour - hours, hour)
        for offer, seen in _not_activated(recent, nothing_offers):
            if offer not in told:
                told.add(offer)
                yield Alarm("offer_not_activated", history.placement_id, f"{offer}: {seen}")


def _not_activated(recent: Rollup, nothing_offers: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield offers and what was seen. The level is shared out among offers and looks (Bonferroni)."""
    shown = recent.by_label(Measure.SHOWN)
    offers = {
        offer: Share(shown.get(offer, 0), count)
        for offer, count in recent.by_label(Measure.OFFER).items()
        if offer not in nothing_offers
    }
    chosen, active = sum(s.size for s in offers.values()), sum(s.count for s in offers.values())
    level = NormalDist().cdf(-ALARM_Z) / max(len(offers) * len(ACTIVATION_HOURS), 1)
    for offer, share in sorted(offers.items()):
        others = Share(active - share.count, chosen - share.size)
        if others.value < ACTIVE_SHARE or share.value >= INACTIVE_FACTOR * others.value:
            continue
        pooled = active / chosen
        error = (pooled * (1.0 - pooled) * (1.0 / share.size + 1.0 / others.size)) ** 0.5
        is_lower = error > 0.0 and (share.value - others.value) / error < NormalDist().inv_cdf(level)
        if is_lower and binomial_tail(share, TASTE * others.value) < level:
            yield (
                offer,
                (
                    f"{share.count:,} of {share.size:,} were reported as shown, of the other offers "
                    f"{others.value:.1%}."
                ),
            )


def traffic_alarms(history: History, hour: int) -> Iterator[Alarm]:
    """Yield a silence of pages: full hours without a decision that had some on every earlier day."""
    busy = [at for at, rollup in history.hours.items() if rollup.total(Measure.DECISION)]
    if not busy or max(busy) >= hour - 1:
        return
    stopped = max(busy) + 1
    for silent in range(stopped, hour):
        earlier = range(silent - DAY_HOURS, min(busy) - 1, -DAY_HOURS)
        counts = [
            history.hours[at].total(Measure.DECISION) if at in history.hours else 0
            for at in earlier
            if at < stopped
        ]
        if len(counts) >= TRAFFIC_DAYS and min(counts) >= TRAFFIC_LEAST:
            yield Alarm(
                "no_traffic",
                history.placement_id,
                f"No decision for {hour - stopped} h; this hour of earlier days had {min(counts):,} or more.",
            )
            return


def _above(history: History, name: str, share: Share, bound: float, what: str) -> Iterator[Alarm]:
    if is_surely_above(share.count, share.size, bound):
        message = f"{share.count:,} of {share.size:,} {what} ({share.value:.1%}, bound {bound:.0%})."
        yield Alarm(name, history.placement_id, message)


_FATE_BOUNDS: Final = (
    ("late_feedback", Fate.LATE, LATE_BOUND),
    ("unattributed_feedback", Fate.UNATTRIBUTED, UNATTRIBUTED_BOUND),
    ("conflicting_feedback", Fate.CONFLICTING, CONFLICTING_BOUND),
    ("duplicate_feedback", Fate.DUPLICATE, DUPLICATE_BOUND),
    ("invalid_feedback", Fate.INVALID, INVALID_BOUND),
)
