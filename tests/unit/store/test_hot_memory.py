"""The cache in memory: the contract that every adapter keeps (LMDB's own is in tests/integration)."""

from __future__ import annotations

import threading

import pytest

from offer_optimizer.core.counting import CapEvent, Counting
from offer_optimizer.core.errors import CacheBusy, CacheUnready
from offer_optimizer.store.hot_fill import FillableCache, Stage
from offer_optimizer.store.memory_cache import MemoryCache

NOW_US = 1_750_000_000_000_000
ONE = Counting((CapEvent("x", NOW_US, 0),))


def test_stages_are_passed_in_order_and_say_who_may_do_what() -> None:
    cache: FillableCache = MemoryCache(Stage.EMPTY)
    allowed = []
    for stage in (Stage.EMPTY, Stage.FILLING, Stage.READY):
        cache.set_stage(stage, 7)
        found = []
        for attempt in (
            cache.view,
            lambda: cache.transaction(1.0),
            lambda: cache.transaction(1.0, while_filling=True),
        ):
            try:
                with attempt() as state:
                    found.append(state is not None)
            except CacheUnready:
                found.append(False)
        allowed.append(found)
    assert allowed == [[False, False, False], [False, False, True], [True, True, True]]
    assert (cache.is_ready(), cache.position()) == (True, 7)


def test_only_an_empty_cache_is_filled() -> None:
    cache = MemoryCache()
    with pytest.raises(CacheUnready):
        cache.fill([(b"k", b"v")])


def test_a_doubted_cache_is_of_no_use_until_it_is_replaced() -> None:
    cache = MemoryCache()
    with cache.transaction(1.0) as state:
        state.apply(b"i" * 16, b"v", ONE, NOW_US)
    cache.doubt()
    assert (cache.stage(), cache.is_ready()) == (None, False)
    with pytest.raises(CacheUnready), cache.view():
        pass
    cache.replace()
    assert cache.stage() is Stage.EMPTY
    cache.set_stage(Stage.READY, 0)
    with cache.view() as view:
        assert view.event_times("x", b"v", NOW_US) == ()


def test_a_transaction_that_fails_leaves_nothing_behind() -> None:
    cache = MemoryCache()
    with cache.transaction(1.0) as state:
        state.apply(b"i" * 16, b"v", ONE, NOW_US)

    def fail() -> None:
        with cache.transaction(1.0) as state:
            state.apply(b"j" * 16, b"v", ONE, NOW_US)
            state.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with cache.view() as view:
        assert view.event_times("x", b"v", NOW_US) == (NOW_US,)


def test_a_transaction_waits_for_another_as_long_as_it_was_told() -> None:
    cache = MemoryCache()
    refused = threading.Event()

    def wait() -> None:
        try:
            with cache.transaction(0.01):
                pass
        except CacheBusy:
            refused.set()

    with cache.transaction(1.0):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert refused.is_set()
    with cache.transaction(0.01):
        pass


def test_a_transaction_continues_a_view_unless_anything_was_changed() -> None:
    """What the view has read is taken over, and changes like any other."""
    cache = MemoryCache()
    with cache.view() as first:
        assert first.event_times("x", b"v", NOW_US) == ()
    with cache.transaction(1.0) as state:
        assert state.continues(first)
        state.apply(b"i" * 16, b"v", ONE, NOW_US)
    with cache.view() as second:
        assert second.event_times("x", b"v", NOW_US) == (NOW_US,)
    with cache.transaction(1.0) as state:
        assert not state.continues(first)
        assert state.continues(second)
    cache.replace()
    cache.set_stage(Stage.READY, 0)
    with cache.transaction(1.0) as state:
        assert not state.continues(second)
        assert state.event_times("x", b"v", NOW_US) == ()
