"""Decisions by what lies ready of a visitor: as every other decision, only without looking the rest up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from offer_optimizer.core.catalog import Cap, Window
from offer_optimizer.core.counting import CapEvent, CapReading, Counting
from offer_optimizer.core.decision import ExclusionReason, Reason
from offer_optimizer.core.errors import CacheBusy, CacheUnready
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.hot_cache import Tally
from offer_optimizer.store.memory_cache import MemoryTally
from tests.unit.decide.rooms import NOW_US, MemoryJournal, Room, ask, revision_of

SECOND = 1_000_000
ALWAYS: dict[str, Any] = {"baseline": ("save5",), "ramp": 0.0, "floor": 0.0}
ONCE = Cap(id="once", limit=1, offers=("save5",))
TWICE = Cap(id="twice", limit=2, offers=("save5",))
CAPS = (
    Cap(id="short", limit=2, offers=("save5",), window=Window(rolling_s=20.0)),
    Cap(id="long", limit=5, offers=("msg", "save5"), window=Window(rolling_s=120.0)),
    Cap(id="day", limit=12, offers=("msg",), window=Window(period="day", zone="Europe/Paris")),
    Cap(id="any", limit=20, interruptions=True, window=Window(rolling_s=600.0)),
)


class Watched:
    """The cache of a room, which counts tallies that were given; `meanwhile` happens before one is taken."""

    def __init__(self, room: Room, *, gives: bool = True) -> None:
        self._cache, self._gives = room.cache, gives
        self.given_count = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._cache, name)

    def tally(self, reading: CapReading, digest: bytes, now_us: int, most: int) -> Tally | None:
        """See HotCache."""
        if not self._gives:
            return None
        found = self._cache.tally(reading, digest, now_us, most)
        if found is not None:
            self.given_count += 1
            self.meanwhile()
        return found


def watch(room: Room, *, gives: bool = True) -> Watched:
    """Put a watched cache into a room."""
    watched = Watched(room, gives=gives)
    room.runtime = replace(room.runtime, cache=watched)
    return watched


def offer(room: Room) -> str:
    """Decide; return what is shown."""
    slots = room.runtime.decide(ask()).slots
    return slots[0].offer_id if slots else ""


def times(room: Room, cap: Cap) -> tuple[int, ...]:
    """Return the events of a cap for ann."""
    with room.cache.view() as view:
        return view.event_times(cap.id, room.runtime.digest("ann"), room.now_us)


def decide_at_random(seed: int, *, gives: bool) -> tuple[list[tuple[bytes, bytes]], int, int]:
    """Return what three hundred decisions recorded, how many were capped, and how many went by a tally."""
    room = Room(revision_of(caps=CAPS), seed=f"room {seed}", now_us=NOW_US - 900 * SECOND)
    watched, chance = watch(room, gives=gives), random.Random(seed)
    for _ in range(300):
        room.now_us += chance.choice((-SECOND, 0, SECOND, 4 * SECOND, 15 * SECOND))
        left_out = ("msg",) if chance.random() < 0.2 else ()
        visitor_id = chance.choice(("ann", "ann", "bob", ""))
        room.runtime.decide(ask(visitor_id, exclude_offer_ids=left_out))
        if chance.random() < 0.05:
            with room.cache.transaction(1.0) as state:
                expires_us = room.now_us + 30 * SECOND
                events = (CapEvent("long", room.now_us, expires_us),)
                state.apply(chance.randbytes(16), b"digest of ann", Counting(events), room.now_us)
        if chance.random() < 0.02:
            with room.cache.transaction(1.0) as state:
                state.undo(chance.choice(room.journal.kept)[0].decision_id, b"digest of ann")
    recorded = [(encode_decision(decision), digest) for decision, digest in room.journal.kept]
    capped = sum(ExclusionReason.CAPPED in decision.exclusion_reasons for decision, _ in room.journal.kept)
    return recorded, capped, watched.given_count


@pytest.mark.parametrize("seed", range(3))
def test_decisions_by_tallies_are_recorded_as_those_without(seed: int) -> None:
    recorded, capped, given = decide_at_random(seed, gives=True)
    expected, _, none_given = decide_at_random(seed, gives=False)
    assert recorded == expected
    assert (len(recorded), none_given) == (300, 0)
    assert (given > 100, 20 < capped < 280) == (True, True)


def test_a_cap_that_is_reached_between_looking_and_taking_holds() -> None:
    """Twice at one moment, with one use left: the second sees that the first has taken it, and draws once."""
    room = Room(revision_of(caps=(TWICE,), **ALWAYS))
    watched = watch(room)
    drawn: list[int] = []
    entropy = room.runtime.entropy

    def draw(size: int) -> bytes:
        drawn.append(size)
        return entropy(size)

    room.runtime = replace(room.runtime, entropy=draw)
    assert offer(room) == "save5"
    others = MemoryJournal()
    other = replace(room.runtime, journal=others)

    def overtake() -> None:
        watched.meanwhile = lambda: None
        assert other.decide(ask()).slots[0].offer_id == "save5"

    watched.meanwhile = overtake
    assert offer(room) == "none"
    assert watched.given_count == 3
    assert len(drawn) == len(room.journal.kept) + len(others.kept) == 3
    assert len(times(room, TWICE)) == 2
    assert {ExclusionReason(it) for it in room.last.exclusion_reasons} == {ExclusionReason.CAPPED}


def test_the_only_use_is_not_given_twice() -> None:
    room = Room(revision_of(caps=(ONCE,), **ALWAYS))
    watched = watch(room)
    digest = room.runtime.digest("ann")

    def overtake() -> None:
        with room.cache.transaction(1.0) as state:
            state.apply(b"o" * 16, digest, Counting((CapEvent("once", NOW_US, 0),)), NOW_US)

    watched.meanwhile = overtake
    assert offer(room) == "none"
    assert (watched.given_count, len(room.journal.kept), len(times(room, ONCE))) == (1, 1, 1)


def test_what_a_tally_counted_and_nobody_could_record_is_taken_back() -> None:
    room = Room(revision_of(caps=(TWICE,), **ALWAYS))
    watched = watch(room)
    assert offer(room) == "save5"
    room.journal.fails = True
    for _ in range(3):
        outcome = room.runtime.decide(ask())
        assert (outcome.decision_id, outcome.reason) == (None, Reason.UNRECORDED)
    assert (watched.given_count, len(times(room, TWICE))) == (4, 1)
    room.journal.fails = False
    assert [offer(room), offer(room)] == ["save5", "none"]
    assert [decision.cap_counts for decision, _ in room.journal.kept] == [((0, 0),), ((0, 1),), ((0, 2),)]


@pytest.mark.parametrize("error", [CacheBusy("not free in time"), CacheUnready("damaged")], ids=repr)
def test_where_a_tally_can_not_be_taken_limited_offers_are_left_out(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    room = Room(revision_of(caps=(TWICE,), **ALWAYS))
    watched = watch(room)
    assert offer(room) == "save5"

    def refuse(*_: object) -> bool:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTally, "take", refuse)
        assert offer(room) == "none"
    assert {ExclusionReason(it) for it in room.last.exclusion_reasons} == {ExclusionReason.COUNTERS_UNREADY}
    assert (watched.given_count, len(room.journal.kept), len(times(room, TWICE))) == (2, 2, 1)
    assert offer(room) == "save5"


@pytest.mark.parametrize(
    ("more", "question"),
    [
        ({"caps": (TWICE, Cap(id="seen", limit=9, offers=("msg",), count_on="shown"))}, {}),
        ({"caps": (TWICE,), "sticky_for_s": 60.0}, {}),
        ({"caps": (TWICE,)}, {"request_id": "r1"}),
        ({"caps": (TWICE,)}, {"deferred": True}),
        ({"caps": (TWICE,)}, {"visitor_id": ""}),
        ({}, {}),
    ],
    ids=["feedback counts", "sticky", "request id", "deferred", "no visitor", "no caps"],
)
def test_whatever_else_is_to_be_remembered_goes_by_no_tally(
    more: dict[str, Any], question: dict[str, Any]
) -> None:
    room = Room(revision_of(**more))
    watched = watch(room)
    room.runtime.decide(ask(**question))
    with room.cache.transaction(1.0, keeps_tally=True) as state:
        event = CapEvent("other", NOW_US, 0)
        state.apply(b"o" * 16, room.runtime.digest("ann"), Counting((event,)), NOW_US)
    room.runtime.decide(ask(**question))
    assert watched.given_count == 0


def test_a_visitor_who_was_merged_goes_by_the_known_one_and_by_no_tally_of_its_own() -> None:
    room = Room(revision_of(caps=(TWICE,), **ALWAYS))
    watched, known = watch(room), room.runtime.digest("known")
    assert offer(room) == "save5"
    with room.cache.transaction(1.0) as state:
        state.merge(room.runtime.digest("ann"), known)
    watched.given_count = 0
    assert [offer(room), offer(room)] == ["save5", "none"]
    assert watched.given_count == 0
    assert [digest for _, digest in room.journal.kept[1:]] == [known] * 2
