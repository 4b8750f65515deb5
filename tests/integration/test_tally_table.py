"""The table of tallies: whoever reads and adds there counts what plain transactions would have counted."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offer_optimizer.core.counting import CapEvent, Counting
from offer_optimizer.store.hot_cache import Recent
from offer_optimizer.store.hot_fill import FillableCache
from offer_optimizer.store.lmdb_cache import LmdbCache
from offer_optimizer.store.memory_cache import MemoryCache
from offer_optimizer.store.tally_table import TallyTable
from tests.conftest import Size
from tests.integration.tallies import (
    ANN,
    BOB,
    CAT,
    IDS,
    READING,
    change,
    change_in,
    count_apart,
    counts,
    decide,
    fill_seat,
    id_of,
    open_small,
)
from tests.integration.test_hot_cache import run_child
from tests.unit.store.test_hot_visitor import MIDNIGHT_US, READINGS

KINDS = ("decide",) * 10 + ("count", "reserve", "release", "undo", "merge", "feedback", "remember")
VISITORS = 4


class Death(BaseException):
    """A process dies."""


@pytest.fixture(params=[1, 2, 4], ids="{} seats".format)
def cache(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LmdbCache]:
    made = open_small(tmp_path, request.param, monkeypatch)
    yield made
    made.close()


one_seat = pytest.mark.parametrize("cache", [1], indirect=True, ids=["1 seat"])


# --- whatever is done ------------------------------------------------------------------------------------


def names(seed: int) -> list[bytes]:
    """Return the visitors of a sequence."""
    chance = random.Random(seed)
    return [chance.randbytes(32) for _ in range(VISITORS)]


def turn(cache: FillableCache, seed: int, number: int, *, is_plain: bool) -> tuple[int, bool]:
    """Do one random thing; return its time, and whether a tally lay ready."""
    chance = random.Random(f"{seed} {number}")
    # Clocks of two deciders differ: now and then it is earlier than it was.
    now_us = MIDNIGHT_US - 2_000_000 + 60_000 * number + chance.choice((-300_000, 0, 0, 0))
    visitor, other = chance.choices(names(seed), k=2)
    reading, kind = chance.choice(READINGS), chance.choice(KINDS)
    if chance.random() < 0.7:  # mostly one visitor in one seat after another
        calm = random.Random(f"{seed} {number // 8}")
        visitor, reading = calm.choice(names(seed)), calm.choice(READINGS)
    cap_ids = chance.sample(list(reading.places), chance.randint(1, len(reading.places)))
    known = seed << 32 | chance.randrange(number + 1)
    if kind == "decide" and not is_plain:
        return now_us, decide(cache, visitor, seed << 32 | number, now_us, reading, cap_ids)[1]
    with cache.transaction(1.0) as state:
        if kind == "decide":
            events = tuple(CapEvent(cap_id, now_us, 0) for cap_id in cap_ids)
            state.apply(id_of(seed << 32 | number), visitor, Counting(events), now_us)
        elif kind == "merge":
            if chance.random() < 0.2:
                state.merge(visitor, other)
        elif kind == "feedback":
            state.saw_feedback(visitor, "home", str(number % 3), now_us)
        elif kind == "remember":
            state.remember(Recent(id_of(known), "home", "", visitor, now_us, False, 1, b""), b"", b"")
        else:
            change_in(state, kind, visitor, known, now_us - chance.choice((0, 0, 2_500_000)))
    return now_us, False


def assert_alike(cache: LmdbCache, memory: MemoryCache, seed: int, now_us: int) -> None:
    """Compare all that is counted with rows that were never tallied."""
    for visitor in names(seed):
        with memory.view() as view:
            times = [sorted(view.event_times(cap_id, visitor, now_us)) for cap_id in IDS]
            expected = [count_apart(view, reading, visitor, now_us) for reading in READINGS]
        with cache.view() as found:
            assert [list(found.counts(reading, visitor, now_us)) for reading in READINGS] == expected
            assert [sorted(found.event_times(cap_id, visitor, now_us)) for cap_id in IDS] == times
        for reading, counted in zip(READINGS, expected, strict=True):
            tally = cache.tally(reading, visitor, now_us, 1)
            assert tally is None or list(tally.counts) == counted


def test_with_tallies_everything_counts_as_it_does_without(cache: LmdbCache, size: Size) -> None:
    memory, tallied = MemoryCache(), 0
    for seed in range(size.pick(test=12, ci=100, proof=2000)):
        for number in range(60):
            now_us, lay_ready = turn(cache, seed, number, is_plain=False)
            turn(memory, seed, number, is_plain=True)
            assert_alike(cache, memory, seed, now_us)
            tallied += lay_ready
    assert tallied > 60


@one_seat
def test_two_processes_take_turns_and_count_as_one(cache: LmdbCache, tmp_path: Path, size: Size) -> None:
    child = run_child(
        "from tests.integration.test_tally_table import turn\n"
        "for line in sys.stdin:\n"
        " print(*map(int, turn(cache, *map(int, line.split()), is_plain=False)), flush=True)",
        tmp_path,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    memory, tallied, chance = MemoryCache(), [0, 0], random.Random(1)
    with child.stdin, child.stdout:
        for seed in range(size.pick(test=4, ci=30, proof=500)):
            for number in range(60):
                is_childs = chance.random() < 0.5
                if is_childs:
                    child.stdin.write(b"%d %d\n" % (seed, number))
                    child.stdin.flush()
                    now_us, lay_ready = map(int, child.stdout.readline().split())
                else:
                    now_us, lay_ready = turn(cache, seed, number, is_plain=False)
                tallied[is_childs] += lay_ready
                turn(memory, seed, number, is_plain=True)
                assert_alike(cache, memory, seed, now_us)
    assert child.wait(60) == 0
    assert min(tallied) > 8


@pytest.mark.parametrize("cache", [2], indirect=True, ids=["2 seats"])
def test_processes_that_decide_at_once_lose_no_event_and_count_none_twice(
    cache: LmdbCache, tmp_path: Path
) -> None:
    """Four visitors in two seats, 72 events each by three processes."""
    code = (
        "from tests.integration.tallies import MIDNIGHT_US, decide_among_others\n"
        "print('in', flush=True); sys.stdin.readline()\n"
        "print(sum(decide_among_others(cache, bytes([n // 3 % 4]) * 32, {start} + n, MIDNIGHT_US)"
        " for n in range(96)))"
    )
    children = [run_child(code.format(start=start * 96), tmp_path) for start in range(3)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"in\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    tallied = [int(child.communicate(timeout=60)[0]) for child in children]
    assert [counts(cache, bytes([number]) * 32) for number in range(4)] == [[72] * 3] * 4
    assert min(tallied) > 0


@one_seat
def test_a_visitor_whose_seat_another_takes_loses_no_event(cache: LmdbCache) -> None:
    for number in range(40):
        visitor = (ANN, BOB, ANN, ANN)[number % 4]
        decide(cache, visitor, number, MIDNIGHT_US)
    assert counts(cache, ANN) == [30] * 3
    assert counts(cache, BOB) == [10] * 3


@one_seat
@pytest.mark.parametrize("visitors", [(ANN, BOB), (BOB, ANN)], ids=["owner first", "owner last"])
def test_two_visitors_of_one_seat_may_be_changed_by_one_transaction(
    cache: LmdbCache, visitors: tuple[bytes, bytes]
) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    decide(cache, ANN, 3, MIDNIGHT_US)
    with cache.transaction(1.0, keeps_tally=True) as state:
        for visitor in visitors:
            state.counts(READING, visitor, MIDNIGHT_US)
            change_in(state, "count", visitor, 6, MIDNIGHT_US)
    assert [counts(cache, visitor) for visitor in (ANN, BOB)] == [[3] * 3, [1] * 3]


# --- who dies in between ---------------------------------------------------------------------------------


def dies(name: str, *, behind: bool) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what lets a process die before or behind a step."""
    original = getattr(TallyTable, name)

    def step(table: TallyTable, *parts: bytes) -> None:
        if behind:
            original(table, *parts)
        raise Death

    return lambda patch: patch.setattr(TallyTable, name, step)


def one_more(cache: FillableCache) -> None:
    """Decide by a transaction where a tally holds: added beside the rows."""
    with cache.view() as view:
        view.counts(READING, ANN, MIDNIGHT_US)
    with cache.transaction(1.0, keeps_tally=True) as state:
        assert state.continues(view)
        change_in(state, "count", ANN, 99, MIDNIGHT_US)


def evict(cache: FillableCache) -> None:
    """Have another visitor take the seat."""
    decide(cache, BOB, 98, MIDNIGHT_US)


CHANGES: dict[str, tuple[Callable[[FillableCache], None], list[int], list[int]]] = {
    "decide": (one_more, [3] * 3, [4] * 3),
    "count": (lambda cache: change(cache, "count", ANN, 99), [3] * 3, [4] * 3),
    "reserve": (lambda cache: change(cache, "reserve", ANN, 99), [3] * 3, [4] * 3),
    "merge": (lambda cache: change(cache, "merge", ANN, 99), [3] * 3, [4] * 3),
    "evict": (evict, [3] * 3, [3] * 3),
}
POINTS = {
    "before the seat is marked": ("outdate", False, False),
    "before the commit": ("outdate", True, False),
    "behind the commit": ("set", False, True),
    "behind the commit that clears": ("clear", False, True),
}


@one_seat
@pytest.mark.parametrize("point", [point for point in POINTS if "clears" not in point])
def test_whoever_dies_while_a_full_seat_is_brought_home_leaves_all_that_was_counted(
    cache: LmdbCache, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    name, behind, _ = POINTS[point]
    number = fill_seat(cache, ANN)
    with monkeypatch.context() as patch:
        dies(name, behind=behind)(patch)
        with pytest.raises(Death):
            decide(cache, ANN, 3 * number, MIDNIGHT_US)
    assert counts(cache, ANN) == [number] * 3
    decide(cache, ANN, 3 * number, MIDNIGHT_US)
    assert counts(cache, ANN) == [number + 1] * 3


@one_seat
@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("point", POINTS)
def test_whoever_dies_within_a_change_leaves_all_of_it_or_nothing(
    cache: LmdbCache, monkeypatch: pytest.MonkeyPatch, point: str, kind: str
) -> None:
    change_it, before, after = CHANGES[kind]
    change(cache, "count", BOB, 96)
    for number in range(3):
        decide(cache, ANN, 3 * number, MIDNIGHT_US)
    name, behind, is_committed = POINTS[point]
    died = False
    with monkeypatch.context() as patch:
        dies(name, behind=behind)(patch)
        try:
            change_it(cache)
        except Death:
            died = True
    # Whoever comes next: a reader, a decision of the same visitor, and one that takes the seat.
    expected = after if is_committed or not died else before
    assert counts(cache, ANN) == expected
    decide(cache, ANN, 200, MIDNIGHT_US)
    assert counts(cache, ANN) == [it + 1 for it in expected]
    decide(cache, CAT, 201, MIDNIGHT_US)
    assert counts(cache, ANN) == [it + 1 for it in expected]


def test_whatever_is_done_by_whom_and_wherever_they_die_no_event_is_lost(
    cache: LmdbCache, monkeypatch: pytest.MonkeyPatch, size: Size
) -> None:
    memory, chance, deaths = MemoryCache(), random.Random(2), 0
    monkeypatch.setattr(f"{__name__}.KINDS", tuple(kind for kind in KINDS if kind != "undo"))
    for seed in range(size.pick(test=5, ci=50, proof=1000)):
        for number in range(60):
            name, behind, is_done = chance.choice(list(POINTS.values()))
            with monkeypatch.context() as patch:
                if chance.random() < 0.5:
                    dies(name, behind=behind)(patch)
                try:
                    turn(cache, seed, number, is_plain=False)
                    is_done = True
                except Death:
                    deaths += 1
            if is_done:
                now_us, _ = turn(memory, seed, number, is_plain=True)
                assert_alike(cache, memory, seed, now_us)
    assert deaths > 20


@one_seat
@pytest.mark.parametrize("point", POINTS)
def test_an_undo_whose_process_died_wastes_that_one_use_at_most(
    cache: LmdbCache, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    for number in range(3):
        decide(cache, ANN, number, MIDNIGHT_US)
    name, behind, _ = POINTS[point]
    with monkeypatch.context() as patch, contextlib.suppress(Death):
        dies(name, behind=behind)(patch)
        with cache.transaction(1.0) as state:
            state.undo(id_of(2), ANN)
    assert counts(cache, ANN) in ([2] * 3, [3] * 3)
    with cache.transaction(1.0) as state:
        state.undo(id_of(2), ANN)
    assert counts(cache, ANN) == [2] * 3


@one_seat
def test_a_process_that_ends_behind_its_commit_leaves_lock_and_events(
    cache: LmdbCache, tmp_path: Path
) -> None:
    for number in range(3):
        decide(cache, ANN, 3 * number, MIDNIGHT_US)
    child = run_child(
        "from tests.integration.test_tally_table import ANN, MIDNIGHT_US, TallyTable, decide, one_more\n"
        "TallyTable.set = lambda *_: os._exit(9)\n"
        "one_more(cache)",
        tmp_path,
    )
    assert child.wait(60) == 9
    assert counts(cache, ANN) == [4] * 3
    decide(cache, ANN, 200, MIDNIGHT_US)
    assert counts(cache, ANN) == [5] * 3
