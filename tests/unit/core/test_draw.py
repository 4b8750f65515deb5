"""The draw: repeatable by anybody, and in the proportions of the stored pmf."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.draw import pick, uniform

SALT = bytes(range(32))
pmfs = st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=50).filter(
    lambda values: sum(values) > 1e-3
)


@given(pmfs, st.floats(0.0, 1.0, exclude_max=True))
def test_an_offer_without_probability_is_never_picked(values: list[float], u: float) -> None:
    """Whatever the draw, and the propensity is the stored value renormalised."""
    pmf = np.array(values, dtype=np.float32)
    index, propensity = pick(pmf, u)
    assert pmf[index] > 0.0
    assert propensity == pytest.approx(float(pmf[index]) / float(pmf.sum(dtype=np.float64)), rel=1e-12)


@given(pmfs, st.floats(0.0, 1.0, exclude_max=True))
def test_a_plain_walk_over_the_stored_values_repeats_the_choice(values: list[float], u: float) -> None:
    """A reader without numpy gets the same index."""
    pmf = np.array(values, dtype=np.float32)
    stored = [struct.unpack("<f", struct.pack("<f", value))[0] for value in values]
    total = 0.0
    for value in stored:
        total += value
    walked, cumulative = None, 0.0
    for index, value in enumerate(stored):
        cumulative += value
        if u * total < cumulative:
            walked = index
            break
    index, _ = pick(pmf, u)
    assert index == walked


def test_the_uniform_number_is_the_documented_hash() -> None:
    """First 53 bits of keyed BLAKE2b over length-prefixed placement, decision id and slot."""
    decision_id = bytes(range(16))
    message = b"\x00\x04home" + decision_id + b"\x00\x01"
    digest = hashlib.blake2b(message, digest_size=8, key=SALT).digest()
    assert uniform(SALT, "home", decision_id, 1) == (int.from_bytes(digest, "big") >> 11) / 2**53


def test_draws_follow_the_pmf() -> None:
    """Chi-square over 200,000 ids; 27.63 is its 0.999999 quantile (2 degrees): a false alarm in a million."""
    pmf = np.array([0.7, 0.25, 0.05], dtype=np.float32)
    counts = [0, 0, 0]
    n = 200_000
    for number in range(n):
        index, _ = pick(pmf, uniform(SALT, "home", number.to_bytes(16, "big"), 0))
        counts[index] += 1
    statistic = sum(
        (count - n * float(p)) ** 2 / (n * float(p)) for count, p in zip(counts, pmf, strict=True)
    )
    assert statistic < 27.63
