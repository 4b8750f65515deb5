"""Taking feedback: stamped, digested, durable before the caller hears of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from offer_optimizer.core.counting import Limits
from offer_optimizer.core.errors import CacheBusy, CacheUnready, StorageUnavailable
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.decide.requests import FeedbackInput
from offer_optimizer.store.hot_cache import HotCache
from offer_optimizer.store.hot_counting import count_feedback

COUNT_TIMEOUT_S: Final = 0.5
"""Feedback waits longer than a page does; a process that holds the lock for so long is killed meanwhile."""
COUNTED_AT_ONCE: Final = 50
"""Items of a batch that count in one go: pages wait for the lock meanwhile."""


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
    """Takes feedback. Implements ports.FeedbackIntake.

    `limits_of` returns the limits of a catalog revision, None where it has none; `has_limits` says whether
    the catalog in force, or one of the last half hour, has any.
    """

    inbox: FeedbackInbox
    cache: HotCache
    digest: Callable[[str], bytes]
    limits_of: Callable[[int], Limits | None]
    has_limits: Callable[[], bool]

    def record(self, items: Sequence[FeedbackInput]) -> None:
        """Make the items durable and count them. Raises StorageUnavailable, and then none is promised."""
        if not items:
            return
        with self.inbox.stamp() as time_us:
            taken = [(self._address(item), _stamped(item, time_us)) for item in items]
            self.inbox.append_durable(taken)
        if self.has_limits():
            self._count(taken)

    def _address(self, item: FeedbackInput) -> bytes:
        return b"" if item.decision_id else self.digest(item.visitor_id)

    def _count(self, taken: Sequence[tuple[bytes, Feedback]]) -> None:
        """Bring the items to the counters, so that a dismissal holds on the very next request.

        Where the lock can't be had, the caller is told to send them again: they are in the inbox, and the
        second time they only count.
        """
        try:
            for start in range(0, len(taken), COUNTED_AT_ONCE):
                with self.cache.transaction(COUNT_TIMEOUT_S, while_filling=True) as transaction:
                    for digest, feedback in taken[start : start + COUNTED_AT_ONCE]:
                        count_feedback(transaction, self.limits_of, feedback, digest)
        except CacheUnready:
            return  # whoever fills the cache takes them from the inbox
        except CacheBusy as error:
            raise StorageUnavailable(f"the counters are held up: {error}") from error


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
        retracts_feedback_id=item.retracts_feedback_id,
        source=item.source,
    )
