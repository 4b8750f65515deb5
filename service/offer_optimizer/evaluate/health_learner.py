"""Is the learner keeping up, does its clock go, does its model move? From facts alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from offer_optimizer.evaluate.alarms import Alarm
from offer_optimizer.evaluate.health_facts import LoopFacts, PlacementFacts

LAG_S: Final = 60.0
"""At full rate the lag stays below 5 s, and a restart takes seconds: a minute is neither."""
OVERDUE_US: Final = 60_000_000
"""A TICK follows the clock by some seconds; the clock watch itself allows jumps of 60 s."""
STALE_US: Final = 600_000_000
"""A model is published within a second of learning; ten minutes forgive a restart and a full catch-up."""
FROZEN_US: Final = 86_400_000_000
"""An incident is frozen for hours; what lasts a day was forgotten."""


FREE_BYTES: Final = 256 * 1024 * 1024
"""Four segments: what a full disk refuses next is feedback."""


def disk_alarms(facts: LoopFacts) -> Iterator[Alarm]:
    """Yield what is wrong with files and the disk that they lie on."""
    for sentence in facts.damage:
        yield Alarm("file_damaged", "", sentence)
    for sentence in facts.refusals:
        yield Alarm("storage_refused", "", sentence)
    if facts.free_bytes is not None and facts.free_bytes < FREE_BYTES:
        yield Alarm("disk_low", "", f"{facts.free_bytes // 2**20:,} MiB are free.")


def learner_alarms(facts: LoopFacts) -> Iterator[Alarm]:
    """Yield what is wrong with the learner as a whole, then placement by placement."""
    if facts.lag_s > LAG_S:
        yield Alarm("learner_lag", "", f"The oldest waiting record is {show_s(facts.lag_s)} old.")
    elif facts.oldest_due_us is not None and facts.now_us - facts.oldest_due_us > OVERDUE_US:
        overdue_s = (facts.now_us - facts.oldest_due_us) / 1e6
        yield Alarm(
            "ledger_time_stopped", "", f"A window that is {show_s(overdue_s)} over its time has not closed."
        )
    elif facts.ledger_time_us - facts.now_us > OVERDUE_US:
        ahead_s = (facts.ledger_time_us - facts.now_us) / 1e6
        yield Alarm("ledger_time_stopped", "", f"Ledger time is {show_s(ahead_s)} ahead of the clock.")
    for placement in facts.placements:
        yield from _model_alarms(placement, facts.now_us)


def _model_alarms(placement: PlacementFacts, now_us: int) -> Iterator[Alarm]:
    if not placement.learns:
        return
    waiting_us = 0 if placement.oldest_unlearned_us is None else now_us - placement.oldest_unlearned_us
    if placement.frozen_since_us is not None:
        frozen_us = now_us - placement.frozen_since_us
        if frozen_us > FROZEN_US:
            yield Alarm("learning_frozen", placement.placement_id, f"Frozen for {show_s(frozen_us / 1e6)}.")
    elif waiting_us > STALE_US:
        yield Alarm(
            "model_stale",
            placement.placement_id,
            f"{placement.unlearned_count:,} examples wait, the oldest for {show_s(waiting_us / 1e6)}.",
        )
    if placement.learn_probability < 1.0:
        yield Alarm(
            "thinning_active",
            placement.placement_id,
            f"Silence is learned with probability {placement.learn_probability:.3g}.",
        )


def show_s(seconds: float) -> str:
    """Return a length of time as people say it."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
