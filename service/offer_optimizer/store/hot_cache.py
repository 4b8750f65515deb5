"""The hot cache: what deciders remember together between decisions. This is its contract.

What it holds: events and reservations of caps by visitor, charges and reservations of budgets, decisions of
the last 30 minutes. All of it can be derived again from the ledger, so any doubt ends with throwing it away.

What always holds, whatever the adapter: a transaction is seen whole or not at all, and one at a time runs
over all processes. Counting is order-free and may be repeated: an event is known by its cap and decision, a
charge by its budget and decision; what stays beats a reservation, and of two that stay the earlier one holds.
So whoever brings an item a second time, or in another order, changes nothing.

Adapters: `lmdb_cache.LmdbCache` between processes, `memory_cache.MemoryCache` within one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from offer_optimizer.core import limits
from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.counting import CapReading, Counting

REPEAT_US: Final = limits.REPEAT_S * 1_000_000
KEPT_US: Final = REPEAT_US + 60_000_000
"""Decisions are kept for a minute more: feedback stamped in time may arrive that late."""
NEWEST_KEPT: Final = 16
"""So many decisions of a visitor at a placement can be found by visitor."""


@checked_dataclass(frozen=True, slots=True)
class Recent:
    """What is remembered of a decision for 30 minutes.

    `offer_id` is empty when nothing was chosen, `visitor_digest` where there is no visitor id. `record` is
    the serialised DecisionRecord, so that a repeat gets the first answer; empty where none can ask for it.
    """

    decision_id: bytes
    placement_id: str
    offer_id: str
    visitor_digest: bytes
    time_us: int
    deferred: bool
    catalog_revision: int
    record: bytes


class CacheView(Protocol):
    """One consistent state. A digest that was merged into another is followed by every call."""

    version: object
    """Equal for two views of a cache between which nothing was changed; None where that isn't known."""

    def counts(self, reading: CapReading, digest: bytes, now_us: int) -> bytes:
        """Return how many of a visitor's `event_times` lie in the window of each cap, a byte each."""
        ...

    def event_times(self, cap_id: str, digest: bytes, now_us: int) -> tuple[int, ...]:
        """Return the times of a visitor's events and unexpired reservations, the newest 100 at most."""
        ...

    def spent(self, budget_id: str, period: str, now_us: int) -> float:
        """Return charges and unexpired reservations, in the budget's unit; exact to a millionth."""
        ...

    def recent(self, decision_id: bytes) -> Recent | None:
        """Return a decision; kept for 30 minutes and then some: compare `time_us` for the exact end."""
        ...

    def find_request(self, request_digest: bytes) -> tuple[bytes, bytes] | None:
        """Return (decision_id, body_digest) of the newest decision under a request; kept as `recent` says."""
        ...

    def newest_decision(self, placement_id: str, digest: bytes, at_us: int | None = None) -> Recent | None:
        """Return a visitor's newest decision at a placement, by decide time; up to `at_us`, inclusive."""
        ...

    def merged_into(self, digest: bytes) -> bytes:
        """Return the digest that a visitor goes by: the digest itself when not merged."""
        ...


class CacheTransaction(CacheView, Protocol):
    """A view that may be changed. An exception inside aborts it."""

    is_whole: bool
    """Whether everything is in it: False while it is filled."""

    def continues(self, view: CacheView) -> bool:
        """Return whether nothing was changed since an earlier view, and then take over what it has read."""
        ...

    def apply(self, decision_id: bytes, digest: bytes, counting: Counting, now_us: int) -> None:
        """Set events and charges of a decision, and release what it reserved.

        Visitors without an id (an empty digest) have no events. Charges need `remember` in the same
        transaction or an earlier one: they are forgotten with it.
        """
        ...

    def remember(self, recent: Recent, request_digest: bytes, body_digest: bytes) -> None:
        """Keep a decision for 30 minutes; the digests are empty without a request_id."""
        ...

    def undo(self, decision_id: bytes, digest: bytes) -> None:
        """Forget a decision that was never recorded, with all that it counted, charged and reserved."""
        ...

    def saw_feedback(self, digest: bytes, placement_id: str, feedback_id: str, time_us: int) -> bool:
        """Note an item addressed by visitor; return whether it was noted in the 30 minutes before.

        Which decision such an item belongs to changes with time, so it is credited once. Items that name
        their decision need no note: they may be applied again.
        """
        ...

    def merge(self, from_digest: bytes, into_digest: bytes) -> None:
        """Give all that one visitor has to another, now and from now on."""
        ...


class Tally(Protocol):
    """What lies ready of one visitor, as it was read: `counts` of the caps of a reading, a byte each.

    `take`, then `add` once at most, then `let_go`.
    """

    counts: bytes

    def take(self, timeout_s: float) -> bool:
        """Take the lock, see to room for what may be added, and return whether all is as it was read.

        Where it is not, or it raises CacheBusy or CacheUnready, the lock is given back.
        """
        ...

    def add(self, cap_ids: Iterable[str], decision_id: bytes, time_us: int) -> None:
        """Add events of a decision that stay; of caps of the reading, once it is taken. Never refused."""
        ...

    def let_go(self) -> None:
        """Give the lock back."""
        ...


class HotCache(Protocol):
    """What deciders are given."""

    def is_ready(self) -> bool:
        """Return whether a view would be given now."""
        ...

    def view(self) -> AbstractContextManager[CacheView]:
        """Return a consistent state to read. Raises CacheUnready."""
        ...

    def tally(self, reading: CapReading, digest: bytes, now_us: int, most: int) -> Tally | None:
        """Return what lies ready of a visitor, to which `most` events may be added; None: take a view.

        Where nothing lies ready, a transaction that `keeps_tally` sees to it, once the visitor is known.
        """
        ...

    def transaction(
        self, timeout_s: float, *, while_filling: bool = False, keeps_tally: bool = False
    ) -> AbstractContextManager[CacheTransaction]:
        """Return the state to change, alone. `while_filling` also takes a cache that isn't whole yet.

        Feedback and merges may do so, since they change nothing that isn't there; decisions may not, since
        they would read what isn't whole. Raises CacheUnready, CacheBusy.
        """
        ...
