"""Feedback, and what can become of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

SHOWN: Final = "shown"
NOT_SHOWN: Final = "not_shown"
BUILT_IN_KINDS: Final = (SHOWN, NOT_SHOWN, "click", "conversion", "dismiss")


class Fate(IntEnum):
    """What became of an item of feedback at the join. Numbers are stored: never change one."""

    APPLIED = 1
    DUPLICATE = 2
    CONFLICTING = 3
    LATE = 4
    UNKNOWN = 5
    UNATTRIBUTED = 6
    PARKED = 7
    INVALID = 8


@dataclass(frozen=True, slots=True)
class Feedback:
    """Something observed after a decision, addressed by decision or by visitor and placement.

    `decision_id` is 16 bytes, or empty when `placement_id` and a visitor address it.
    Times are microseconds since the epoch. One with `retracts_feedback_id` takes back the item of its
    decision that has this id, whichever comes first, and is no evidence itself; it can't be taken back.
    """

    feedback_id: str
    decision_id: bytes
    placement_id: str
    slot: int
    kind: str
    value: float
    receive_time_us: int
    occur_time_us: int | None = None
    retracts_feedback_id: str = ""
    source: str = ""

    def same_body(self, other: Feedback) -> bool:
        """Return whether both say the same; the receive time, the address and the source don't count."""
        return (self.kind, self.value, self.slot, self.occur_time_us, self.retracts_feedback_id) == (
            other.kind,
            other.value,
            other.slot,
            other.occur_time_us,
            other.retracts_feedback_id,
        )
