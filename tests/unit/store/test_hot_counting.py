"""Which decision an item counts for, and which decisions are counted and remembered at all."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from offer_optimizer.core.catalog import Cap
from offer_optimizer.core.counting import Limits
from offer_optimizer.core.decision import Decision, InlineCandidate
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.store.hot_cache import REPEAT_US
from offer_optimizer.store.hot_counting import (
    chosen_offer_id,
    count_decision,
    count_feedback,
    is_counted,
    recent_of,
)
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.memory_cache import MemoryValues
from tests.unit.learn.counted_world import HOME, OTHER, limited
from tests.unit.learn.worlds import START_US, decision_of

CATALOG = limited()
LIMITS = Limits(CATALOG)
READ: Any = {"cap_counts": ((0, 0),)}


def other(number: int = 0, time_us: int = START_US, **changes: object) -> Decision:
    """Return a decision at the placement that is not sticky; 0 chose `msg`."""
    parts: dict[str, Any] = changes
    return replace(decision_of(number, time_us, epoch=b"e" * 16, placement_id="other"), **parts)


def item(decision: Decision | None, kind: str, time_us: int, **changes: object) -> Feedback:
    by = decision.decision_id if decision else b""
    parts: dict[str, Any] = changes
    return replace(Feedback("f", by, "" if decision else "other", 0, kind, 1.0, time_us), **parts)


@pytest.fixture
def state() -> HotState:
    return HotState(MemoryValues())


def bring(state: HotState, decision: Decision, digest: bytes = b"ann") -> bool:
    return count_decision(
        state, LIMITS, recent_of(decision, CATALOG, digest, b""), (b"", b""), may_repeat=False
    )


def hear(state: HotState, feedback: Feedback, digest: bytes = b"", **how: bool) -> bool:
    return count_feedback(state, lambda revision: LIMITS if revision == 1 else None, feedback, digest, **how)


def dismissed(state: HotState) -> tuple[int, ...]:
    return state.event_times("dismissed", b"ann", START_US)


def test_counted_is_what_read_counters_or_may_be_repeated() -> None:
    assert not is_counted(other(), CATALOG)
    assert is_counted(other(**READ), CATALOG)
    assert is_counted(other(budget_spent=((0, 0.0),)), CATALOG)
    assert is_counted(other(request_digest=b"q"), CATALOG)
    assert is_counted(other(placement_id="home"), CATALOG)
    assert (HOME.sticky_for_s, OTHER.sticky_for_s) == (60.0, 0.0)


def test_records_are_kept_only_where_a_repeat_may_ask_for_them() -> None:
    kept = [
        recent_of(decision, CATALOG, b"", b"r").record
        for decision in (other(**READ), other(request_digest=b"q"))
    ]
    assert kept == [b"", b"r"]


def test_the_chosen_offer_is_found_among_the_eligible_the_inline_and_nowhere() -> None:
    assert chosen_offer_id(other(1), CATALOG) == "save5"
    assert chosen_offer_id(other(0, excluded=(0,), exclusion_reasons=(1,)), CATALOG) == "save5"
    inline = (
        InlineCandidate("x", Features()),
        InlineCandidate("y", Features()),
        InlineCandidate("z", Features()),
    )
    assert chosen_offer_id(other(1, candidates=(3, 4, 5), inline=inline), CATALOG) == "y"
    assert chosen_offer_id(other(slots=()), CATALOG) == ""


def test_a_decision_is_brought_once(state: HotState) -> None:
    assert bring(state, other(**READ))
    assert not bring(state, other(**READ))
    assert state.spent("uses", "", START_US) == 1.0


def test_where_no_feedback_counts_a_decision_is_counted_and_not_remembered(state: HotState) -> None:
    """Unless it may be repeated, or has reserved: then something may still come of it."""
    caps = (Cap(id="often", limit=5, interruptions=True),)
    plain = Limits(CATALOG.model_copy(update={"caps": caps, "budgets": ()}))
    kept = []
    for number, (deferred, may_repeat) in enumerate(product((False, True), repeat=2)):
        decision = other(3 * number, START_US + number, deferred=deferred, **READ)
        recent = recent_of(decision, CATALOG, b"ann", b"")
        for _ in range(2):
            count_decision(state, plain, recent, (b"", b""), may_repeat=may_repeat)
        kept.append(state.recent(decision.decision_id) is not None)
    assert kept == [False, True, True, True]
    assert sorted(state.event_times("often", b"ann", START_US)) == [START_US + n for n in range(4)]


def test_feedback_counts_up_to_half_an_hour_after_the_decision_by_stamps(state: HotState) -> None:
    bring(state, other(**READ))
    assert not hear(state, item(other(), "dismiss", START_US + REPEAT_US))
    assert dismissed(state) == ()
    assert hear(state, item(other(), "dismiss", START_US + REPEAT_US - 1))
    assert dismissed(state) == (START_US + REPEAT_US - 1,)


def test_feedback_again_counts_once_at_its_first_time(state: HotState) -> None:
    bring(state, other(**READ))
    for after_us in (7, 3, 9):
        hear(state, item(other(), "dismiss", START_US + after_us))
    assert dismissed(state) == (START_US + 3,)


def test_what_takes_something_back_counts_nothing_and_gives_nothing_back(state: HotState) -> None:
    bring(state, other(**READ))
    back = item(other(), "dismiss", START_US + 1, feedback_id="r", retracts_feedback_id="f")
    assert not hear(state, back)
    assert dismissed(state) == ()
    hear(state, item(other(), "dismiss", START_US + 2))
    hear(state, replace(back, receive_time_us=START_US + 3))
    assert dismissed(state) == (START_US + 2,)


def test_feedback_about_an_unknown_decision_or_another_slot_counts_nothing(state: HotState) -> None:
    assert not hear(state, item(other(), "dismiss", START_US))
    bring(state, other(**READ))
    assert hear(state, item(other(), "dismiss", START_US, slot=1))
    assert dismissed(state) == ()


def test_by_visitor_means_the_newest_decision_that_was_made_by_then(state: HotState) -> None:
    """One that was made later, but is known already, is not meant: as when both are drained together."""
    bring(state, other(0, START_US, **READ))
    bring(state, other(2, START_US + 10, **READ))
    hear(state, item(None, "dismiss", START_US + 9), b"ann")
    assert dismissed(state) == (START_US + 9,)
    hear(state, item(None, "dismiss", START_US + 11, feedback_id="g"), b"ann")
    # The second chose `nothing`, which no cap limits.
    assert dismissed(state) == (START_US + 9,)


def test_by_visitor_an_item_sent_again_is_not_credited_to_a_later_decision(state: HotState) -> None:
    bring(state, other(0, START_US, **READ))
    hear(state, item(None, "click", START_US + 5), b"ann")
    bring(state, other(3, START_US + 10, **READ))
    hear(state, item(None, "click", START_US + 20), b"ann")
    assert state.spent("money", "1970-01-01", START_US) == 0.0
    bring(state, other(1, START_US + 30, **READ))
    hear(state, item(None, "click", START_US + 40), b"ann")
    assert state.spent("money", "1970-01-01", START_US) == 0.0
    hear(state, item(None, "click", START_US + 40, feedback_id="new"), b"ann")
    assert state.spent("money", "1970-01-01", START_US) == 0.25


def test_an_item_by_visitor_that_meets_no_decision_is_not_used_up(state: HotState) -> None:
    assert not hear(state, item(None, "dismiss", START_US + 5), b"ann")
    bring(state, other(0, START_US, **READ))
    assert hear(state, item(None, "dismiss", START_US + 5), b"ann")
    assert dismissed(state) == (START_US + 5,)


def test_while_a_cache_is_filled_items_by_visitor_wait_for_who_brings_all_in_order() -> None:
    state = HotState(MemoryValues(), is_whole=False)
    bring(state, other(0, START_US, **READ))
    assert not hear(state, item(None, "dismiss", START_US + 5), b"ann")
    assert dismissed(state) == ()
    assert hear(state, item(None, "dismiss", START_US + 5), b"ann", in_order=True)
    assert dismissed(state) == (START_US + 5,)


def test_an_unknown_revision_counts_nothing(state: HotState) -> None:
    bring(state, other(0, catalog_revision=2, **READ))
    assert hear(state, item(other(), "dismiss", START_US))
    assert dismissed(state) == ()
