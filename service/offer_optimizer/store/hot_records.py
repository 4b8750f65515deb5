"""What lies in the hot cache and in the ledger's counters, as bytes: keys, and the values under them.

Numbers are little-endian in values and big-endian in keys, where they have to sort. Caps, budgets, placements
and feedback ids are known by eight bytes of their hash. Amounts are whole millionths of a budget's unit, so
that sums are exact whatever the order. Knows no store, and not what the numbers are good for.

    v | visitor                          V | lengths | events by cap | decisions | items   or   M | visitor
                                         or, in the cache alone, a tally in front of V (hot_visitor)
    d | decision_id                      a remembered decision
    c | decision_id                      the charges of a decision
    q | request digest                   decision_id | body digest
    b | budget | period                  charges that stay | reservations that were not swept yet
    x | expiry in us | budget | decision_id        amount | period      (one for each reservation of a budget)
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from offer_optimizer.store.hot_cache import Recent

FORMAT_VERSION: Final = 3
"""Of all values here and in the tally table; a cache with another one is thrown away."""
MICRO: Final = 1_000_000
_AMOUNT_MOST: Final = 1 << 62

VISITOR: Final = b"v"
DECISION: Final = b"d"
CHARGES: Final = b"c"
REQUEST: Final = b"q"
BUDGET: Final = b"b"
EXPIRY: Final = b"x"

EVENT: Final = struct.Struct("<qq16s")
"""Time in us, expiry in us (0 for an event that stays), decision_id."""
DECIDED: Final = struct.Struct("<8sq16s")
"""Placement, decide time in us, decision_id."""
ITEM: Final = struct.Struct("<8sq")
"""Item of feedback, time in us."""

_VISITOR_HEAD: Final = struct.Struct("<cIII")
_CAP_HEAD: Final = struct.Struct("<8sI")
_RECENT_HEAD: Final = struct.Struct("<qIBBBHH")
_CHARGE: Final = struct.Struct("<8sqq10s")
_BUDGET: Final = struct.Struct("<qq")
_RESERVATION: Final = struct.Struct("<q10s")
_EXPIRY_KEY: Final = struct.Struct(">cQ8s16s")


@lru_cache(maxsize=4096)
def name_of(text: str) -> bytes:
    """Return the eight bytes that a cap, a budget or a placement is known by."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def item_name(placement_id: str, feedback_id: str) -> bytes:
    """Return the eight bytes that an item of feedback addressed by visitor is known by."""
    return hashlib.blake2b(name_of(placement_id) + feedback_id.encode(), digest_size=8).digest()


def to_micro(amount: float) -> int:
    """Return an amount in millionths, kept within 62 bits."""
    return max(-_AMOUNT_MOST, min(round(amount * MICRO), _AMOUNT_MOST))


@dataclass(slots=True)
class VisitorState:
    """What is known of one visitor, in packed rows: a decision touches few of them and parses even fewer.

    `events` by cap are rows of EVENT, `decisions` rows of DECIDED, `items` rows of ITEM; in any order.
    """

    events: dict[bytes, bytes] = field(default_factory=dict)
    decisions: bytes = b""
    items: bytes = b""

    def is_empty(self) -> bool:
        """Return whether there is nothing to keep."""
        return not (self.events or self.decisions or self.items)


def encode_visitor(state: VisitorState) -> bytes:
    """Serialise what is known of a visitor."""
    parts = [_VISITOR_HEAD.pack(b"V", len(state.events), len(state.decisions), len(state.items))]
    for cap, rows in state.events.items():
        parts += (_CAP_HEAD.pack(cap, len(rows)), rows)
    return b"".join((*parts, state.decisions, state.items))


def decode_visitor(data: bytes) -> VisitorState:
    """Parse what encode_visitor wrote. Raises struct.error."""
    _, cap_count, decisions, items = _VISITOR_HEAD.unpack_from(data)
    events = {}
    at = _VISITOR_HEAD.size
    for _ in range(cap_count):
        cap, length = _CAP_HEAD.unpack_from(data, at)
        at += _CAP_HEAD.size
        events[cap] = data[at : at + length]
        at += length
    middle = at + decisions
    if middle + items != len(data):
        raise struct.error(f"a visitor's state has {len(data)} bytes, must have {middle + items}")
    return VisitorState(events, data[at:middle], data[middle:])


def append_decision(data: bytes, row: bytes, most: int) -> bytes | None:
    """Return a serialised visitor with another row of DECIDED, without parsing the others.

    None where `most` rows are there, or one of the same decision. Raises struct.error.
    """
    kind, cap_count, decisions, items = _VISITOR_HEAD.unpack_from(data)
    end = len(data) - items
    start = end - decisions
    if decisions >= most * DECIDED.size or data.find(row[-16:], start, end) >= 0:
        return None
    head = _VISITOR_HEAD.pack(kind, cap_count, decisions + DECIDED.size, items)
    return b"".join((head, data[_VISITOR_HEAD.size : end], row, data[end:]))


def encode_redirect(into: bytes) -> bytes:
    """Return what stands in the place of a visitor who was merged into another."""
    return b"M" + into


def redirected(data: bytes) -> bytes | None:
    """Return the visitor that this one was merged into, if it was."""
    return data[1:] if data[:1] == b"M" else None


def encode_recent(recent: Recent, request_digest: bytes) -> bytes:
    """Serialise a remembered decision; its id is in the key."""
    placement, offer = recent.placement_id.encode(), recent.offer_id.encode()
    head = _RECENT_HEAD.pack(
        recent.time_us,
        recent.catalog_revision,
        recent.deferred,
        len(recent.visitor_digest),
        len(request_digest),
        len(placement),
        len(offer),
    )
    return b"".join((head, recent.visitor_digest, request_digest, placement, offer, recent.record))


def decode_recent(decision_id: bytes, data: bytes) -> tuple[Recent, bytes]:
    """Return a remembered decision and its request digest. Raises struct.error."""
    time_us, revision, deferred, digest, request, placement, offer = _RECENT_HEAD.unpack_from(data)
    a = _RECENT_HEAD.size
    b = a + digest
    c = b + request
    d = c + placement
    e = d + offer
    recent = Recent(
        decision_id, data[c:d].decode(), data[d:e].decode(), data[a:b], time_us, bool(deferred), revision,
        data[e:],
    )  # fmt: skip
    return recent, data[b:c]


def decide_time_us(data: bytes) -> int:
    """Return the time of a remembered decision without parsing the rest."""
    (time_us,) = struct.unpack_from("<q", data)
    return int(time_us)


def decided_before(time_us: int) -> bytes:
    """Return the key behind every remembered decision that was made at or before a time, by its id."""
    return DECISION + (max(time_us, 0) // 1000 + 1).to_bytes(6, "big")


@dataclass(frozen=True, slots=True)
class ChargeState:
    """One charge of a decision: in millionths; `expires_us` is 0 for one that stays."""

    budget: bytes
    amount: int
    expires_us: int
    period: bytes


def encode_charges(charges: list[ChargeState]) -> bytes:
    """Serialise the charges of a decision; a period has ten bytes at most, as a date has."""
    return b"".join(_CHARGE.pack(it.budget, it.amount, it.expires_us, it.period) for it in charges)


def decode_charges(data: bytes | None) -> list[ChargeState]:
    """Parse what encode_charges wrote; nothing for nothing. Raises struct.error."""
    return [
        ChargeState(budget, amount, expires_us, period.rstrip(b"\0"))
        for budget, amount, expires_us, period in _CHARGE.iter_unpack(data or b"")
    ]


def encode_budget(charged: int, reserved: int) -> bytes:
    """Serialise what a budget has spent in a period."""
    return _BUDGET.pack(charged, reserved)


def decode_budget(data: bytes | None) -> tuple[int, int]:
    """Return (charged, reserved) in millionths. Raises struct.error."""
    charged, reserved = _BUDGET.unpack(data) if data else (0, 0)
    return charged, reserved


def budget_key(budget: bytes, period: bytes) -> bytes:
    """Return where the sums of a budget lie."""
    return BUDGET + budget + period


def expiry_key(charge: ChargeState, decision_id: bytes) -> bytes:
    """Return where a reservation lies, ordered by its end."""
    return _EXPIRY_KEY.pack(EXPIRY, charge.expires_us, charge.budget, decision_id)


def expired_before(now_us: int) -> bytes:
    """Return the key behind every reservation that ends at or before a time."""
    return EXPIRY + (now_us + 1).to_bytes(8, "big")


def encode_reservation(charge: ChargeState) -> bytes:
    """Serialise what a reservation holds."""
    return _RESERVATION.pack(charge.amount, charge.period)


def decode_reservation(key: bytes, value: bytes) -> tuple[bytes, int, bytes]:
    """Return (budget, amount, period) of a reservation. Raises struct.error."""
    _, _, budget, _ = _EXPIRY_KEY.unpack(key)
    amount, period = _RESERVATION.unpack(value)
    return budget, amount, period.rstrip(b"\0")
