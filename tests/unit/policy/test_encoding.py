"""Features as rows of numbers."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy.encoding import CLIP, STEP, Encoder


def number(value: float) -> Features:
    return Features(numbers=(("n", value),))


def category(value: str) -> Features:
    return Features(categories=(("c", value),))


def test_asking_adds_no_column_and_what_was_never_learned_is_zero() -> None:
    encoder = Encoder(16, 4)
    unknown = Features((("c", "x"),), (("n", 3.0),), (("t", ("y",)),))
    row = encoder.encode(unknown)
    assert row.tolist() == [1.0] + [0.0] * (STEP - 1)
    assert encoder.width == 1


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_a_number_is_a_z_score_of_what_was_learned_before(values: list[float]) -> None:
    encoder = Encoder(16, 4)
    for value in values:
        encoder.learn(number(value))
    deviation = statistics.pstdev(values)
    mean = statistics.fmean(values)
    found = float(encoder.encode(number(mean + deviation))[1])
    if deviation > 1e-6:
        assert found == pytest.approx(1.0, abs=1e-6)
    assert float(encoder.encode(number(1e9))[1]) in (0.0, CLIP)


def test_one_wild_value_does_not_blind_the_scale() -> None:
    encoder = Encoder(16, 4)
    for step in range(100):
        encoder.learn(number(float(step % 2)))
    before = float(encoder.encode(number(1.0))[1])
    encoder.learn(number(1e9))
    after = float(encoder.encode(number(1.0))[1])
    assert after == pytest.approx(before, abs=0.5)


def test_a_missing_number_is_the_mean() -> None:
    encoder = Encoder(16, 4)
    for value in (1.0, 2.0, 6.0):
        encoder.learn(number(value))
    np.testing.assert_allclose(encoder.encode(EMPTY), encoder.encode(number(3.0)), atol=1e-12)


def test_values_and_tags_get_columns_of_their_own_up_to_the_bound_and_share_behind_it() -> None:
    encoder = Encoder(10, 4)
    for step in range(200):
        encoder.learn(category(f"value-{step}"))
        encoder.learn(Features(tags=(("t", (f"tag-{step}",)),)))
        encoder.learn(Features(numbers=((f"number-{step}", 1.0),)))
    assert encoder.width == 14
    assert encoder.overflowed
    assert encoder.capacity == 16
    late = encoder.encode(category("value-199"))
    assert late[1:10].sum() == 0.0
    assert late[10:14].sum() == 1.0
    assert encoder.encode(category("value-0")).sum() == 2.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1e9, 1e9)), max_size=40))
def test_a_described_encoder_restored_encodes_alike_and_goes_on_alike(
    lessons: list[tuple[str, float]],
) -> None:
    encoder = Encoder(4, 2)
    for value, amount in lessons:
        encoder.learn(Features((("c", value),), (("n", amount),)))
    other = Encoder(4, 2)
    other.restore(encoder.describe())
    for each in (encoder, other):
        each.learn(number(5.0))
    asked = Features((("c", "a"),), (("n", 7.0),))
    assert encoder.encode(asked).tolist() == other.encode(asked).tolist()
    assert encoder.describe() == other.describe()


def test_rows_stay_within_the_clip_for_every_legal_number() -> None:
    encoder = Encoder(16, 4)
    for value in (0.0, 1e9, -1e9, 5e-324, 1.0):
        encoder.learn(number(value))
        for asked in (0.0, 1e9, -1e9):
            row = encoder.encode(number(asked))
            assert all(map(math.isfinite, row))
            assert np.abs(row).max() <= CLIP
