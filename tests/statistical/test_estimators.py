"""When intervals hold at every look, when they would not hold at all, and what is refused then.

Seeded, so each test passes or fails for good; the bounds and how often they fail by chance are those of
tests/statistical/questions.py. Anytime-valid intervals cover more: bounded below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.claims import Bounds
from offer_optimizer.evaluate.estimators import DR, ESTIMATORS, IPS, MeanReward, Partial
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.rows import DecisionRows
from tests.conftest import Size
from tests.statistical.questions import (
    ALWAYS_X,
    VISITORS,
    X_ELIGIBLE,
    X,
    ask_always_x,
    bounds_of,
    covers,
    least_of,
    truths,
)
from tests.unit.evaluate.bandit_worlds import BASELINE, OFFERS, World, in_order

LOOKS = 10


@pytest.mark.timeout(600)
def test_anytime_valid_intervals_cover_at_every_look(size: Size, figure: Callable[[str], None]) -> None:
    """Covered at all of ten looks together in at least 930 of 1,000 worlds, 53 of 64."""
    count_of_worlds = size.pick(test=64, ci=400, proof=1000)
    covered: Counter[str] = Counter()
    once: Counter[str] = Counter()
    for seed in range(count_of_worlds):
        chance = np.random.default_rng([2, seed])
        world = World.make(chance)
        rows, _ = world.log(chance, VISITORS * 3)
        model = rows.rewards(OFFERS).fit()
        parts = in_order(rows, LOOKS)
        for question, truth in truths(world).items():
            for estimator in (IPS(), DR()):
                total = Partial.empty()
                key = f"{question.__name__} {estimator.name}"
                seen = []
                for part in parts:
                    total += estimator.partial(*question(part, model))
                    estimate = total.estimate(Interval.ANYTIME)
                    if estimate.value is not None:
                        seen.append(covers(estimate, truth))
                assert len(seen) >= LOOKS // 2
                covered[key] += all(seen)
                once[key] += seen[-1]
    least = least_of(count_of_worlds)
    for key, count in covered.items():
        figure(f"anytime: {key} covers at every look {count}, at the last {once[key]} of {count_of_worlds}")
    assert all(count >= least for count in covered.values()), covered


def test_row_wise_intervals_would_not_cover(size: Size, figure: Callable[[str], None]) -> None:
    """Why visitors are the unit: with every row a visitor of its own, what was earned on the log is missed.

    At most 90 % where 95 % are claimed.
    """
    covered = row_wise = 0
    count = size.pick(test=200, ci=400, proof=1000)
    for seed in range(count):
        chance = np.random.default_rng([3, seed])
        world = World.make(chance)
        rows, _ = world.log(chance, VISITORS)
        truth = world.value((world.served / world.served.sum(axis=1, keepdims=True)).astype(np.float64))
        ones = np.ones(len(rows))
        covered += covers(
            MeanReward().partial(Batch(rows.reward, ones, ones, rows.visitor)).estimate(), truth
        )
        alone = Batch(rows.reward, ones, ones, np.arange(len(rows)))
        row_wise += covers(MeanReward().partial(alone).estimate(), truth)
    figure(f"mean reward: clustered covers {covered}, row-wise {row_wise} of {count}")
    low, high = bounds_of(count)
    assert low <= covered <= high
    assert row_wise < 0.9 * count


def test_below_the_thresholds_coverage_fails_and_the_estimate_is_refused(size: Size) -> None:
    """Few visitors and a thin floor: the refused intervals would have covered in less than 90 % of worlds."""
    covered: Counter[Interval] = Counter()
    refused: Counter[Interval] = Counter()
    count = size.pick(test=100, ci=400, proof=1000)
    for seed in range(count):
        chance = np.random.default_rng([4, seed])
        world = World.make(chance, ramp=0.0, floor=0.02)
        rows, _ = world.log(chance, 100)
        batch, keep = ask_always_x(rows, rows.rewards(OFFERS).fit())
        partial, truth = IPS().partial(batch, keep), world.value(ALWAYS_X, X_ELIGIBLE)
        for interval in (Interval.NORMAL, Interval.BOOTSTRAP):
            refused[interval] += partial.estimate(interval, seed=seed).value is None
            forced = partial.estimate(interval, force=True, seed=seed)
            assert forced.forced or forced.value is None
            covered[interval] += forced.value is not None and covers(forced, truth)
    assert all(refused[interval] == count for interval in refused)
    assert all(covered[interval] < 0.9 * count for interval in refused), covered


@pytest.mark.parametrize("visitors", [10, 40])
def test_fewer_visitors_than_stated_would_cover_less(
    size: Size, figure: Callable[[str], None], visitors: int
) -> None:
    """With support in plenty, too: 95 % are not reached at 10 visitors, nor at 40. All are refused."""
    covered: Counter[str] = Counter()
    count = size.pick(test=300, ci=1000, proof=4000)
    for seed in range(count):
        chance = np.random.default_rng([6, seed])
        world = World.make(chance)
        rows, _ = world.log(chance, visitors)
        batch, keep = ask_always_x(rows, rows.rewards(OFFERS).fit())
        partial = IPS().partial(batch, keep)
        assert partial.estimate().value is None
        covered["t"] += covers(partial.estimate(force=True), world.value(ALWAYS_X, X_ELIGIBLE))
    figure(f"{visitors} visitors: a normal interval covers {covered['t'] / count:.1%}")
    assert covered["t"] < (0.9 if visitors == 10 else 0.95) * count


def test_nothing_is_reported_where_support_was_cut() -> None:
    """The log never shows X in some contexts: what it tells of the others is not the answer."""
    chance = np.random.default_rng(5)
    world = World.make(chance)
    rows, context = world.log(chance, VISITORS)
    pmf = rows.pmf.copy()
    cut = (context == 1) | (context == 3)
    pmf[cut, X] = 0.0
    chosen = np.where(cut & (rows.chosen == X), BASELINE, rows.chosen)
    propensity = pmf[np.arange(len(rows)), chosen] / pmf.sum(axis=1, dtype=np.float64)
    there = DecisionRows(
        rows.visitor, rows.reward, chosen, propensity, rows.offers, pmf, rows.floor, rows.baseline
    )
    batch, keep = ask_always_x(there, there.rewards(OFFERS).fit())
    for name, made in ESTIMATORS.items():
        for interval in Interval:
            estimate = made().partial(batch, keep).estimate(interval, bounds=Bounds(0.0, 1.0))
            assert ("could not have chosen" in estimate.refused_reason) == (name != "mean")
            # What was earned needs no support.
            assert estimate.value is None or name == "mean"
    # A foreign log tells no pmf, only propensities: then the mean weight gives it away.
    blind = Batch(batch.reward, batch.propensity, batch.target, batch.visitor)
    assert "mean weight" in IPS().partial(blind, keep).estimate().refused_reason
