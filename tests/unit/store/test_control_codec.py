"""What steers learning survives its way through control segments and the ledger."""

from __future__ import annotations

import dataclasses

import pytest

from offer_optimizer.core.control import (
    Audit,
    ClockAccepted,
    Control,
    Erasure,
    Learning,
    Promotion,
    Quarantine,
    Retention,
    Rollback,
    ShadowPolicy,
    Steering,
    Thinning,
)
from offer_optimizer.store.codec import STEERING_KINDS, decode_body, decode_control, encode_control
from offer_optimizer.store.control_codec import RECORDS, encode_steering

AUDIT = Audit("ops@shop", "bad deploy", 1_700_000_000_000_000)
CONTROLS: tuple[Control, ...] = (
    Learning("home", frozen=True, audit=AUDIT),
    Rollback("home", bytes(range(16)), 77, 1_700_000_000_000_001, 55, 12, AUDIT, 99),
    Quarantine("", 5, 9, "coupon", "crm", AUDIT),
    ClockAccepted(AUDIT),
    Promotion("home", bytes(16), '{"policy":"vw"}', 8, 9, uses_final=True, audit=AUDIT),
)
STEERINGS: tuple[Steering, ...] = (
    *CONTROLS,
    Thinning("home", 0.25),
    Retention(99, bytes(32)),
    Erasure(98, bytes(31), 3, AUDIT),
    ShadowPolicy("home", "beta", bytes(15), '{"policy":"auto"}', bytes(14), 0.5, 8),
)


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: type(control).__name__)
def test_control_entries_come_back(control: Control) -> None:
    assert decode_control(encode_control(control)) == control


@pytest.mark.parametrize("body", STEERINGS, ids=lambda body: type(body).__name__)
def test_ledger_records_come_back_by_their_kind(body: Steering) -> None:
    (kind,) = (kind for kind, of in STEERING_KINDS.items() if isinstance(body, of))
    assert decode_body(kind, encode_steering(body)) == body


@pytest.mark.parametrize("kind", STEERING_KINDS.values(), ids=lambda kind: kind.__name__)
def test_a_body_and_its_record_have_the_same_fields(kind: type[Steering]) -> None:
    """So that none is left out on the way, and every sort has an example above."""
    names = [field.name for field in RECORDS[kind].DESCRIPTOR.fields]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(kind))
    assert kind in map(type, STEERINGS)
