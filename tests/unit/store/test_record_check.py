"""A record that changed since it was written is noticed by whoever reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.store.codec import RecordKind, Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.lessons import read_drawn
from offer_optimizer.store.outcomes import logged_decisions, merged_keys
from offer_optimizer.store.record_check import checksum_of, whole
from offer_optimizer.store.sqlite import open_writer
from tests.unit.learn.worlds import counted_entropy

KEYS = st.none() | st.integers(-(2**63), 2**63 - 1)
KINDS = st.sampled_from([int(kind) for kind in RecordKind])


@given(KINDS, KEYS, st.binary(max_size=60), st.data())
def test_any_changed_bit_is_noticed(kind: int, key: int | None, body: bytes, data: st.DataObject) -> None:
    checksum = checksum_of(kind, key, body)
    assert whole(1, kind, key, body, checksum) == body
    assert -(2**31) <= checksum < 2**31
    bit = data.draw(st.integers(0, 5 + 64 + 8 * len(body) - 1))
    if bit < 5:
        kind ^= 1 << bit
    elif bit < 5 + 64:
        key = 0 if key is None else int.from_bytes(
            (int.from_bytes(key.to_bytes(8, "big", signed=True), "big") ^ 1 << bit - 5).to_bytes(8, "big"),
            "big",
            signed=True,
        )  # fmt: skip
    else:
        changed = bytearray(body)
        changed[(bit - 69) // 8] ^= 1 << (bit - 69) % 8
        body = bytes(changed)
    with pytest.raises(DamagedFile, match=r"ledger\.sqlite: the record at position 1 is not what"):
        whole(1, kind, key, body, checksum)


def test_a_changed_key_of_a_visitor_is_noticed_whoever_asks_for_it() -> None:
    ledger = Ledger.create(open_writer(None), counted_entropy())
    keys = [ledger.visitor_key(name) for name in (b"ann", b"bob", b"cat")]
    ledger.merge_visitors(b"ann", b"bob")
    ledger.merge_visitors(b"bob", b"cat")
    ledger.forget_cached_keys()
    assert [ledger.known_visitor_key(name) for name in (b"ann", b"bob", b"cat")] == [keys[2]] * 3
    assert ledger.changed_visitor_count() == 0
    ledger.connection.execute("UPDATE visitor SET visitor_key = visitor_key + 1 WHERE digest <> ?", (b"cat",))
    assert ledger.changed_visitor_count() == 2
    for ask in (ledger.visitor_key, ledger.known_visitor_key):
        with pytest.raises(DamagedFile, match="the key of a visitor is not what was written"):
            ask(b"ann")
        assert ask(b"cat") == keys[2]


@pytest.mark.parametrize("body", [7, "text", None])
def test_a_body_of_another_type_is_damage(body: object) -> None:
    with pytest.raises(DamagedFile):
        whole(1, 1, None, body, 5)  # type: ignore[arg-type]


def test_every_way_to_read_a_record_looks_at_its_checksum() -> None:
    ledger = Ledger.create(open_writer(None), counted_entropy())
    FoldTables.create(ledger.connection)
    position = ledger.append_decision(b"\1" * 16, b"", 5).position
    tick = ledger.append_body(Tick(7)).position
    merge = ledger.append(RecordKind.MERGE, b"").position
    assert len(list(ledger.records())) == 3
    ledger.connection.execute("UPDATE record SET checksum = checksum + 1")
    for read in (
        lambda: ledger.record_at(tick),
        lambda: list(ledger.records()),
        lambda: list(ledger.rare_records(merge)) + list(ledger.records(tick)),
        lambda: list(read_drawn(ledger, [position])),
        lambda: merged_keys(ledger),
        lambda: list(logged_decisions(ledger, 0, merge, lambda _done, _all: None)),
    ):
        with pytest.raises(DamagedFile, match="not what was written"):
            read()
    assert len(list(ledger.rows())) == 3
