"""How the learning loop is: alarms first, then the figures behind them, from rollups and facts. Pure.

What always holds: no alarm without enough data to be sure (`health_rates.ALARM_Z`), and a stable order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from offer_optimizer.core.feedback import Fate
from offer_optimizer.evaluate.alarms import ADVICE, Alarm
from offer_optimizer.evaluate.health_delays import delay_alarms, delay_quantiles
from offer_optimizer.evaluate.health_facts import LoopFacts, PlacementFacts
from offer_optimizer.evaluate.health_learner import disk_alarms, learner_alarms
from offer_optimizer.evaluate.health_rates import History, total_of
from offer_optimizer.evaluate.health_traffic import (
    activation_alarms,
    decision_alarms,
    fates_of,
    feedback_alarms,
    join_share,
    loop_feedback_alarms,
    reward_alarms,
    traffic_alarms,
)
from offer_optimizer.store.rollup_tables import HOUR_US, MILLION, Measure, Rollup

FIGURE_HOURS: Final = 24
"""Figures are of the last day, the running hour included."""


@dataclass(frozen=True, slots=True)
class PlacementHealth:
    """The figures of one placement over the last 24 hours. Shares are in [0, 1], None of nothing.

    `model_age_s` is the time since the served model was published. `fates` counts items of feedback.
    `answered_share` of the decisions had feedback other than shown and not_shown by now. `reward_mean` is of
    decisions that closed. `exploration_share` and `entropy_share` (of the greatest possible) are of the
    model's pmfs. Delays are from a decision to its first such feedback, over two weeks.
    `remarks` are what the published model says about how it answers.
    """

    placement: str
    policy: str
    is_frozen: bool
    learn_probability: float
    model_age_s: float | None
    learned_count: int
    unlearned_count: int
    open_count: int
    decision_count: int
    reasons: dict[str, int]
    fates: dict[str, int]
    answered_share: float | None
    reward_mean: float | None
    clipped_share: float | None
    exploration_share: float | None
    entropy_share: float | None
    propensity_least: float | None
    delay_s_p50: float | None
    delay_s_p90: float | None
    delay_s_p99: float | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoopHealth:
    """How the loop is. `join_share` of the feedback of the last day found its decision; None of nothing."""

    alarms: tuple[Alarm, ...]
    learner_lag_s: float
    ledger_time_us: int
    join_share: float | None
    unknown_count: int
    placements: tuple[PlacementHealth, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        content = {name: getattr(self, name) for name in ("learner_lag_s", "ledger_time_us", "join_share")}
        return {
            "alarms": [alarm.to_dict() for alarm in self.alarms],
            **content,
            "unknown_count": self.unknown_count,
            "placements": [asdict(placement) for placement in self.placements],
        }


def loop_health(rollups: Sequence[Rollup], facts: LoopFacts, placement_id: str = "") -> LoopHealth:
    """Return how the loop is; with a placement, of it and of the loop as a whole.

    `rollups` are those of all placements.
    """
    everything = _everything(rollups)
    asked = [item for item in facts.placements if placement_id in ("", item.placement_id)]
    histories = {item.placement_id: History(item.placement_id, rollups) for item in asked}
    alarms = [*disk_alarms(facts), *learner_alarms(facts), *loop_feedback_alarms(everything, facts.hour)]
    for item in asked:
        alarms += _placement_alarms(histories[item.placement_id], item, facts)
    ids = {"", *histories}
    order = {name: number for number, name in enumerate(ADVICE)}
    alarms = [alarm for alarm in alarms if alarm.placement_id in ids]
    alarms.sort(key=lambda alarm: (order[alarm.name], alarm.placement_id, alarm.message))
    fates = fates_of(everything.over(facts.hour - FIGURE_HOURS + 1, facts.hour))
    joined = join_share(fates)
    return LoopHealth(
        alarms=tuple(alarms),
        learner_lag_s=facts.lag_s,
        ledger_time_us=facts.ledger_time_us,
        join_share=joined.value if joined.size else None,
        unknown_count=fates.get(Fate.UNKNOWN, 0),
        placements=tuple(_figures(histories[item.placement_id], item, facts) for item in asked),
    )


def _placement_alarms(history: History, item: PlacementFacts, facts: LoopFacts) -> Iterator[Alarm]:
    hour = facts.hour
    window_hours = -(-item.window_us // HOUR_US)
    yield from traffic_alarms(history, hour)
    yield from decision_alarms(history, hour, item)
    yield from feedback_alarms(history, hour)
    yield from reward_alarms(history, hour, window_hours)
    yield from activation_alarms(history, hour, item.nothing_offers)
    # Ledger time, not the clock: behind a stopped learner nothing is late.
    yield from delay_alarms(history, facts.ledger_time_us, item.window_us)


def _everything(rollups: Sequence[Rollup]) -> History:
    """Return the hours of all placements together."""
    by_hour: dict[int, list[Rollup]] = {}
    for rollup in rollups:
        if rollup.hours == 1:
            by_hour.setdefault(rollup.hour, []).append(rollup)
    totals = (total_of("", hour, found) for hour, found in by_hour.items())
    return History("", [Rollup("", total.hour, 1, total.counts) for total in totals])


def _figures(history: History, item: PlacementFacts, facts: LoopFacts) -> PlacementHealth:
    day = history.over(facts.hour - FIGURE_HOURS + 1, facts.hour)
    decisions, drawn = day.total(Measure.DECISION), day.of(Measure.DRAWN)
    arrived = day.total(Measure.ARRIVAL)
    entropy, most = day.of(Measure.ENTROPY), day.of(Measure.ENTROPY_MOST)
    least = day.of(Measure.PROPENSITY_LEAST)
    quantiles = delay_quantiles(history, facts.ledger_time_us, item.window_us) or (None, None, None)
    return PlacementHealth(
        placement=item.placement_id,
        policy=item.policy,
        is_frozen=item.frozen_since_us is not None,
        learn_probability=item.learn_probability,
        model_age_s=None if item.published_us is None else max(facts.now_us - item.published_us, 0) / 1e6,
        learned_count=item.learned_count,
        unlearned_count=item.unlearned_count,
        open_count=item.open_count,
        decision_count=decisions,
        reasons=dict(sorted(day.by_label(Measure.DECISION).items())),
        fates={fate.name: count for fate, count in sorted(fates_of(day).items())},
        answered_share=_share(arrived, decisions),
        reward_mean=_reward_mean(day),
        clipped_share=_share(day.total(Measure.CLIPPED), arrived),
        exploration_share=_share(day.of(Measure.EXPLORE_MASS), drawn * MILLION),
        entropy_share=_share(min(entropy, most), most),
        propensity_least=least / (1000 * MILLION) if drawn else None,
        delay_s_p50=quantiles[0],
        delay_s_p90=quantiles[1],
        delay_s_p99=quantiles[2],
        remarks=item.remarks,
    )


def _share(count: int, size: int) -> float | None:
    return count / size if size else None


def _reward_mean(day: Rollup) -> float | None:
    """Return the mean reward of what closed, each in the range that was declared for it."""
    closed = day.of(Measure.CLOSED, "LEARNED") + day.of(Measure.CLOSED, "NOT_LEARNABLE")
    ranges = day.by_label(Measure.REWARD)
    if not closed or len(ranges) != 1:
        return None  # of two ranges nobody knows how many decisions had which
    (label, total) = next(iter(ranges.items()))
    low, high = map(float, label.split(" "))
    return low + (high - low) * total / MILLION / closed
