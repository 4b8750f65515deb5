"""Bytes of the hot cache: what is written is read, and what is damaged is not taken for something else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.store import hot_records as records
from offer_optimizer.store.hot_cache import Recent

names = st.text(max_size=20)
eights = st.binary(min_size=8, max_size=8)
ids = st.binary(min_size=16, max_size=16)
times = st.integers(0, 2**62)
rows = st.lists(st.tuples(times, times, ids), max_size=4).map(
    lambda it: b"".join(records.EVENT.pack(*r) for r in it)
)


@given(st.dictionaries(eights, rows, max_size=4), st.binary(max_size=64), st.binary(max_size=64))
def test_visitors_come_back(events: dict[bytes, bytes], decisions: bytes, items: bytes) -> None:
    state = records.VisitorState(events, decisions, items)
    data = records.encode_visitor(state)
    assert records.decode_visitor(data) == state
    assert records.redirected(data) is None


@given(st.binary(max_size=32))
def test_a_redirect_is_told_from_a_state(digest: bytes) -> None:
    assert records.redirected(records.encode_redirect(digest)) == digest


@given(
    ids,
    names,
    names,
    st.binary(max_size=32),
    times,
    st.booleans(),
    st.binary(max_size=9),
    st.binary(max_size=16),
)
def test_decisions_come_back(
    decision_id: bytes,
    placement: str,
    offer: str,
    digest: bytes,
    time_us: int,
    deferred: bool,
    record: bytes,
    request: bytes,
) -> None:
    recent = Recent(decision_id, placement, offer, digest, time_us, deferred, 7, record)
    data = records.encode_recent(recent, request)
    assert records.decode_recent(decision_id, data) == (recent, request)
    assert records.decide_time_us(data) == time_us


periods = st.sampled_from((b"", b"2026-11-21"))
charges = st.builds(records.ChargeState, eights, st.integers(-(2**62), 2**62), times, periods)


@given(st.lists(charges, max_size=4))
def test_charges_come_back(made: list[records.ChargeState]) -> None:
    assert records.decode_charges(records.encode_charges(made)) == made


@given(charges, ids)
def test_reservations_come_back_and_sort_by_their_end(
    charge: records.ChargeState, decision_id: bytes
) -> None:
    key, value = records.expiry_key(charge, decision_id), records.encode_reservation(charge)
    assert records.decode_reservation(key, value) == (charge.budget, charge.amount, charge.period)
    assert key < records.expired_before(charge.expires_us)
    if charge.expires_us:
        assert key >= records.expired_before(charge.expires_us - 1)


def test_a_state_that_was_cut_short_is_refused() -> None:
    data = records.encode_visitor(records.VisitorState({b"12345678": bytes(64)}, bytes(32), bytes(16)))
    for length in range(len(data)):
        with pytest.raises(struct.error):
            records.decode_visitor(data[:length])


@pytest.mark.parametrize(
    ("amount", "micro"), [(0.1, 100_000), (1e-7, 0), (1e300, 1 << 62), (-1e300, -(1 << 62))]
)
def test_amounts_are_whole_millionths_within_bounds(amount: float, micro: int) -> None:
    assert records.to_micro(amount) == micro
