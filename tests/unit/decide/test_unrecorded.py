"""What the disk refused is never repeated under an id that no journal has, and is counted no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from offer_optimizer.core.catalog import Budget, Cap
from offer_optimizer.core.decision import Decision, Reason
from offer_optimizer.core.errors import CacheBusy
from offer_optimizer.decide.batch import Batch
from offer_optimizer.store.hot_cache import CacheTransaction
from tests.unit.decide.rooms import MemoryJournal, Room, ask, revision_of

ALWAYS: dict[str, Any] = {"baseline": ("save5",), "ramp": 0.0, "floor": 0.0}
LIMITED: dict[str, Any] = {
    "caps": (
        Cap(id="some", limit=3, offers=("save5",)),
        Cap(id="seen", limit=3, offers=("save5",), count_on="shown"),
    ),
    "budgets": (Budget(id="hard", limit=3.0, offers=("save5",), hard=True),),
}
STICKY: dict[str, Any] = {"sticky_for_s": 600.0}


def room_of(**changes: Any) -> Room:  # noqa: ANN401  (fields of Placement)
    """Return a room in which everybody is shown save5 while limits allow it."""
    return Room(revision_of(**ALWAYS, **changes))


def ids(room: Room) -> list[bytes]:
    """Return the ids that the journal has."""
    return [decision.decision_id for decision, _ in room.journal.kept]


@pytest.mark.parametrize("limited", [{}, LIMITED], ids=["free", "limited"])
@pytest.mark.parametrize("by", ["request", "sticky"])
def test_a_retry_after_a_failed_write_gets_an_id_that_the_journal_has(
    limited: dict[str, Any], by: str
) -> None:
    room = room_of(**limited, **(STICKY if by == "sticky" else {}))
    question = ask(request_id="r1") if by == "request" else ask()
    room.journal.fails = True
    assert room.runtime.decide(question).reason is Reason.UNRECORDED
    assert room.runtime.decide(question).reason is Reason.UNRECORDED
    room.journal.fails = False
    again = room.runtime.decide(question)
    assert ids(room) == [again.decision_id]
    assert room.runtime.decide(question) == again


def test_a_decision_whose_maker_died_before_writing_is_written_by_whoever_repeats_it() -> None:
    """Counted and remembered, and then kill -9: the caller heard nothing and asks again."""

    class Death(BaseException):
        pass

    room = room_of(**LIMITED)

    class Deadly(MemoryJournal):
        def append(self, decision: Decision, visitor_digest: bytes) -> None:
            raise Death

    with pytest.raises(Death):
        replace(room.runtime, journal=Deadly()).decide(ask(request_id="r1"))
    again = room.runtime.decide(ask(request_id="r1"))
    assert again.decision_id in ids(room)
    assert room.journal.kept[0][1] == room.runtime.digest("ann")
    room.journal.fails = True
    assert room.runtime.decide(ask(request_id="r1")).decision_id is None


def test_what_could_not_be_recorded_uses_up_no_cap_and_no_budget() -> None:
    room = room_of(**LIMITED)
    room.journal.fails = True
    for number in range(5):
        room.runtime.decide(ask(request_id=f"r{number}"))
        room.runtime.decide(ask("ben", deferred=True))
    room.journal.fails = False
    assert [slot.offer_id for slot in room.runtime.decide(ask()).slots] == ["save5"]
    assert dict(room.last.cap_counts) == {0: 0, 1: 0}
    assert dict(room.last.budget_spent) == {0: 0.0}


def test_what_a_batch_could_not_record_is_neither_repeated_nor_counted() -> None:
    room = room_of(**LIMITED)
    batch = Batch.begin(room.runtime, room.journal)
    room.journal.takes_at_most = 1
    made = [batch.decide(ask(request_id=name)) for name in ("r1", "r2", "r2")]
    assert set(batch.end()) == {made[1].decision_id}
    again = [room.runtime.decide(ask(request_id=name)) for name in ("r1", "r2")]
    assert again[0].decision_id == made[0].decision_id
    assert again[1].decision_id != made[1].decision_id
    assert {it.decision_id for it in again} == set(ids(room))
    assert dict(room.last.cap_counts) == {0: 1, 1: 1}


def test_a_repeat_that_a_batch_could_not_record_stays_counted() -> None:
    """Whoever made it has recorded it."""
    room = room_of(**LIMITED)
    first = room.runtime.decide(ask(request_id="r1"))
    batch = Batch.begin(room.runtime, room.journal)
    batch.decide(ask(request_id="r1"))
    room.journal.fails = True
    assert set(batch.end()) == {first.decision_id}
    room.journal.fails = False
    assert room.runtime.decide(ask(request_id="r1")).decision_id == first.decision_id
    room.runtime.decide(ask())
    assert dict(room.last.cap_counts) == {0: 1, 1: 1}


def test_where_counters_are_held_up_too_the_repeat_writes_the_record() -> None:
    room = room_of(**LIMITED)
    cache = room.cache

    class HeldUp:
        """Gives one transaction, and then none."""

        given = 0

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(cache, name)

        @contextmanager
        def transaction(self, timeout_s: float, *, keeps_tally: bool = False) -> Iterator[CacheTransaction]:
            self.given += 1
            if self.given > 1:
                raise CacheBusy("held up")
            with cache.transaction(timeout_s, keeps_tally=keeps_tally) as found:
                yield found

    held_up = replace(room.runtime, cache=HeldUp())  # type: ignore[arg-type]
    room.journal.fails = True
    assert held_up.decide(ask(request_id="r1")).decision_id is None
    room.journal.fails = False
    assert [room.runtime.decide(ask(request_id="r1")).decision_id] == ids(room)
