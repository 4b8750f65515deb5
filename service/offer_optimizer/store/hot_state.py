"""The rules of the hot cache over keys and values: the one implementation of CacheTransaction.

LMDB, a dictionary and two tables of the ledger's database hold the same keys and values and run this code, so
what deciders count and what the fold counts can only differ by what they were told.

What always holds: what is known of visitors is written by `flush`, everything else at once; no clock is read.
"""

from __future__ import annotations

from typing import Final, Protocol

from offer_optimizer.core import limits
from offer_optimizer.core.counting import CapEvent, CapReading, Charge, Counting
from offer_optimizer.store import hot_records as records
from offer_optimizer.store.hot_cache import KEPT_US, REPEAT_US, CacheView, Recent
from offer_optimizer.store.hot_records import DECIDED, EVENT, ITEM, ChargeState, name_of
from offer_optimizer.store.hot_rows import add_decisions, prune, release, set_events, without
from offer_optimizer.store.hot_sweep import SWEPT_A_TURN, SweepTurns
from offer_optimizer.store.hot_visitor import Visitor

SWEPT_A_WRITE: Final = 4
"""Entries of each kind that a write looks at for its share of sweeping, where every write does."""
SWEEP_SLACK_US: Final = 30_000_000
_FAR: Final = 1 << 30


class KeyValues(Protocol):
    """Bytes by key, in the order of the keys."""

    def get(self, key: bytes, /) -> bytes | None:
        """Return a value, or None."""
        ...

    def put(self, key: bytes, value: bytes, /) -> object:
        """Set a value."""
        ...

    def delete(self, key: bytes, /) -> object:
        """Drop a key, if it is there."""
        ...

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return the first entries in [start, end)."""
        ...

    def get_visitor(self, name: bytes) -> bytes | None:
        """Return what is known of a visitor, or None."""
        ...

    def put_visitor(self, name: bytes, data: bytes | None) -> None:
        """Set what is known of a visitor, or drop it."""
        ...


class HotState:
    """One view or transaction. Implements hot_cache.CacheTransaction.

    Without `turns` every write sweeps a little. Made twice for each decision, so it keeps little: visitors
    that were looked at by every digest they go by, and those of them that were changed by the last one.
    """

    __slots__ = ("_changed", "_pruned_us", "_turns", "_values", "_visitors", "is_whole", "version")

    def __init__(
        self,
        values: KeyValues,
        *,
        is_whole: bool = True,
        version: object = None,
        turns: SweepTurns | None = None,
    ) -> None:
        self._values = values
        self.is_whole = is_whole
        self.version = version
        self._visitors: dict[bytes, Visitor] = {}
        self._changed: dict[bytes, Visitor] = {}
        self._pruned_us = 0
        self._turns = turns

    # --- reading -------------------------------------------------------------------------------------------

    def event_times(self, cap_id: str, digest: bytes, now_us: int) -> tuple[int, ...]:
        """See CacheView."""
        rows = self._visitor(digest).state().events.get(name_of(cap_id))
        if rows is None:
            return ()
        times = [
            time_us
            for time_us, expires_us, _ in EVENT.iter_unpack(rows)
            if not expires_us or expires_us > now_us
        ]
        if len(times) > limits.CAP_LIMIT:
            times = sorted(times)[-limits.CAP_LIMIT :]
        return tuple(times)

    def counts(self, reading: CapReading, digest: bytes, now_us: int) -> bytes:
        """See CacheView."""
        return self._visitor(digest).tally(reading, now_us)

    def spent(self, budget_id: str, period: str, now_us: int) -> float:
        """See CacheView. Reservations that ended and were not swept yet are taken off."""
        budget, name = name_of(budget_id), period.encode()
        charged, reserved = records.decode_budget(self._values.get(records.budget_key(budget, name)))
        if reserved:
            ended = self._values.scan(records.EXPIRY, records.expired_before(now_us), _FAR)
            for found, amount, of_period in (records.decode_reservation(*entry) for entry in ended):
                if found == budget and of_period == name:
                    reserved -= amount
        return (charged + reserved) / records.MICRO

    def recent(self, decision_id: bytes) -> Recent | None:
        """See CacheView."""
        data = self._values.get(records.DECISION + decision_id)
        return None if data is None else records.decode_recent(decision_id, data)[0]

    def find_request(self, request_digest: bytes) -> tuple[bytes, bytes] | None:
        """See CacheView."""
        data = self._values.get(records.REQUEST + request_digest)
        return None if data is None else (data[:16], data[16:])

    def newest_decision(self, placement_id: str, digest: bytes, at_us: int | None = None) -> Recent | None:
        """See CacheView."""
        placement = name_of(placement_id)
        rows = self._visitor(digest).state().decisions
        newest = max(
            (
                (time_us, decision_id)
                for of_placement, time_us, decision_id in DECIDED.iter_unpack(rows)
                if of_placement == placement and (at_us is None or time_us <= at_us)
            ),
            default=None,
        )
        return None if newest is None else self.recent(newest[1])

    def merged_into(self, digest: bytes) -> bytes:
        """See CacheView."""
        return self._visitor(digest).name

    def continues(self, view: CacheView) -> bool:
        """See CacheTransaction."""
        if self.version is None or self.version != view.version:
            return False
        if isinstance(view, HotState):
            self._visitors = view._visitors  # noqa: SLF001  (of the same class)
        return True

    # --- changing ------------------------------------------------------------------------------------------

    def apply(self, decision_id: bytes, digest: bytes, counting: Counting, now_us: int) -> None:
        """See CacheTransaction."""
        self._pruned_us = max(self._pruned_us, now_us)
        if digest and (counting.events or counting.releases_reservations):
            visitor = self._visitor(digest)
            if counting.releases_reservations:
                events = visitor.state().events
                for cap, rows in events.items():
                    if decision_id in rows:
                        events[cap] = release(rows, decision_id)
                self._change_events(visitor)
            for event in counting.events:
                if event.expires_us or not visitor.add_event(event.cap_id, event.time_us, decision_id):
                    self._set_event(visitor, event, decision_id)
                else:
                    self._changed[visitor.name] = visitor
        if counting.charges or counting.releases_reservations:
            self._charge(decision_id, counting)

    def remember(self, recent: Recent, request_digest: bytes, body_digest: bytes) -> None:
        """See CacheTransaction."""
        self._pruned_us = max(self._pruned_us, recent.time_us)
        put = self._values.put
        put(records.DECISION + recent.decision_id, records.encode_recent(recent, request_digest))
        if request_digest:
            put(records.REQUEST + request_digest, recent.decision_id + body_digest)
        if recent.visitor_digest:
            visitor = self._visitor(recent.visitor_digest)
            visitor.add_decision(name_of(recent.placement_id), recent.time_us, recent.decision_id)
            self._changed[visitor.name] = visitor

    def undo(self, decision_id: bytes, digest: bytes) -> None:
        """See CacheTransaction."""
        if digest:
            visitor = self._visitor(digest)
            state = visitor.state()
            for cap, rows in list(state.events.items()):
                if decision_id in rows:
                    state.events[cap] = without(EVENT, rows, decision_id)
                    if not state.events[cap]:
                        del state.events[cap]
                    self._change_events(visitor)
            if decision_id in state.decisions:
                state.decisions = without(DECIDED, state.decisions, decision_id)
                self._changed[visitor.name] = visitor
        for charge in records.decode_charges(self._values.get(records.CHARGES + decision_id)):
            self._take_back(charge, decision_id)
        self._values.delete(records.CHARGES + decision_id)
        data = self._values.get(records.DECISION + decision_id)
        if data is not None:
            self._drop(decision_id, records.decode_recent(decision_id, data)[1])

    def saw_feedback(self, digest: bytes, placement_id: str, feedback_id: str, time_us: int) -> bool:
        """See CacheTransaction."""
        name = records.item_name(placement_id, feedback_id)
        visitor = self._visitor(digest)
        state = visitor.state()
        for found, at_us in ITEM.iter_unpack(state.items):
            if found == name and abs(time_us - at_us) < REPEAT_US:
                return True
        state.items += ITEM.pack(name, time_us)
        self._changed[visitor.name] = visitor
        return False

    def merge(self, from_digest: bytes, into_digest: bytes) -> None:
        """See CacheTransaction. Merged again, the other way round or in a ring: nothing happens."""
        giver, taker = self._visitor(from_digest), self._visitor(into_digest)
        if giver is taker:
            return
        given, own = giver.state(), taker.state()
        for cap, rows in given.events.items():
            own.events[cap] = set_events(own.events.get(cap, b""), rows)
        own.decisions = add_decisions(own.decisions, given.decisions)
        own.items += given.items
        self._change_events(taker)
        self._changed.pop(giver.name, None)
        self._values.put_visitor(giver.name, records.encode_redirect(taker.name))
        self._visitors = {name: taker if it is giver else it for name, it in self._visitors.items()}

    def finish(self) -> None:
        """Sweep a little and flush; call it before the transaction of a cache commits."""
        if self._pruned_us and (self._turns is None or self._turns.is_due(self._pruned_us)):
            # The learner sweeps in bulk, which is cheaper; a write only where that has stood still for long.
            most = SWEPT_A_WRITE if self._turns is None else SWEPT_A_TURN
            self.sweep(self._pruned_us - SWEEP_SLACK_US, most)
        self.flush()

    def flush(self) -> None:
        """Write what was changed of visitors."""
        for name, visitor in self._changed.items():
            self._values.put_visitor(name, visitor.pack())
        self._changed.clear()

    # --- sweeping ------------------------------------------------------------------------------------------

    def sweep(self, now_us: int, most: int = SWEPT_A_WRITE) -> int:
        """Drop what has expired, looking at `most` entries of each kind; return how many were dropped."""
        ended = self._values.scan(records.EXPIRY, records.expired_before(now_us), most)
        for key, value in ended:
            budget, amount, period = records.decode_reservation(key, value)
            self._values.delete(key)
            self._add(budget, period, 0, -amount)
        # Ids begin with their time, so the oldest decisions come first, and the young are not even read.
        oldest = self._values.scan(records.DECISION, records.decided_before(now_us - KEPT_US), most)
        old = [(key, value) for key, value in oldest if records.decide_time_us(value) + KEPT_US <= now_us]
        for key, value in old:
            self._forget(key, value, now_us)
        return len(ended) + len(old)

    def _forget(self, key: bytes, value: bytes, now_us: int) -> None:
        recent, request_digest = records.decode_recent(key[1:], value)
        self._values.delete(records.CHARGES + recent.decision_id)
        self._drop(recent.decision_id, request_digest)
        if not recent.visitor_digest:
            return
        visitor = self._visitor(recent.visitor_digest)
        prune(visitor.state(), now_us)
        self._change_events(visitor)

    def _drop(self, decision_id: bytes, request_digest: bytes) -> None:
        self._values.delete(records.DECISION + decision_id)
        found = self.find_request(request_digest) if request_digest else None
        if found is not None and found[0] == decision_id:
            self._values.delete(records.REQUEST + request_digest)

    # --- within --------------------------------------------------------------------------------------------

    def _change_events(self, visitor: Visitor) -> None:
        """Have a visitor written whose events were changed."""
        visitor.forget_tally()
        self._changed[visitor.name] = visitor

    def _set_event(self, visitor: Visitor, event: CapEvent, decision_id: bytes) -> None:
        events, cap = visitor.state().events, name_of(event.cap_id)
        rows = events.get(cap, b"")
        row = EVENT.pack(event.time_us, event.expires_us, decision_id)
        # Whoever brings all that was decided mostly brings what is there.
        if row not in rows:
            events[cap] = set_events(rows, row)
            self._change_events(visitor)

    def _visitor(self, digest: bytes) -> Visitor:
        """Return what is known of a visitor, by any digest that it goes by."""
        visitor = self._visitors.get(digest)
        if visitor is None:
            visitor = self._visitors[digest] = self._load(digest)
        return visitor

    def _load(self, digest: bytes) -> Visitor:
        name = digest
        data = self._values.get_visitor(name)
        while data is not None and (into := records.redirected(data)) is not None:
            name = into
            data = self._values.get_visitor(name)
        visitor = self._visitors.get(name)
        if visitor is None:
            visitor = self._visitors[name] = Visitor(name, data)
        return visitor

    def _charge(self, decision_id: bytes, counting: Counting) -> None:
        key = records.CHARGES + decision_id
        held = {charge.budget: charge for charge in records.decode_charges(self._values.get(key))}
        kept = dict(held)
        if counting.releases_reservations:
            kept = {budget: charge for budget, charge in held.items() if not charge.expires_us}
        for charge in counting.charges:
            new = _charge_as_stored(charge)
            kept[new.budget] = later_state(kept.get(new.budget), new)
        for budget in held.keys() | kept.keys():
            old, now = held.get(budget), kept.get(budget)
            if old != now:
                self._take_back(old, decision_id)
                self._put(now, decision_id)
        if kept:
            self._values.put(key, records.encode_charges(list(kept.values())))
        elif held:
            self._values.delete(key)

    def _take_back(self, charge: ChargeState | None, decision_id: bytes) -> None:
        if charge is None:
            return
        if not charge.expires_us:
            self._add(charge.budget, charge.period, -charge.amount, 0)
            return
        key = records.expiry_key(charge, decision_id)
        if self._values.get(key) is not None:  # else it ended, and was swept
            self._values.delete(key)
            self._add(charge.budget, charge.period, 0, -charge.amount)

    def _put(self, charge: ChargeState | None, decision_id: bytes) -> None:
        if charge is None:
            return
        if not charge.expires_us:
            self._add(charge.budget, charge.period, charge.amount, 0)
            return
        self._values.put(records.expiry_key(charge, decision_id), records.encode_reservation(charge))
        self._add(charge.budget, charge.period, 0, charge.amount)

    def _add(self, budget: bytes, period: bytes, charged: int, reserved: int) -> None:
        key = records.budget_key(budget, period)
        before = records.decode_budget(self._values.get(key))
        self._values.put(key, records.encode_budget(before[0] + charged, before[1] + reserved))


def later_state(old: ChargeState | None, new: ChargeState) -> ChargeState:
    """Return which of two states of one charge holds, as `core.counting.settle_charge` says."""
    if old is None:
        return new
    return min(old, new, key=lambda it: (bool(it.expires_us), -it.expires_us, it.period, it.amount))


def _charge_as_stored(charge: Charge) -> ChargeState:
    amount = records.to_micro(charge.amount)
    return ChargeState(name_of(charge.budget_id), amount, charge.expires_us, charge.period.encode())
