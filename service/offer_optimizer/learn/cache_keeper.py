"""The keeper of the hot cache: fills an empty one from the fold's counters, tells a full one what is drained.

Deciders count in the cache as things happen. The keeper tells it everything again, since a decider may have
been refused the lock, or have died between recording and counting.

Why a cache that is READY holds everything that was answered, and each thing once:

- Counting again changes nothing (`hot_cache`), so it does not matter who brings an item first.
- A decision that something limits is counted under the lock, and only in a READY cache. Deciders look under
  the lock which generation is in force, so behind `replace` nobody counts in the old one. Whoever did was
  stamped before, and shows that until the record is written: the keeper waits until no older stamp is shown,
  then for one more drain, and fills from counters that have it all.
- Feedback is appended to the inbox before the cache is asked. Who was refused by an EMPTY cache appended
  before it was FILLING, so the first drain behind that brings the item, and only then the cache is READY. Who
  came later counted it themselves. The same goes for merges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, Protocol

import structlog

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import CacheBusy, CacheUnready, StorageUnavailable
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.learn.counters import SWEPT_AT_ONCE, RevisionLimits
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.store import hot_records as records
from offer_optimizer.store.codec import MergeChange, RecordKind
from offer_optimizer.store.counter_tables import CounterTables, visitor_key_of
from offer_optimizer.store.hot_cache import CacheTransaction, Recent
from offer_optimizer.store.hot_counting import (
    count_decision,
    count_feedback,
    is_counted,
    is_repeatable,
    recent_of,
)
from offer_optimizer.store.hot_fill import FillableCache, Stage
from offer_optimizer.store.ledger import Ledger

log = structlog.get_logger(__name__)

FED_AT_ONCE: Final = 50
"""Items brought in one transaction: others wait for the lock meanwhile."""
GAP_MOST: Final = 5000
"""Records that a cache may have missed while there was no learner; behind more it is filled anew."""
TIMEOUT_S: Final = 0.2


class FoldView(Protocol):
    """What the keeper asks the fold."""

    revisions: Revisions
    position: int


Bring = Callable[[CacheTransaction], object]


class CacheKeeper:
    """Keeps the hot cache whole. Implements drain.Feed and loop.Keeper.

    `oldest_unwritten` returns the oldest stamp of a record that a living process has under way, in
    microseconds; None where none has.
    """

    def __init__(
        self,
        cache: FillableCache,
        ledger: Ledger,
        oldest_unwritten: Callable[[], int | None],
        clock: Callable[[], int],
    ) -> None:
        self._cache = cache
        self._ledger = ledger
        self._oldest_unwritten = oldest_unwritten
        self._clock = clock
        self._waiting: list[Bring] = []
        self._emptied_us = 0
        self._is_settled = False
        self._complaint = ""

    def begin(self, fold: FoldView) -> None:
        """Start from what is committed; a cache that this ledger did not fill is thrown away."""
        self._fold = fold
        self._limits = RevisionLimits(fold.revisions)
        self._waiting.clear()
        self._cache.refresh()
        try:
            told = self._cache.position()
            is_ours = self._cache.stage() is Stage.READY and told <= fold.position <= told + GAP_MOST
            if is_ours and self._hear_missed(told):
                return
        except CacheUnready:
            pass
        self._cache.doubt()

    def decided(self, decision: Decision, digest: bytes, record: bytes) -> None:
        """See drain.Feed."""
        if not self._fold.revisions.has(decision.catalog_revision):
            return
        catalog = self._fold.revisions.catalog(decision.catalog_revision)
        limits = self._limits.of(decision.catalog_revision)
        if limits is not None and is_counted(decision, catalog):
            recent = recent_of(decision, catalog, digest, record)
            digests = (decision.request_digest, decision.body_digest)
            may_repeat = is_repeatable(decision, catalog)
            self._waiting.append(
                lambda transaction: count_decision(
                    transaction, limits, recent, digests, may_repeat=may_repeat
                )
            )

    def heard(self, feedback: Feedback, digest: bytes) -> None:
        """See drain.Feed."""
        if self._limits.any():
            of = self._limits.of
            self._waiting.append(
                lambda transaction: count_feedback(transaction, of, feedback, digest, in_order=True)
            )

    def merged(self, change: MergeChange) -> None:
        """See drain.Feed."""
        self._waiting.append(lambda transaction: transaction.merge(change.from_digest, change.into_digest))

    def step(self) -> None:
        """Bring the cache one stage further, or tell it what was drained; call it after each drain."""
        try:
            self._advance()
            self._complaint = ""
        except (CacheBusy, CacheUnready, StorageUnavailable) as error:
            # Tried again in the next round; said once.
            if str(error) != self._complaint:
                log.warning("hot_cache_held_up", error=str(error), effect="tried again; deciders go on")
            self._complaint = str(error)

    def _advance(self) -> None:
        stage = self._cache.stage()
        if stage is None:
            self._cache.replace()
            self._emptied_us, self._is_settled = self._clock(), False
        elif stage is Stage.EMPTY:
            if self._is_settled:
                self._fill()
            else:
                oldest_us = self._oldest_unwritten()
                self._is_settled = oldest_us is None or oldest_us > self._emptied_us
        else:
            told = self._tell()
            if told or stage is Stage.FILLING:
                self._cache.set_stage(Stage.READY, self._fold.position)
            if stage is Stage.FILLING:
                log.info("hot_cache_ready", position=self._fold.position)
            self._cache.sweep(self._clock(), SWEPT_AT_ONCE)

    def _fill(self) -> None:
        self._cache.fill(self._entries())
        self._waiting.clear()
        self._cache.set_stage(Stage.FILLING, self._fold.position)

    def _tell(self) -> bool:
        told = bool(self._waiting)
        while self._waiting:
            with self._cache.transaction(TIMEOUT_S, while_filling=True) as transaction:
                for bring in self._waiting[:FED_AT_ONCE]:
                    bring(transaction)
            del self._waiting[:FED_AT_ONCE]
        return told

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the fold's counters as the cache has them: by digest, with records to repeat."""
        tables = CounterTables(self._ledger.connection)
        state = tables.state()
        keys = set()
        for name, value in tables.others():
            if name[:1] == records.DECISION:
                recent, _ = records.decode_recent(name[1:], value)
                keys.add(visitor_key_of(state.merged_into(recent.visitor_digest)))
        digests: dict[int, bytes] = {}
        for digest, key, visitor, stands_for in tables.visitors():
            if digest != stands_for:
                yield records.VISITOR + digest, records.encode_redirect(stands_for)
            elif visitor is not None:
                yield records.VISITOR + digest, visitor
            if key in keys:
                digests[key] = stands_for
        for name, value in tables.others():
            if name[:1] == records.DECISION:
                recent, request_digest = records.decode_recent(name[1:], value)
                key = visitor_key_of(state.merged_into(recent.visitor_digest))
                whole = self._completed(recent, digests.get(key, b""), has_request=bool(request_digest))
                yield name, records.encode_recent(whole, request_digest)
            else:
                yield name, value

    def _completed(self, recent: Recent, digest: bytes, *, has_request: bool) -> Recent:
        catalog = self._fold.revisions.catalog(recent.catalog_revision)
        if has_request or catalog.placement_by_id[recent.placement_id].sticky_for_s:
            position = self._ledger.find_decision(recent.decision_id)
            if position is not None:
                recent = replace(recent, record=self._ledger.record_at(position).data)
        return replace(recent, visitor_digest=digest if recent.visitor_digest else b"")

    def _hear_missed(self, after: int) -> bool:
        """Hear again of what was drained behind a position; return whether that is possible.

        A merge can't be heard of again: its digests are one visitor's by now.
        """
        found = list(self._ledger.records(after, self._fold.position))
        if any(record.kind is RecordKind.MERGE for record in found):
            return False
        digests = self._ledger.digests_of({it.visitor_key for it in found if it.visitor_key is not None})
        for record in found:
            digest = digests.get(record.visitor_key, b"") if record.visitor_key is not None else b""
            match record.body():
                case Decision() as decision:
                    self.decided(decision, digest, record.data)
                case Feedback() as feedback:
                    self.heard(feedback, b"" if feedback.decision_id else digest)
        return True
