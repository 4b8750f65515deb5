"""The decision path: candidates, funnel, policy pmf, mix and floor, draw, count, journal, reply.

Never waits on learning or on an fsync. The pmf that is logged is the one that was drawn from, and the draw
happens once. What can't be counted is not offered; what can't be recorded is answered with the baseline,
without a decision_id and without an offer that a cap or budget limits, and is counted no more. No decision_id
is answered before this process has written its record, a repeat's neither: whoever made that decision may
have been refused by the disk, or have died, between counting and writing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from offer_optimizer.core import ids
from offer_optimizer.core.decision import Decision, Reason
from offer_optimizer.core.errors import CacheBusy, CacheUnready, StorageUnavailable
from offer_optimizer.decide.asked import Asked, look_up
from offer_optimizer.decide.counters import Counters, counters_of, read_counters
from offer_optimizer.decide.draft import Draft, Drafter, draw_from, shown_slots
from offer_optimizer.decide.prepared import PreparedCatalog
from offer_optimizer.decide.repeats import find_retried, find_sticky
from offer_optimizer.decide.requests import DecideInput, Outcome, ShownSlot
from offer_optimizer.store.codec import Salt
from offer_optimizer.store.decision_codec import decode_decision, encode_decision
from offer_optimizer.store.hot_cache import CacheTransaction, CacheView, HotCache, Recent, Tally
from offer_optimizer.store.hot_counting import count_new_decision

LOCK_TIMEOUT_S: Final = 0.02
"""A page does not wait longer for the counters, at a time; without them limited offers are left out."""


class DecisionJournal(Protocol):
    """Where decisions are recorded."""

    def stamp(self) -> AbstractContextManager[int]:
        """Return a context whose value is the decide time (microseconds) of what is appended inside."""
        ...

    def append(self, decision: Decision, visitor_digest: bytes) -> None:
        """Write a decision so that it survives the death of this process. Raises StorageUnavailable."""
        ...

    def append_again(self, decision: Decision, visitor_digest: bytes) -> None:
        """Write a decision that may be written already; the ledger takes one. Raises StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """Decides. All of its fields are inputs; it keeps no state of its own."""

    catalog: Callable[[], PreparedCatalog]
    drafter: Drafter
    journal: DecisionJournal
    cache: HotCache
    clock: Callable[[], int]
    digest: Callable[[str], bytes]
    entropy: Callable[[int], bytes]
    salt: Salt

    def decide(self, request: DecideInput) -> Outcome:
        """Choose, record and return. Raises UnknownPlacement, InvalidInput."""
        asked = look_up(request, self.catalog(), self.digest)
        try:
            with self.journal.stamp() as time_us:
                if asked.needs_cache:
                    return self._decide_with_cache(asked, time_us)
                draft = self.drafter.draft(asked, asked.without_counters(), time_us)
                return self._record(asked, draft, self._draw(asked, draft, time_us))
        except StorageUnavailable:
            return self._unrecorded(asked)

    def unrecorded(self, request: DecideInput) -> Outcome:
        """Answer a request whose decision could not be recorded. Raises UnknownPlacement."""
        return self._unrecorded(look_up(request, self.catalog(), self.digest))

    def _decide_with_cache(self, asked: Asked, time_us: int) -> Outcome:
        if asked.only_counts:
            reads = asked.plan.reads
            tally = self.cache.tally(reads.reading, asked.digest, time_us, reads.caps_most)
            if tally is not None:
                outcome = self._decide_tallied(asked, tally, time_us)
                if outcome is not None:
                    return outcome
        counters = asked.without_counters()
        seen: CacheView | None = None
        repeat: Recent | None = None
        try:
            with self.cache.view() as view:
                seen = view
                asked = asked.known_as(view.merged_into(asked.digest) if asked.digest else b"")
                repeat = self._find_repeat(asked, view, time_us)
                if repeat is None:
                    counters = self._read(asked, view, time_us)
        except CacheUnready:
            pass  # limited offers are left out, repeats are not known
        if repeat is not None:
            return self._answer_again(asked, repeat)
        draft = self.drafter.draft(asked, counters, time_us)
        if not (asked.plan.is_limited or asked.may_repeat) or counters is None:
            return self._record(asked, draft, self._draw(asked, draft, time_us))
        return self._decide_counted(asked, draft, counters, seen, time_us)

    def _decide_tallied(self, asked: Asked, tally: Tally, time_us: int) -> Outcome | None:
        """Decide by what lies ready of the visitor; None where somebody changed that meanwhile."""
        draft = self.drafter.draft(asked, counters_of(asked.plan.reads, tally.counts), time_us)
        try:
            if not tally.take(LOCK_TIMEOUT_S):
                return None
        except (CacheBusy, CacheUnready):
            return self._decide_without_counters(asked, time_us)
        try:
            decision = self._draw(asked, draft, time_us)
            if decision.slots:
                offer_id = draft.funnel.eligible[decision.slots[0].chosen].offer_id
                caps = asked.prepared.limits.staying(offer_id, decision.placement_id)
                if caps:
                    tally.add(caps, decision.decision_id, time_us)
        finally:
            tally.let_go()
        return self._record_counted(asked, draft, decision)

    def _decide_counted(
        self, asked: Asked, draft: Draft, counters: Counters, seen: CacheView | None, time_us: int
    ) -> Outcome:
        found: Recent | Decision | None = None
        try:
            with self.cache.transaction(LOCK_TIMEOUT_S, keeps_tally=asked.only_counts) as transaction:
                # Read again, unless nobody has changed anything meanwhile.
                if seen is None or not transaction.continues(seen):
                    found = self._find_repeat(asked, transaction, time_us)
                    newer = counters if found is not None else self._read(asked, transaction, time_us)
                    if newer != counters:
                        draft = self.drafter.redraft(asked, draft, newer, time_us)
                if found is None:
                    found = self._draw(asked, draft, time_us)
                    self._count(asked, draft, found, transaction)
        except (CacheBusy, CacheUnready):
            if isinstance(found, Decision):
                # It was drawn and can't be counted: drawing again would bias what is logged.
                return self._unrecorded(asked)
        if found is None:
            return self._decide_without_counters(asked, time_us)
        if isinstance(found, Recent):
            return self._answer_again(asked, found)
        return self._record_counted(asked, draft, found)

    def _decide_without_counters(self, asked: Asked, time_us: int) -> Outcome:
        draft = self.drafter.draft(asked, asked.without_counters(), time_us)
        return self._record(asked, draft, self._draw(asked, draft, time_us))

    def _record_counted(self, asked: Asked, draft: Draft, decision: Decision) -> Outcome:
        # Counted first, journalled after: a crash between the two wastes one use and shows nothing twice.
        try:
            return self._record(asked, draft, decision)
        except StorageUnavailable:
            self.undo(((decision, asked.digest),))
            raise

    def undo(self, lost: Sequence[tuple[Decision, bytes]]) -> None:
        """Take (decision, visitor digest) pairs that nobody could record out of the counters, where they are.

        Counters that can't be had keep them: that wastes a use, and a repeat writes the record then.
        """
        try:
            with self.cache.transaction(LOCK_TIMEOUT_S) as transaction:
                for decision, digest in lost:
                    transaction.undo(decision.decision_id, digest)
        except (CacheBusy, CacheUnready):
            pass

    def _read(self, asked: Asked, view: CacheView, time_us: int) -> Counters:
        limits = asked.prepared.limits
        return read_counters(view, limits, asked.plan.reads, asked.digest, time_us)

    def _draw(self, asked: Asked, draft: Draft, time_us: int) -> Decision:
        decision_id = ids.make_decision_id(time_us, self.entropy(ids.ENTROPY_BYTES))
        return draw_from(asked, draft, decision_id, time_us, self.salt)

    def _count(self, asked: Asked, draft: Draft, decision: Decision, transaction: CacheTransaction) -> None:
        offer_id = draft.funnel.eligible[decision.slots[0].chosen].offer_id if decision.slots else ""
        recent = Recent(
            decision_id=decision.decision_id,
            placement_id=decision.placement_id,
            offer_id=offer_id,
            visitor_digest=asked.digest,
            time_us=decision.decide_time_us,
            deferred=decision.deferred,
            catalog_revision=decision.catalog_revision,
            # Kept where a repeat may ask for it.
            record=encode_decision(decision) if asked.may_repeat else b"",
        )
        limits = asked.prepared.limits
        count_new_decision(transaction, limits, recent, asked.digests, may_repeat=asked.may_repeat)

    def _record(self, asked: Asked, draft: Draft, decision: Decision) -> Outcome:
        self.journal.append(decision, asked.digest)
        slots = shown_slots(draft, decision)
        return Outcome(decision.decision_id, slots, decision.reason, decision.model_version)

    def _find_repeat(self, asked: Asked, view: CacheView, time_us: int) -> Recent | None:
        if not asked.may_repeat:
            return None
        recent = find_retried(view, asked.digests, time_us)
        if recent is None:
            recent = find_sticky(view, asked.request.placement_id, asked.digest, asked.sticky_us, time_us)
            if recent is None or not self._still_shows(asked, recent, time_us):
                return None
        return recent

    def _answer_again(self, asked: Asked, recent: Recent) -> Outcome:
        first = decode_decision(recent.record)
        self.journal.append_again(first, recent.visitor_digest)
        slots = tuple(
            ShownSlot(recent.offer_id, slot.propensity, self._payload(asked, recent.offer_id))
            for slot in first.slots
        )
        return Outcome(first.decision_id, slots, first.reason, first.model_version)

    def _still_shows(self, asked: Asked, recent: Recent, time_us: int) -> bool:
        """Return whether the offer of a sticky decision is live, in time and not left out by the caller."""
        for candidate in asked.plan.candidates:
            if candidate.offer_id == recent.offer_id:
                started = candidate.start_time_us is None or time_us >= candidate.start_time_us
                ended = candidate.end_time_us is not None and time_us >= candidate.end_time_us
                wanted = candidate.offer_id not in asked.request.exclude_offer_ids
                return candidate.is_live and started and not ended and wanted
        return False

    def _payload(self, asked: Asked, offer_id: str) -> str:
        catalog = asked.prepared.catalog
        index = catalog.offer_index.get(offer_id)
        return "" if index is None else catalog.offers[index].payload

    def _unrecorded(self, asked: Asked) -> Outcome:
        draft = self.drafter.draft(asked, asked.without_counters(), self.clock())
        baseline = draft.funnel.baseline
        if baseline is None:
            return Outcome(None, (), Reason.UNRECORDED, None)
        shown = draft.funnel.eligible[baseline]
        return Outcome(None, (ShownSlot(shown.offer_id, 1.0, shown.payload),), Reason.UNRECORDED, None)
