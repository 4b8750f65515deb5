"""Checked dataclasses behave as frozen ones do, but for the guard at run time."""

from __future__ import annotations

from dataclasses import replace

from offer_optimizer.core.decision import ModelVersion
from offer_optimizer.core.features import Features


def test_equal_values_are_equal_and_hash_equal() -> None:
    one, other = (Features(categories=(("device", "phone"),)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Features()


def test_a_value_can_be_changed_into_another_and_has_no_other_fields() -> None:
    found = replace(Features(), numbers=(("cart", 1.0),))
    assert found.numbers == (("cart", 1.0),)
    assert not hasattr(found, "__dict__")
    assert not hasattr(ModelVersion(b"", 0), "__dict__")
