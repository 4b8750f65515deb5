"""Taking feedback: stamped, digested, durable before the caller hears of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from offer_optimizer.core.feedback import Feedback
from offer_optimizer.decide.requests import FeedbackInput


class FeedbackInbox(Protocol):
    """Where feedback is kept until the learner takes it."""

    def stamp(self) -> AbstractContextManager[int]:
        """Return a context whose value is the receive time (microseconds) of what is appended inside."""
        ...

    def append_durable(self, items: Sequence[tuple[bytes, Feedback]]) -> None:
        """Write (visitor digest, feedback) pairs and sync. Raises StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes feedback. Implements ports.FeedbackIntake."""

    inbox: FeedbackInbox
    digest: Callable[[str], bytes]

    def record(self, items: Sequence[FeedbackInput]) -> None:
        """Make the items durable. Raises StorageUnavailable, and then none is promised."""
        if not items:
            return
        with self.inbox.stamp() as time_us:
            self.inbox.append_durable([(self._address(item), _stamped(item, time_us)) for item in items])

    def _address(self, item: FeedbackInput) -> bytes:
        return b"" if item.decision_id else self.digest(item.visitor_id)


def _stamped(item: FeedbackInput, time_us: int) -> Feedback:
    return Feedback(
        feedback_id=item.feedback_id,
        decision_id=item.decision_id,
        placement_id=item.placement_id,
        slot=item.slot,
        kind=item.kind,
        value=item.value,
        receive_time_us=time_us,
        occur_time_us=item.occur_time_us,
    )
