"""Sums by visitor merge in any order, stay exact while visitors are few, and count visitors within 2 %."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.evaluate.clusters import (
    BUCKET_COUNT,
    EXACT_VISITORS,
    ClusterSums,
    Grouping,
    fold_of,
    hash_visitors,
)

ROWS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-8, 8)), max_size=40)


def sums_of(rows: list[tuple[int, int]]) -> ClusterSums:
    visitor = np.array([who for who, _ in rows], dtype=np.int64)
    value = np.array([value for _, value in rows], dtype=np.float64)
    return ClusterSums.of(Grouping.of(visitor), (value, np.ones(len(rows))))


@given(ROWS, ROWS, ROWS)
def test_merging_in_any_order_equals_one_pass(
    first: list[tuple[int, int]], second: list[tuple[int, int]], third: list[tuple[int, int]]
) -> None:
    whole = sums_of(first + second + third)
    for merged in (
        (sums_of(first) + sums_of(second)) + sums_of(third),
        sums_of(third) + (sums_of(first) + sums_of(second)),
        ClusterSums.empty(2) + sums_of(first + third) + sums_of(second),
    ):
        assert merged.keys is not None
        assert whole.keys is not None
        assert merged.keys.tolist() == whole.keys.tolist()
        np.testing.assert_array_equal(merged.sums, whole.sums)


def test_above_the_limit_buckets_hold_whole_visitors_however_the_parts_were_cut() -> None:
    visitor = np.random.default_rng(1).integers(0, 9000, 30_000)
    value = np.ones(len(visitor))
    whole = ClusterSums.of(Grouping.of(visitor), (value, value))
    assert whole.keys is None
    assert whole.cluster_count == BUCKET_COUNT
    merged = ClusterSums.empty(2)
    for part in np.split(visitor, 60):
        merged += ClusterSums.of(Grouping.of(part), (np.ones(len(part)), np.ones(len(part))))
    np.testing.assert_array_equal(merged.sums, whole.sums)
    np.testing.assert_array_equal(merged.sketch, whole.sketch)
    assert merged.totals().tolist() == [30_000.0, 30_000.0]


def test_visitors_are_counted_exactly_up_to_the_limit_and_within_5_percent_above() -> None:
    for count in (0, 1, EXACT_VISITORS, EXACT_VISITORS + 1, 100_000):
        visitor = np.arange(count, dtype=np.int64) * 31
        found = ClusterSums.of(Grouping.of(visitor), (np.ones(count),)).visitor_count
        assert found == count if count <= EXACT_VISITORS else abs(found - count) < 0.05 * count


def test_rows_that_are_not_kept_leave_no_visitor_behind() -> None:
    visitor = np.array([3, 1, 3, 2], dtype=np.int64)
    sums = ClusterSums.of(Grouping.of(visitor), (np.arange(4.0),), np.array([True, False, True, False]))
    assert sums.keys is not None
    assert sums.keys.tolist() == [3]
    assert sums.sums.tolist() == [[2.0]]


def test_folds_and_buckets_are_even_and_independent_of_each_other() -> None:
    """Chi-square with 4 and about 1,000 degrees of freedom, both below their 1 - 1e-6 quantiles."""
    visitor = np.arange(100_000, dtype=np.int64)
    folds = np.bincount(fold_of(visitor, 5), minlength=5)
    assert ((folds - 20_000) ** 2 / 20_000).sum() < 33.4
    bucket = (hash_visitors(visitor) >> np.uint64(54)).astype(np.int64)
    of_fold = np.bincount(bucket[fold_of(visitor, 5) == 0], minlength=BUCKET_COUNT)
    expected = of_fold.sum() / BUCKET_COUNT
    assert ((of_fold - expected) ** 2 / expected).sum() < 1255


def test_the_hash_is_the_same_in_every_release() -> None:
    """Values of SplitMix64 with these states, computed by plain integers."""

    def plain(number: int) -> int:
        mask = 2**64 - 1
        z = (number + 0x9E3779B97F4A7C15) & mask
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    numbers = [0, 1, 2**62, -1, -(2**40)]
    found = hash_visitors(np.array(numbers, dtype=np.int64)).tolist()
    assert found == [plain(number % 2**64) for number in numbers]
    assert found[0] == 0xE220A8397B1DCDAF
