"""Conversions that take minutes to days lead to the same policy as conversions that come at once.

What makes two such shops differ is not the delay itself: with one window both learn the same examples in the
same order, exactly. But a shop that must wait for its slowest sale needs a window of days, decides with an
older model while windows are open, and so collects other data: two of its thirty days are decided by the
model it began with. That difference wears off with the number of decisions: at 3,000 it is some 6 points of
the range from uniform to best, at 6,000 some 2.5, at 12,000 within 0.3. Pairs share visitors and dice.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from tests.conftest import Size
from tests.statistical.delayed_shop import LONG_US, SHORT_US, DelayedShop, Season


def test_with_one_window_delays_change_nothing_at_all() -> None:
    """The same examples, learned in the same order: the same policy, to the last bit."""
    season = Season.plan(500, 1)
    values = [DelayedShop(season, LONG_US, is_delayed=is_delayed).run() for is_delayed in (False, True)]
    assert values[0] == values[1]


@pytest.mark.timeout(1800)
def test_a_shop_with_delays_ends_with_the_same_value(size: Size, figure: Callable[[str], None]) -> None:
    """Over 20 pairs of 12,000 decisions the 99 % bound of the mean difference is below 2 % of the range.

    The shorter forms see the difference of the beginning and allow for it: 15 %. A shop that learns before
    the sales came is off by 30 % or more (next test), so each form can fail.
    """
    pairs, count, limit = size.pick(test=(2, 1200, 0.15), ci=(4, 6000, 0.15), proof=(20, 12_000, 0.02))
    at_once, delayed = np.empty(pairs), np.empty(pairs)
    for seed in range(pairs):
        season = Season.plan(count, seed)
        at_once[seed] = DelayedShop(season, SHORT_US, is_delayed=False).run()
        delayed[seed] = DelayedShop(season, LONG_US, is_delayed=True).run()
    difference = delayed - at_once
    error = float(difference.std(ddof=1)) / pairs**0.5
    # Two pairs have no t quantile worth the name: the short form bounds the mean itself.
    margin = float(stats.t.ppf(0.99, pairs - 1)) * error if pairs > 2 else 0.0
    bound = abs(float(difference.mean())) + margin
    figure(
        f"conversions after minutes to days: {delayed.mean():.3f} of the range from uniform to best, at once "
        f"{at_once.mean():.3f}; {pairs} pairs of {count:,} decisions differ by {difference.mean():+.4f}, "
        f"99 % bound {bound:.4f}"
    )
    assert min(at_once.mean(), delayed.mean()) > 0.3, "a policy that learned nothing is no proof"
    assert bound < limit


def test_learning_before_the_sales_came_leads_to_another_policy() -> None:
    """Why windows are waited for: a window of a minute takes slow sales for silence."""
    season = Season.plan(1200, 0)
    waits = DelayedShop(season, LONG_US, is_delayed=True).run()
    hasty = DelayedShop(season, SHORT_US, is_delayed=True).run()
    assert hasty < waits - 0.2
