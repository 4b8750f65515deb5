"""Sticky repeats: which decision sticks, and for how long."""

from __future__ import annotations

from dataclasses import replace

from offer_optimizer.decide.repeats import find_sticky
from offer_optimizer.store.hot_cache import Recent
from offer_optimizer.store.memory_cache import MemoryCache

NOW_US = 1_750_000_000_000_000
FIRST = Recent(
    b"i" * 16, "home", "offer", b"ann", NOW_US, deferred=False, catalog_revision=1, record=b"record"
)


def found(first: Recent, after_us: int) -> bool:
    cache = MemoryCache()
    with cache.transaction(1.0) as state:
        state.remember(first, b"", b"")
    with cache.view() as view:
        return find_sticky(view, "home", b"ann", 10, NOW_US + after_us) is not None


def test_a_decision_sticks_until_its_time_is_over() -> None:
    assert [found(FIRST, after_us) for after_us in (0, 9, 10)] == [True, True, False]


def test_a_decision_made_before_its_placement_was_sticky_does_not_stick() -> None:
    """Its record was not kept, so there is no answer to give again."""
    assert not found(replace(FIRST, record=b""), 0)


def test_a_decision_that_chose_nothing_does_not_stick() -> None:
    assert not found(replace(FIRST, offer_id=""), 0)
