"""The served distribution."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.decide.mix import certain, mix

shares = st.floats(0.0, 1.0)
floors = st.one_of(st.just(0.0), st.floats(1e-4, 1.0))  # what a catalog may say
raw_pmfs = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=200).filter(lambda values: sum(values) > 1e-3)


@given(raw_pmfs, shares, floors, st.integers(0, 199))
def test_every_propensity_is_at_least_floor_over_n_and_they_sum_to_one(
    raw: list[float], ramp: float, floor: float, baseline: int
) -> None:
    """Also after rounding to float32 and renormalising, which is what readers do."""
    count = len(raw)
    model = np.array(raw) / sum(raw)
    served = mix(model, baseline % count, count, ramp, floor)
    assert served.dtype == np.float32
    total = float(np.sum(served, dtype=np.float64))
    assert abs(total - 1.0) < 1e-5
    propensities = served.astype(np.float64) / total
    assert propensities.min() >= floor / count * (1.0 - 1e-12)


@given(raw_pmfs, shares, floors, st.integers(0, 199))
def test_the_mix_is_the_stated_formula(raw: list[float], ramp: float, floor: float, baseline: int) -> None:
    """(1 - floor) * ((1 - ramp) * baseline + ramp * model) + floor / n, to float32 accuracy."""
    count = len(raw)
    model = np.array(raw) / sum(raw)
    position = baseline % count
    expected = [
        (1.0 - floor) * ((1.0 - ramp) * (index == position) + ramp * float(p)) + floor / count
        for index, p in enumerate(model)
    ]
    np.testing.assert_allclose(mix(model, position, count, ramp, floor), expected, rtol=0.0, atol=2e-6)


def test_without_ramp_and_floor_the_baseline_is_certain() -> None:
    """The model may be missing then."""
    assert mix(None, 1, 3, 0.0, 0.0).tolist() == certain(1, 3).tolist() == [0.0, 1.0, 0.0]
