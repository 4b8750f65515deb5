"""Counters: what deciders counted live is what the ledger's counters fill a new cache with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offer_optimizer.core.errors import CacheBusy, CacheUnready
from offer_optimizer.learn.cache_keeper import FED_AT_ONCE
from offer_optimizer.store.hot_fill import Stage
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.memory_cache import MemoryCache
from tests.unit.learn.counted_world import KINDS, VISITORS, Shop

writers = st.integers(0, 1)
visitors = st.sampled_from(VISITORS)
known = st.sampled_from(VISITORS[:-1])
places = st.sampled_from(("home", "other"))
Step = Callable[[Shop], Any]


def decide(writer: int, visitor: str, offer: int, where: str, deferred: bool) -> Step:
    return lambda shop: shop.decide(writer, visitor, offer, where, deferred=deferred)


def hear(writer: int, kind: str, target: int | tuple[str, str], number: int, refused: bool) -> Step:
    return lambda shop: shop.hear(writer, kind, target, number, refused=refused)


def merge(writer: int, source: str, target: str) -> Step:
    return lambda shop: shop.merge(writer, source, target)


def wait(seconds: float) -> Step:
    return lambda shop: shop.service.run_for(seconds)


def learn() -> Step:
    return lambda shop: shop.service.learner.step()


def restart() -> Step:
    return lambda shop: shop.service.start()


def doubt() -> Step:
    return lambda shop: shop.service.cache.doubt()


deciding = st.builds(decide, writers, visitors, st.integers(0, 2), places, st.booleans())
hearing = st.builds(
    hear,
    writers,
    st.sampled_from(KINDS),
    st.one_of(st.integers(0, 30), st.tuples(known, places)),
    st.integers(0, 3),
    st.sampled_from((False, False, False, True)),
)
others = st.one_of(
    st.builds(merge, writers, known, known),
    st.builds(wait, st.sampled_from((0.05, 3.0, 11.0, 900.0, 1801.0, 40_000.0))),
    st.builds(learn),
    st.builds(restart),
    st.builds(doubt),
)


@given(st.lists(st.one_of(deciding, hearing, deciding, hearing, others), max_size=60))
@example([decide(0, "ann", 0, "home", True), doubt(), hear(1, "shown", 0, 1, False), learn(), learn()])
def test_live_counts_filled_counts_and_counts_made_apart_are_equal(steps: list[Step]) -> None:
    """Whatever deciders, learner and clock do: feedback late, twice, refused the lock; caches thrown away."""
    shop = Shop()
    for step in steps:
        step(shop)
    shop.service.fill()
    shop.service.learner.step()
    live = shop.read()
    assert live == shop.books.read(shop.service.clock_us)
    shop.refill()
    assert shop.read() == live


def test_a_decision_counts_once_whoever_brings_it() -> None:
    shop = Shop()
    shop.decide(0, "ann", 0, "home", deferred=False)
    now_us = shop.service.clock_us
    for _ in range(3):
        shop.service.learner.step()
    assert shop.read()["decided of ann"] == [now_us]
    assert shop.read()["uses in "] == 1.0


def test_what_was_released_is_not_reserved_again_when_the_learner_brings_the_decision() -> None:
    shop = Shop()
    shop.decide(0, "ann", 0, "home", deferred=True)
    assert shop.read()["uses in "] == 1.0
    shop.hear(1, "not_shown", 0, 1)
    for _ in range(3):
        shop.service.learner.step()
        assert (shop.read()["uses in "], shop.read()["decided of ann"]) == (0.0, [])


def test_feedback_that_was_refused_the_lock_counts_when_the_learner_brings_it() -> None:
    shop = Shop()
    shop.decide(0, "ann", 0, "home", deferred=False)
    shop.hear(1, "dismiss", 0, 1, refused=True)
    assert shop.read()["dismissed of ann"] == []
    shop.service.learner.step()
    assert shop.read()["dismissed of ann"] == [shop.service.clock_us]


def test_a_decision_that_its_decider_did_not_remember_is_known_when_the_learner_brings_it() -> None:
    """Made without the cache at a sticky placement, it is still the newest of its visitor."""
    shop = Shop()
    shop.service.cache.doubt()
    for _ in range(3):
        shop.service.learner.step()
    assert shop.service.cache.stage() is Stage.FILLING
    shop.decide(0, "ann", 0, "home", deferred=False)
    shop.service.fill()
    with shop.service.cache.view() as view:
        newest = view.newest_decision("home", b"ann")
    assert newest is not None
    assert (newest.decision_id, newest.offer_id) == (shop.decisions[0].decision_id, "nothing")


def test_all_that_was_refused_is_brought_however_much_it_is() -> None:
    shop = Shop()
    for number in range(3 * FED_AT_ONCE + 1):
        shop.decide(0, "ann", 1, "home", deferred=False)
        shop.hear(number % 2, "click", number, 1, refused=True)
    shop.service.learner.step()
    assert shop.read()["money in 1970-01-01"] == 0.25 * (3 * FED_AT_ONCE + 1)


def test_feedback_answered_while_the_cache_is_filled_is_in_it_when_it_is_ready() -> None:
    """At whatever stage it comes, and whether it is drained before or after."""
    for rounds in range(5):
        shop = Shop()
        shop.decide(0, "ann", 0, "home", deferred=False)
        shop.service.learner.step()
        shop.service.cache.doubt()
        for _ in range(rounds):
            shop.service.learner.step()
        shop.hear(1, "dismiss", 0, 1)
        dismissed_us = shop.service.clock_us
        shop.service.fill()
        assert shop.read()["dismissed of ann"] == [dismissed_us], rounds


def test_a_cache_is_not_filled_before_what_was_counted_in_the_old_one_is_recorded() -> None:
    """A decider counted and was then held up: its stamp shows that a record is under way."""
    shop = Shop()
    writer = shop.writers[0]
    with writer.journal.stamp():
        shop.service.run_for(1.0)
        shop.service.cache.doubt()
        for _ in range(10):
            shop.service.run_for(1.0)
        assert shop.service.cache.stage() is Stage.EMPTY
    with writer.journal.stamp():
        # Stamped behind the old cache's end: it can't have counted there.
        shop.service.fill()


def test_a_learner_that_starts_again_fills_nothing_anew_but_tells_what_was_missed() -> None:
    """It died between its commit and the cache."""
    shop = Shop()
    shop.decide(0, "ann", 0, "home", deferred=False)
    shop.service.learner.step()
    shop.hear(0, "dismiss", 0, 1, refused=True)
    shop.hear(0, "click", ("ann", "home"), 2, refused=True)
    shop.service.learner.drainer.drain()
    shop.service.start()
    assert shop.service.cache.is_ready()
    shop.service.learner.step()
    assert shop.read() == shop.books.read(shop.service.clock_us)
    assert shop.read()["dismissed of ann"] != []


def test_a_cache_that_another_ledger_filled_is_thrown_away() -> None:
    shop = Shop()
    shop.service.cache.set_stage(Stage.READY, 10**6)
    shop.service.start()
    assert not shop.service.cache.is_ready()
    shop.service.fill()


def test_a_merge_that_the_cache_has_missed_is_brought_by_filling_it_anew() -> None:
    """From ledger records alone the digests can't be told apart."""
    shop = Shop()
    shop.decide(0, "ann", 0, "home", deferred=False)
    shop.merge(0, "ann", "bob")
    shop.service.cache.set_stage(Stage.READY, 1)
    shop.service.start()
    assert not shop.service.cache.is_ready()
    shop.service.fill()
    assert shop.read() == shop.books.read(shop.service.clock_us)


def test_a_merged_visitor_stands_for_the_known_one_in_a_filled_cache_too() -> None:
    """The holdout asks for it: whoever signs in keeps the arm of the account."""
    shop = Shop()
    shop.decide(0, "zoe", 0, "home", deferred=False)
    shop.decide(0, "ann", 0, "home", deferred=False)
    for source, target in (("zoe", "bob"), ("bob", "ann"), ("cy", "zoe")):
        shop.merge(0, source, target)
    for _ in range(2):
        with shop.service.cache.view() as view:
            assert {view.merged_into(it) for it in (b"zoe", b"bob", b"ann", b"cy")} == {b"ann"}
        shop.refill()


def test_a_repeat_gets_the_first_record_from_a_filled_cache() -> None:
    """Home is sticky, so its decisions keep their records; those of the other placement need none."""
    shop = Shop()
    shop.decide(0, "ann", 0, "home", deferred=False)
    shop.decide(0, "ann", 1, "other", deferred=False)
    with shop.service.cache.view() as view:
        before = [view.newest_decision(where, b"ann") for where in ("home", "other")]
    shop.refill()
    with shop.service.cache.view() as view:
        assert [view.newest_decision(where, b"ann") for where in ("home", "other")] == before
    assert [bool(it and it.record) for it in before] == [True, False]


class HeldUp(MemoryCache):
    """Refuses the lock while `is_held`."""

    is_held = False

    def transaction(
        self, timeout_s: float, *, while_filling: bool = False, keeps_tally: bool = False
    ) -> AbstractContextManager[HotState]:
        if self.is_held:
            raise CacheBusy("somebody holds it")
        return super().transaction(timeout_s, while_filling=while_filling, keeps_tally=keeps_tally)


def test_a_lock_that_is_held_up_neither_stops_learning_nor_loses_what_was_drained() -> None:
    cache = HeldUp(Stage.EMPTY)
    shop = Shop(cache)
    shop.decide(0, "ann", 0, "home", deferred=False)
    shop.hear(0, "dismiss", 0, 1, refused=True)
    cache.is_held = True
    for _ in range(3):
        shop.service.learner.step()
    assert shop.read()["dismissed of ann"] == []
    cache.is_held = False
    shop.service.learner.step()
    assert shop.read() == shop.books.read(shop.service.clock_us)


def test_counters_take_no_part_in_a_transaction_that_failed() -> None:
    """The ledger's counters go back with its records, and both come again."""
    for fail_at in range(3, 40, 3):
        shop = Shop()
        shop.decide(0, "ann", 0, "home", deferred=True)
        shop.decide(1, "bob", 1, "home", deferred=False)
        shop.hear(0, "shown", 0, 1)
        shop.service.connection.fail_at = fail_at
        shop.service.learner.step()
        shop.service.connection.fail_at = -1
        shop.service.fill()
        shop.refill()
        assert shop.read() == shop.books.read(shop.service.clock_us), fail_at


def test_no_decision_reads_a_cache_that_is_being_filled() -> None:
    shop = Shop()
    shop.service.cache.doubt()
    stages = []
    for _ in range(6):
        if shop.service.cache.is_ready():
            break
        stages.append(shop.service.cache.stage())
        with pytest.raises(CacheUnready):
            shop.read()
        with pytest.raises(CacheUnready), shop.service.cache.transaction(1.0):
            pass
        shop.service.learner.step()
    assert stages == [None, Stage.EMPTY, Stage.EMPTY, Stage.FILLING]
