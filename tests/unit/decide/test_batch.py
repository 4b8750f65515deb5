"""Decisions of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from offer_optimizer.core.catalog import Cap
from offer_optimizer.core.decision import Reason
from offer_optimizer.core.errors import StorageUnavailable, UnknownPlacement
from offer_optimizer.decide.batch import Batch
from tests.unit.decide.rooms import MemoryJournal, Room, ask, revision_of

ALWAYS_SAVE5: dict[str, Any] = {"baseline": ("save5",), "ramp": 0.0, "floor": 0.0}
VISITORS = ("ann", "ben", "cat", "dan")


def begin(room: Room) -> Batch:
    """Return a batch of the room's."""
    return Batch.begin(room.runtime, room.journal)


def test_items_of_a_batch_are_decided_and_recorded_as_they_would_be_alone() -> None:
    alone, together = Room(), Room()
    expected = [alone.runtime.decide(ask(visitor)) for visitor in VISITORS]
    batch = begin(together)
    found = [batch.decide(ask(visitor)) for visitor in VISITORS]
    assert together.journal.kept == []
    assert batch.end() == {}
    assert found == expected
    assert [digest for _, digest in together.journal.kept] == [digest for _, digest in alone.journal.kept]
    assert [one.slots[0].chosen for one, _ in together.journal.kept] == [
        one.slots[0].chosen for one, _ in alone.journal.kept
    ]


def test_items_of_one_visitor_see_each_others_counts() -> None:
    room = Room(revision_of(caps=(Cap(id="seen", limit=5, offers=("save5",)),), **ALWAYS_SAVE5))
    batch = begin(room)
    for visitor in ("ann", "ben", "ann"):
        batch.decide(ask(visitor))
    batch.end()
    counts = [dict(decision.cap_counts) for decision, _ in room.journal.kept]
    assert counts == [{0: 0}, {0: 0}, {0: 1}]


def test_what_the_journal_did_not_take_is_answered_with_the_baseline_and_no_id() -> None:
    room = Room(revision_of(baseline=("save5",)))
    room.journal.takes_at_most = 2
    batch = begin(room)
    outcomes = [batch.decide(ask(visitor)) for visitor in VISITORS]
    instead = batch.end()
    assert set(instead) == {outcome.decision_id for outcome in outcomes[2:]}
    assert {one.reason for one in instead.values()} == {Reason.UNRECORDED}
    assert {one.decision_id for one in instead.values()} == {None}
    assert [slot.offer_id for one in instead.values() for slot in one.slots] == ["save5", "save5"]


def test_a_repeat_within_the_batch_has_the_fate_of_the_first() -> None:
    room = Room()
    batch = begin(room)
    first, again = (batch.decide(ask("ann", request_id="r1")) for _ in range(2))
    room.journal.fails = True
    assert first.decision_id is not None
    assert again.decision_id == first.decision_id
    assert set(batch.end()) == {first.decision_id}


def test_a_batch_that_ends_early_is_written_as_far_as_it_went() -> None:
    """Whoever repeats a request hears the first decision, which therefore has to be in the journal."""
    room = Room()
    batch = begin(room)
    decided = batch.decide(ask("ann", request_id="r1"))
    with pytest.raises(UnknownPlacement):
        batch.decide(ask(placement_id="attic"))
    batch.end()
    assert [one.decision_id for one, _ in room.journal.kept] == [decided.decision_id]
    assert room.runtime.decide(ask("ann", request_id="r1")).decision_id == decided.decision_id


def test_when_even_stamping_fails_every_item_is_answered_unrecorded() -> None:
    class NoStamp(MemoryJournal):
        def stamp(self) -> object:  # type: ignore[override]
            raise StorageUnavailable("no cell is free")

    batch = Batch.begin(Room().runtime, NoStamp())  # type: ignore[arg-type]
    assert [batch.decide(ask(visitor)).reason for visitor in VISITORS] == [Reason.UNRECORDED] * 4
    assert batch.end() == {}


def test_a_clock_that_goes_back_stamps_nothing_before_what_the_batch_has_shown() -> None:
    room = Room()
    began_us = room.now_us
    batch = begin(room)
    room.now_us -= 1_000
    batch.decide(ask())
    batch.end()
    assert room.last.decide_time_us == began_us
