"""Open decisions are indexed by visitor in buckets; nobody who asks for a visitor notices."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.store import open_buckets
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.open_tables import OpenDecision

FULL = 3


@pytest.fixture(autouse=True, scope="module")
def _small_buckets() -> Iterator[None]:
    """Make a bucket full soon."""
    patch = pytest.MonkeyPatch()
    patch.setattr(open_buckets, "BUCKET", FULL)
    yield
    patch.undo()


def opened(position: int, visitor: int | None, placement: str = "home") -> OpenDecision:
    """Return a decision that closes in the order of its position."""
    end_us = 1000 + position
    own_id = position.to_bytes(16)
    return OpenDecision(
        position, own_id, visitor, placement, 1, 1, b"e", True, True, position, end_us, end_us, None
    )  # fmt: skip


def new_tables() -> FoldTables:
    """Return empty tables."""
    return FoldTables.create(sqlite3.connect(":memory:", isolation_level=None))


def bucket_rows(tables: FoldTables) -> list[tuple[str, int, int]]:
    """Return what is kept of buckets."""
    return tables.connection.execute("SELECT * FROM open_bucket ORDER BY 1, 2").fetchall()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.sampled_from([1, 2, 3, None]), st.sampled_from(["home", "cart"])),
        st.tuples(st.just("merge"), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3])),
        st.tuples(st.just("leave"), st.integers(0, 30), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
def test_the_newest_decision_of_a_visitor_is_found_whatever_bucket_it_is_in(
    steps: list[tuple[str, Any, Any]],
) -> None:
    """Against a plain list, through merges, closes and restarts."""
    tables = new_tables()
    known: dict[int, tuple[int | None, str]] = {}
    for position, (step, one, two) in enumerate(steps, 1):
        if step == "open":
            tables.open(opened(position, one, two))
            known[position] = (one, two)
        elif step == "merge" and one != two:
            tables.merge_visitor(one, two)
            known = {at: (two if who == one else who, where) for at, (who, where) in known.items()}
        elif step == "leave":
            tables.leave([one], ())
            known.pop(one, None)
        elif step == "restart":
            tables.save_buckets()
            tables.forget(position)
            tables = FoldTables(tables.connection)
    for visitor in (1, 2, 3):
        for placement in ("home", "cart"):
            expected = [at for at, held in known.items() if held == (visitor, placement)]
            found = tables.newest_active(visitor, placement, 900, 900)
            assert (found.position if found else None) == (max(expected) if expected else None)


def test_a_full_bucket_is_followed_by_the_next_also_behind_a_restart() -> None:
    """Each placement fills its own."""
    tables = new_tables()
    for position in range(1, 6):
        tables.open(opened(position, 7))
    tables.open(opened(6, 7, "cart"))
    tables.save_buckets()
    assert bucket_rows(tables) == [("cart", 0, 1), ("home", 0, 3), ("home", 1, 2)]
    again = FoldTables(tables.connection)
    again.open(opened(7, 7))
    again.open(opened(8, 7))
    again.save_buckets()
    assert bucket_rows(again)[1:] == [("home", 0, 3), ("home", 1, 3), ("home", 2, 1)]


def test_a_bucket_whose_decisions_have_all_closed_goes_and_the_newest_stays() -> None:
    """So a lookup steps through no more buckets than are open."""
    tables = new_tables()
    for position in range(1, 10):
        tables.open(opened(position, 7))
    tables.save_buckets()
    tables.leave([1, 2, 3, 5, 7, 8, 9], ())
    tables.forget(0)
    assert [bucket for _, bucket, _ in bucket_rows(tables)] == [1, 2]
    tables.open(opened(10, 7))
    assert [bucket for _, bucket, _ in bucket_rows(tables)] == [1, 2, 3]


def test_a_lookup_by_visitor_uses_the_index_of_the_buckets() -> None:
    """A scan of all that is open would be a disaster with millions."""
    tables = new_tables()
    tables.open(opened(1, 7))
    seen: list[str] = []
    tables.connection.set_trace_callback(seen.append)
    tables.newest_active(7, "home", 900, 900)
    tables.merge_visitor(7, 8)
    tables.connection.set_trace_callback(None)
    for query in [text for text in seen if "open_bucket" in text]:
        plan = " ".join(str(row[3]) for row in tables.connection.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "open_decision_bucket (placement_id=? AND bucket=? AND visitor_key=?)" in plan
