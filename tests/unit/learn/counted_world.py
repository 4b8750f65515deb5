"""Deciders that count, a learner with a keeper, and a bookkeeper who counts apart, all in one process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Catalog, Offer, Placement, PolicyChoice, Window
from offer_optimizer.core.counting import CapEvent, Charge, Counting, Limits, settle_charge, settle_event
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import CacheUnready
from offer_optimizer.learn.cache_keeper import CacheKeeper
from offer_optimizer.learn.loop import Learner
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import MergeChange, encode_control
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.hot_cache import CacheView
from offer_optimizer.store.hot_counting import (
    chosen_offer_id,
    count_decision,
    count_feedback,
    is_repeatable,
    recent_of,
)
from offer_optimizer.store.hot_fill import Stage
from offer_optimizer.store.memory_cache import MemoryCache
from offer_optimizer.store.writer_cells import oldest_unwritten, read_cells
from tests.unit.learn.service_in_memory import RUN, SALTS, ServiceInMemory
from tests.unit.learn.worlds import OFFERS, catalog, decision_of, feedback_of, placement, stored

REPEAT_US: Final = limits.REPEAT_S * 1_000_000
HOME: Final = placement(policy=PolicyChoice(name="uniform"), sticky_for_s=60.0)
OTHER: Final = placement(id="other", policy=PolicyChoice(name="uniform"), window_s=3600.0)
GROUPED: Final = tuple(
    Offer(id=offer.id, type=offer.type, group="all", attributes=offer.attributes) for offer in OFFERS
)
CAPS: Final = (
    Cap(id="decided", limit=100, offers=("msg",)),
    Cap(id="shown", limit=100, groups=("all",), count_on="shown", window=Window(rolling_s=3600.0)),
    Cap(id="clicked", limit=100, offers=("save5",), count_on="click", placements=("home",)),
    Cap(id="dismissed", limit=1, interruptions=True, count_on="dismiss"),
    Cap(id="often", limit=100, interruptions=True),
)
BUDGETS: Final = (
    Budget(id="uses", limit=1e6, offers=("msg", "save5")),
    Budget(id="hard", limit=1e6, offers=("msg",), count_on="shown", hard=True, period="day"),
    Budget(id="money", limit=1e6, unit="money", groups=("all",), count_on="click", period="day"),
)
KINDS: Final = ("shown", "not_shown", "click", "dismiss", "conversion")
VISITORS: Final = ("ann", "bob", "cy", "")


def limited(*placements: Placement) -> Catalog:
    """Return the catalog with every kind of limit."""
    return catalog(*(placements or (HOME, OTHER)), offers=GROUPED).model_copy(
        update={"caps": CAPS, "budgets": BUDGETS}
    )


class CountingService(ServiceInMemory):
    """A data directory whose learner keeps a hot cache."""

    def __init__(self, cache: MemoryCache | None = None) -> None:
        self.cache = cache or MemoryCache(Stage.EMPTY)
        super().__init__()

    def start(self) -> Learner:
        """Start a learner with its keeper, as a new process does."""
        publisher = Publisher(self.snapshots, self.verifier, lambda: self.clock_us, 0)
        keeper = CacheKeeper(
            self.cache,
            self.ledger,
            lambda: oldest_unwritten(read_cells(self.files, RUN)),
            lambda: self.clock_us,
        )
        self.learner = Learner(self.ledger, self._drainer, self.snapshots, publisher, SALTS, keeper)
        return self.learner

    def fill(self) -> None:
        """Let the learner do rounds until the cache is whole."""
        for _ in range(6):
            self.learner.step()
            if self.cache.is_ready():
                return
        raise AssertionError(f"the cache is {self.cache.stage()} after six rounds")


@dataclass
class Bookkeeper:
    """Counts the same apart, with `settle_event` and `settle_charge` over plain dictionaries."""

    limits: Limits
    events: dict[tuple[str, bytes], tuple[str, CapEvent]] = field(default_factory=dict)
    charges: dict[tuple[str, bytes], Charge] = field(default_factory=dict)
    decisions: dict[bytes, tuple[Decision, str, str]] = field(default_factory=dict)
    noted: dict[tuple[str, str, str], int] = field(default_factory=dict)
    root: dict[str, str] = field(default_factory=dict)

    def known_as(self, visitor: str) -> str:
        """Return whom a visitor was merged into."""
        while visitor in self.root:
            visitor = self.root[visitor]
        return visitor

    def set(self, decision_id: bytes, counting: Counting) -> None:
        """Apply operations of a decision."""
        visitor = self.decisions[decision_id][1]
        if counting.releases_reservations:
            reserved = [key for key, (_, event) in self.events.items() if event.expires_us]
            for key in (key for key in reserved if key[1] == decision_id):
                del self.events[key]
            held = [key for key, charge in self.charges.items() if charge.expires_us]
            for key in (key for key in held if key[1] == decision_id):
                del self.charges[key]
        for event in counting.events if visitor else ():
            old = self.events.get((event.cap_id, decision_id))
            self.events[event.cap_id, decision_id] = visitor, settle_event(old[1] if old else None, event)
        for charge in counting.charges:
            key = charge.budget_id, decision_id
            self.charges[key] = settle_charge(self.charges.get(key), charge)

    def hear(self, feedback_id: str, kind: str, target: Decision | tuple[str, str], now_us: int) -> None:
        """Count an item of feedback: of a decision, or of (visitor, placement)."""
        if isinstance(target, Decision):
            found = self.decisions.get(target.decision_id)
        else:
            visitor, where = self.known_as(target[0]), target[1]
            made = [it for it in self.decisions.values() if self.known_as(it[1]) == visitor and visitor]
            here = [it for it in made if it[0].placement_id == where]
            found = max(here, key=lambda it: it[0].decide_time_us, default=None)
            if found is None or now_us - found[0].decide_time_us >= REPEAT_US:
                return
            item = visitor, where, feedback_id
            noted = [at for (of, *rest), at in self.noted.items() if (self.known_as(of), *rest) == item]
            if any(now_us - at_us < REPEAT_US for at_us in noted):
                return
            self.noted[item] = now_us
        if found is None or now_us - found[0].decide_time_us >= REPEAT_US:
            return
        decision, _, offer_id = found
        counting = self.limits.of_feedback(
            offer_id,
            decision.placement_id,
            kind,
            now_us,
            deferred=decision.deferred,
            decide_time_us=decision.decide_time_us,
        )
        self.set(decision.decision_id, counting)

    def read(self, now_us: int) -> dict[str, object]:
        """Return all counts, as `readings` does."""
        found: dict[str, object] = {}
        for cap in CAPS:
            for visitor in VISITORS[:-1]:
                times = [
                    event.time_us
                    for (cap_id, _), (of, event) in self.events.items()
                    if cap_id == cap.id
                    and self.known_as(of) == self.known_as(visitor)
                    and (not event.expires_us or event.expires_us > now_us)
                ]
                found[f"{cap.id} of {visitor}"] = sorted(times)
        for budget in BUDGETS:
            for period in periods(now_us):
                found[f"{budget.id} in {period}"] = round(
                    sum(
                        charge.amount
                        for (budget_id, _), charge in self.charges.items()
                        if (budget_id, charge.period) == (budget.id, period)
                        and (not charge.expires_us or charge.expires_us > now_us)
                    ),
                    6,
                )
        return found


def periods(now_us: int) -> tuple[str, ...]:
    """Return every period that tests meet; they begin in the first hour of 1970."""
    return ("", *(f"1970-01-{day:02d}" for day in range(1, now_us // 86_400_000_000 + 2)))


def readings(view: CacheView, now_us: int) -> dict[str, object]:
    """Return all that a cache counts."""
    found: dict[str, object] = {}
    for cap in CAPS:
        for visitor in VISITORS[:-1]:
            found[f"{cap.id} of {visitor}"] = sorted(view.event_times(cap.id, visitor.encode(), now_us))
    for budget in BUDGETS:
        for period in periods(now_us):
            found[f"{budget.id} in {period}"] = round(view.spent(budget.id, period, now_us), 6)
    return found


class Shop:
    """Two deciders, one learner, a bookkeeper. Every call takes a moment, and is answered before the next."""

    def __init__(self, cache: MemoryCache | None = None) -> None:
        self.service = CountingService(cache)
        self.writers = [self.service.writer(number) for number in (1, 2)]
        self.catalog = limited()
        self.service.apply(self.writers[0], stored(1, self.catalog))
        self.limits = Limits(self.catalog)
        self.books = Bookkeeper(self.limits)
        self.decisions: list[Decision] = []
        self.service.fill()

    def tick(self) -> int:
        """Let a moment pass; return the time."""
        self.service.clock_us += 7
        self.service.boot_us += 7
        return self.service.clock_us

    def decide(self, writer: int, visitor: str, offer: int, where: str, *, deferred: bool) -> None:
        """Decide as deciders do: counted under the lock, then recorded; without counters nothing limited."""
        now_us = self.tick()
        number = 3 * len(self.decisions) + offer
        epoch = epoch_of(HOME if where == "home" else OTHER).id
        digest = visitor.encode()
        decision = decision_of(number, now_us, epoch=epoch, deferred=deferred, placement_id=where)
        decision = replace(decision, cap_counts=((0, 0),))
        try:
            with self.service.cache.transaction(1.0) as transaction:
                digest = transaction.merged_into(digest) if digest else b""
                recent = recent_of(decision, self.catalog, digest, encode_decision(decision))
                may_repeat = is_repeatable(decision, self.catalog)
                count_decision(transaction, self.limits, recent, (b"", b""), may_repeat=may_repeat)
        except CacheUnready:
            decision = decision_of(number - offer + 2, now_us, epoch=epoch, placement_id=where)
        self.writers[writer].decide(decision, digest.decode())
        self.decisions.append(decision)
        if decision.cap_counts or where == "home":
            offer_id = chosen_offer_id(decision, self.catalog)
            self.books.decisions[decision.decision_id] = decision, visitor, offer_id
            counting = self.limits.of_decision(offer_id, where, now_us, deferred=deferred)
            self.books.set(decision.decision_id, counting)

    def hear(
        self, writer: int, kind: str, target: int | tuple[str, str], number: int, *, refused: bool = False
    ) -> None:
        """Take feedback as deciders do: durable first, then counted, unless the lock is `refused`."""
        now_us = self.tick()
        # Sent again through the same decider only, and with the same body: else ledger order may be another.
        # What was refused is not sent again, because by then the visitor may have another decision.
        feedback_id = f"{writer} {kind} {f'refused at {now_us}' if refused else number}"
        visitor = ""
        if isinstance(target, int):
            if not self.decisions:
                return
            decision = self.decisions[target % len(self.decisions)]
            item = replace(
                feedback_of(feedback_id, now_us, decision=0, kind=kind), decision_id=decision.decision_id
            )
            self.books.hear(feedback_id, kind, decision, now_us)
        else:
            item = replace(feedback_of(feedback_id, now_us, kind=kind), placement_id=target[1])
            visitor = target[0]
            self.books.hear(feedback_id, kind, target, now_us)
        self.writers[writer].hear(item, visitor)
        if refused:
            return
        try:
            with self.service.cache.transaction(1.0, while_filling=True) as transaction:
                count_feedback(transaction, lambda _: self.limits, item, visitor.encode())
        except CacheUnready:
            return

    def merge(self, writer: int, source: str, target: str) -> None:
        """Merge two visitors. The learner is up to date, because merges have no time."""
        self.tick()
        self.service.learner.step()
        source_root, target_root = self.books.known_as(source), self.books.known_as(target)
        if source_root != target_root:
            self.books.root[source_root] = target_root
        change = MergeChange(source.encode(), target.encode())
        self.writers[writer].control.append_durable(encode_control(change))
        try:
            with self.service.cache.transaction(1.0, while_filling=True) as transaction:
                transaction.merge(change.from_digest, change.into_digest)
        except CacheUnready:
            pass
        self.service.learner.step()

    def read(self) -> dict[str, object]:
        """Return what the cache counts now."""
        with self.service.cache.view() as view:
            return readings(view, self.service.clock_us)

    def refill(self) -> None:
        """Doubt the cache and let it be filled from the ledger's counters."""
        self.service.learner.step()
        self.service.cache.doubt()
        self.service.fill()
