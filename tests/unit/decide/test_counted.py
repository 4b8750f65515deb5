"""Decisions that count: caps, budgets, repeats, holdout; and what the counters' failure does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from offer_optimizer.core.catalog import Budget, Cap, Window
from offer_optimizer.core.counting import CapEvent, Counting
from offer_optimizer.core.decision import Consent, ExclusionReason, Reason
from offer_optimizer.core.errors import CacheBusy, CacheUnready, InvalidInput
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.decide.intake import Intake
from offer_optimizer.decide.requests import FeedbackInput, Outcome
from offer_optimizer.store.hot_cache import CacheTransaction, CacheView
from tests.unit.decide.rooms import Room, ask, revision_of

SECOND = 1_000_000
DAY = 86_400 * SECOND
COUPON = Cap(id="coupon", limit=2, offers=("save5",), window=Window(rolling_s=7 * 86400.0))
COOL = Cap(id="cool", limit=1, offers=("save5",), count_on="dismiss", window=Window(rolling_s=86400.0))
SHOWN = Cap(id="shown", limit=1, offers=("save5",), count_on="shown")
HARD = Budget(id="hard", limit=3.0, offers=("save5",), hard=True)
ALWAYS: dict[str, Any] = {"baseline": ("save5",), "ramp": 0.0, "floor": 0.0}


class Inbox:
    """An inbox that takes everything."""

    def __init__(self, room: Room) -> None:
        self._room = room

    @contextmanager
    def stamp(self) -> Iterator[int]:
        yield self._room.now_us

    def append_durable(self, items: Sequence[tuple[bytes, Feedback]]) -> None:
        del items


def intake(room: Room) -> Intake:
    """Return an intake beside a room's decisions."""
    limits = room.catalog.limits
    return Intake(Inbox(room), room.cache, room.runtime.digest, lambda _revision: limits, lambda: True)


def tell(room: Room, outcome: Outcome, kind: str) -> None:
    """Send feedback about a decision."""
    assert outcome.decision_id is not None
    intake(room).record([FeedbackInput(kind, outcome.decision_id, "", "", 0, kind, 1.0, None)])


def offer(outcome: Outcome) -> str:
    """Return what is shown."""
    return outcome.slots[0].offer_id if outcome.slots else ""


def reasons(room: Room) -> set[ExclusionReason]:
    """Return why candidates of the newest decision were excluded."""
    return {ExclusionReason(number) for number in room.last.exclusion_reasons}


def test_a_cap_counts_a_custom_kind_whatever_its_value() -> None:
    room = Room(revision_of(caps=(Cap(id="rated", limit=1, offers=("save5",), count_on="stars"),), **ALWAYS))
    first = room.runtime.decide(ask())
    tell(room, first, "click")
    assert offer(room.runtime.decide(ask())) == "save5"
    tell(room, first, "stars")
    assert offer(room.runtime.decide(ask())) == "none"


def test_a_cap_holds_from_the_decision_that_reaches_it_and_opens_with_its_window() -> None:
    room = Room(revision_of(caps=(COUPON,), **ALWAYS))
    assert [offer(room.runtime.decide(ask())) for _ in range(3)] == ["save5", "save5", "none"]
    assert reasons(room) == {ExclusionReason.CAPPED}
    assert room.last.cap_counts == ((0, 2),)
    assert offer(room.runtime.decide(ask(visitor_id="bob"))) == "save5"
    assert offer(room.runtime.decide(ask(visitor_id=""))) == "save5"
    room.now_us += 7 * DAY
    assert offer(room.runtime.decide(ask())) == "save5"


def test_a_dismissal_holds_on_the_very_next_request() -> None:
    room = Room(revision_of(caps=(COOL,), **ALWAYS))
    first = room.runtime.decide(ask())
    tell(room, first, "dismiss")
    assert offer(room.runtime.decide(ask())) == "none"
    room.now_us += DAY
    assert offer(room.runtime.decide(ask())) == "save5"


def test_a_deferred_decision_reserves_and_releases() -> None:
    room = Room(revision_of(caps=(replace_limit(COUPON, 1),), **ALWAYS))
    first = room.runtime.decide(ask(deferred=True))
    assert offer(room.runtime.decide(ask())) == "none"
    tell(room, first, "not_shown")
    second = room.runtime.decide(ask(deferred=True))
    assert offer(second) == "save5"
    tell(room, second, "shown")
    room.now_us += DAY
    assert offer(room.runtime.decide(ask())) == "none"


def replace_limit(cap: Cap, limit: int) -> Cap:
    """Return a cap with another limit."""
    return cap.model_copy(update={"limit": limit})


def test_a_reservation_ends_by_itself() -> None:
    room = Room(revision_of(caps=(SHOWN,), window_s=60.0, **ALWAYS))
    assert offer(room.runtime.decide(ask())) == "save5"
    assert offer(room.runtime.decide(ask())) == "none"
    room.now_us += 60 * SECOND
    assert offer(room.runtime.decide(ask())) == "save5"


def test_a_hard_budget_is_exact_over_all_visitors() -> None:
    room = Room(revision_of(budgets=(HARD,), **ALWAYS))
    shown = [offer(room.runtime.decide(ask(visitor_id=f"v{number}"))) for number in range(6)]
    assert shown == ["save5"] * 3 + ["none"] * 3
    assert reasons(room) == {ExclusionReason.BUDGET_SPENT}
    assert room.last.budget_spent == ((0, 3.0),)


def test_propensities_are_over_what_remains() -> None:
    """Uniform over three, then over two once the coupon is capped."""
    room = Room(revision_of(caps=(COUPON,)))
    seen = Counter(round(room.runtime.decide(ask()).slots[0].propensity, 6) for _ in range(40))
    assert set(seen) == {0.333333, 0.5}


def test_without_counters_limited_offers_are_left_out_and_the_rest_is_served() -> None:
    room = Room(revision_of(caps=(COUPON,), **ALWAYS))

    class Broken:
        """A cache in which `fault` happens."""

        fault: type[Exception] = CacheUnready

        def is_ready(self) -> bool:
            return False

        def tally(self, *_: object) -> None:
            return None

        @contextmanager
        def view(self) -> Iterator[CacheView]:
            if self.fault is CacheUnready:
                raise CacheUnready("made so")
            with room.cache.view() as view:
                yield view

        @contextmanager
        def transaction(
            self, timeout_s: float, *, while_filling: bool = False, keeps_tally: bool = False
        ) -> Iterator[CacheTransaction]:
            if self.fault is not None:
                raise self.fault("made so")
            with room.cache.transaction(
                timeout_s, while_filling=while_filling, keeps_tally=keeps_tally
            ) as transaction:
                yield transaction

    broken = Broken()
    runtime = replace(room.runtime, cache=broken)
    for fault in (CacheUnready, CacheBusy):
        broken.fault = fault
        assert offer(runtime.decide(ask())) == "none"
        assert reasons(room) == {ExclusionReason.COUNTERS_UNREADY}


def test_a_cap_that_is_reached_between_looking_and_counting_holds() -> None:
    """Another decider counts for the same visitor while this one computes its pmf without the lock."""
    room = Room(revision_of(caps=(replace_limit(COUPON, 1),), **ALWAYS))
    event = CapEvent(COUPON.id, room.runtime.clock(), 0)

    class Overtaken:
        """A cache that changes behind every look."""

        def is_ready(self) -> bool:
            return True

        def tally(self, *_: object) -> None:
            return None

        @contextmanager
        def view(self) -> Iterator[CacheView]:
            with room.cache.view() as view:
                yield view
            with room.cache.transaction(1.0) as state:
                state.apply(b"o" * 16, room.runtime.digest("ann"), Counting((event,)), event.time_us)

        def transaction(
            self, timeout_s: float, *, while_filling: bool = False, keeps_tally: bool = False
        ) -> AbstractContextManager[CacheTransaction]:
            return room.cache.transaction(timeout_s, while_filling=while_filling, keeps_tally=keeps_tally)

    assert offer(replace(room.runtime, cache=Overtaken()).decide(ask())) == "none"
    assert reasons(room) == {ExclusionReason.CAPPED}


def test_a_drawn_decision_that_can_not_be_counted_is_not_drawn_again() -> None:
    """Drawing under a new id after a failure that depends on the offer would bias what is logged."""
    room = Room(revision_of(caps=(COUPON,)))
    drawn = []

    class Failing:
        """Fails when the transaction ends."""

        def is_ready(self) -> bool:
            return True

        def tally(self, *_: object) -> None:
            return None

        def view(self) -> AbstractContextManager[CacheView]:
            return room.cache.view()

        @contextmanager
        def transaction(
            self, timeout_s: float, *, while_filling: bool = False, keeps_tally: bool = False
        ) -> Iterator[CacheTransaction]:
            with room.cache.transaction(
                timeout_s, while_filling=while_filling, keeps_tally=keeps_tally
            ) as transaction:
                yield transaction
                drawn.append(1)
                raise CacheUnready("made so at the end")

    outcome = replace(room.runtime, cache=Failing()).decide(ask())
    assert (drawn, outcome.decision_id, outcome.reason) == ([1], None, Reason.UNRECORDED)
    assert room.journal.kept == []


def test_what_can_not_be_recorded_shows_no_limited_offer() -> None:
    room = Room(revision_of(caps=(COUPON,), **ALWAYS))
    room.journal.fails = True
    outcome = room.runtime.decide(ask())
    assert (outcome.decision_id, outcome.reason, offer(outcome)) == (None, Reason.UNRECORDED, "none")


def test_a_request_id_gets_its_first_answer_again_and_another_body_is_refused() -> None:
    room = Room(revision_of())
    first = room.runtime.decide(ask(request_id="r1"))
    assert [room.runtime.decide(ask(request_id="r1")) for _ in range(5)] == [first] * 5
    assert len(room.journal.kept) == 1
    assert room.runtime.decide(ask(request_id="r2")).decision_id != first.decision_id
    with pytest.raises(InvalidInput, match="request_id"):
        room.runtime.decide(ask(visitor_id="bob", request_id="r1"))
    room.now_us += 30 * 60 * SECOND
    assert room.runtime.decide(ask(request_id="r1")).decision_id != first.decision_id


def test_a_visitor_keeps_the_offer_while_it_sticks() -> None:
    room = Room(revision_of(sticky_for_s=600.0))
    first = room.runtime.decide(ask())
    assert {room.runtime.decide(ask()) for _ in range(20)} == {first}
    assert len(room.journal.kept) == 1
    left_out = room.runtime.decide(ask(exclude_offer_ids=(offer(first),)))
    assert offer(left_out) != offer(first)
    room.now_us += 600 * SECOND
    assert room.runtime.decide(ask()).decision_id not in (first.decision_id, left_out.decision_id)


def test_the_holdout_gets_the_baseline_for_certain_and_its_share_only_grows() -> None:
    """Of 4,000 visitors a tenth, within 5 standard errors: a false alarm in 1.7 million runs."""
    held: dict[float, set[str]] = {}
    for share in (0.1, 0.3):
        room = Room(revision_of(share=share, baseline=("save5",)))
        for number in range(4000):
            outcome = room.runtime.decide(ask(visitor_id=f"v{number}"))
            assert room.last.holdout_u is not None
            assert room.last.holdout == (room.last.holdout_u < share) == (outcome.reason is Reason.HOLDOUT)
            if room.last.holdout:
                assert (offer(outcome), outcome.slots[0].propensity) == ("save5", 1.0)
                assert not room.last.is_learnable()
                held.setdefault(share, set()).add(f"v{number}")
    assert held[0.1] < held[0.3]
    assert abs(len(held[0.1]) - 400) < 5 * (4000 * 0.1 * 0.9) ** 0.5


def test_without_an_id_or_consent_a_visitor_is_in_neither_arm() -> None:
    room = Room(revision_of(share=1.0, baseline=("save5",)))
    room.runtime.decide(ask(visitor_id=""))
    assert (room.last.holdout, room.last.holdout_u) == (False, None)
    room.runtime.decide(ask(consent=Consent.NONE))
    assert (room.last.holdout, room.last.holdout_u) == (False, None)


def test_a_merged_visitor_goes_by_the_known_one() -> None:
    room = Room(revision_of(caps=(COUPON,), **ALWAYS))
    for _ in range(2):
        room.runtime.decide(ask(visitor_id="anonymous"))
    with room.cache.transaction(1.0) as transaction:
        transaction.merge(room.runtime.digest("anonymous"), room.runtime.digest("ann"))
    assert offer(room.runtime.decide(ask(visitor_id="ann"))) == "none"
    assert offer(room.runtime.decide(ask(visitor_id="anonymous"))) == "none"
    assert room.journal.kept[-1][1] == room.runtime.digest("ann")
