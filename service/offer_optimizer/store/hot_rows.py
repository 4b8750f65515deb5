"""What is known of a visitor, row by row: how events and decisions are set, released, taken out and pruned.

Pure: packed rows in, packed rows out. Knows no keys and no store.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from offer_optimizer.core import limits
from offer_optimizer.store.hot_cache import KEPT_US, NEWEST_KEPT
from offer_optimizer.store.hot_records import DECIDED, EVENT, ITEM, VisitorState

EVENTS_MOST: Final = limits.CAP_LIMIT
"""Events of a cap and visitor that are kept, and that can be counted."""


def set_events(rows: bytes, added: bytes) -> bytes:
    """Return the events of a cap with others set among them: one for each decision, the newest 100 that stay.

    Two of one decision are settled as `core.counting.settle_event` says: the order of setting is all one.
    """
    if len(added) == EVENT.size and added[-16:] not in rows and len(rows) < 2 * EVENTS_MOST * EVENT.size:
        return rows + added
    found: dict[bytes, tuple[bool, int, int]] = {}
    for time_us, expires_us, decision_id in EVENT.iter_unpack(rows + added):
        rank = (bool(expires_us), -expires_us, time_us)
        found[decision_id] = min(found.get(decision_id, rank), rank)
    staying: list[tuple[int, int, bytes]] = []
    reserved: list[tuple[int, int, bytes]] = []
    for decision_id, (is_reserved, negated_us, time_us) in found.items():
        (reserved if is_reserved else staying).append((time_us, -negated_us, decision_id))
    # Counted apart: a reservation that will be released must not push out an event that stays.
    kept = (*sorted(staying)[-EVENTS_MOST:], *sorted(reserved)[-EVENTS_MOST:])
    return b"".join(EVENT.pack(*row) for row in kept)


def release(rows: bytes, decision_id: bytes) -> bytes:
    """Return the events of a cap without what a decision reserved."""
    return b"".join(
        EVENT.pack(*row) for row in EVENT.iter_unpack(rows) if row[2] != decision_id or not row[1]
    )


def without(row: Struct, rows: bytes, decision_id: bytes) -> bytes:
    """Return rows that end with a decision's id without those of one decision."""
    return b"".join(row.pack(*it) for it in row.iter_unpack(rows) if it[-1] != decision_id)


def add_decisions(rows: bytes, added: bytes) -> bytes:
    """Return decisions with others among them, once each; of each placement the newest 16 at least."""
    if len(added) == DECIDED.size and added[-16:] not in rows and len(rows) < 2 * NEWEST_KEPT * DECIDED.size:
        return rows + added
    kept = []
    counts: dict[bytes, int] = {}
    distinct = {row[2]: row for row in DECIDED.iter_unpack(rows + added)}
    for row in sorted(distinct.values(), key=lambda it: it[1:], reverse=True):
        counts[row[0]] = counts.get(row[0], 0) + 1
        if counts[row[0]] <= NEWEST_KEPT:
            kept.append(row)
    return b"".join(DECIDED.pack(*row) for row in kept)


def prune(state: VisitorState, now_us: int) -> None:
    """Drop what has expired."""
    since_us = now_us - KEPT_US
    for cap, rows in list(state.events.items()):
        kept = [row for row in EVENT.iter_unpack(rows) if not row[1] or row[1] > now_us]
        if not kept:
            del state.events[cap]
        elif len(kept) * EVENT.size < len(rows):
            state.events[cap] = b"".join(EVENT.pack(*row) for row in kept)
    decided = [row for row in DECIDED.iter_unpack(state.decisions) if row[1] > since_us]
    state.decisions = b"".join(DECIDED.pack(*row) for row in decided)
    items = [row for row in ITEM.iter_unpack(state.items) if row[1] > since_us]
    state.items = b"".join(ITEM.pack(*row) for row in items)
