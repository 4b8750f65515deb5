"""Trajectory verdicts cover the truth of a tighter cap; one step does not; what is looser has no verdict.

False alarms: a coverage is held against binomial bounds that a right interval leaves once in 10,000 runs; at
full size against 925 to 975 of 1,000, which it leaves less than once in 1,000.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from offer_optimizer.evaluate.replay import evaluate
from offer_optimizer.evaluate.results import PolicyResult
from offer_optimizer.evaluate.target import Verdict
from offer_optimizer.evaluate.target_catalog import CatalogPolicy
from tests.conftest import Size
from tests.unit.evaluate.capped_world import PLACEMENT, capped_log, catalog, truth

ESTIMATORS = ("ips", "snips", "dr")
CHANGES = ((3, 1), (3, 2), (2, 1))
"""Caps of the log, and of the target."""


def judge(
    seed: int, logged: int, target: int, verdict: Verdict | None, interval: str, visitors: int
) -> PolicyResult:
    log = capped_log(np.random.default_rng([7, seed]), visitors, logged)
    policy = CatalogPolicy("target", catalog(target), PLACEMENT, verdict)
    return evaluate(log, policy, estimators=ESTIMATORS, interval=interval, seed=seed).policies[0]


@pytest.mark.timeout(0)
@pytest.mark.parametrize("interval", ["normal", "bootstrap"])
def test_trajectories_cover_the_truth_of_a_tighter_cap(
    interval: str, size: Size, figure: Callable[[str], None]
) -> None:
    worlds = size.pick(test=12, ci=60, proof=1000)
    covered: Counter[str] = Counter()
    for seed in range(worlds):
        logged, target = CHANGES[seed % len(CHANGES)]
        found = judge(seed, logged, target, None, interval, 450)
        assert found.verdict is Verdict.TRAJECTORY
        for name in ESTIMATORS:
            estimate = found[name]
            assert estimate.low is not None, estimate.refused_reason
            assert estimate.high is not None
            covered[name] += estimate.low <= truth(target) <= estimate.high
    low, high = binom.ppf([1e-4, 1 - 1e-4], worlds, 0.95)
    if worlds == 1000:
        low, high = 925, 975
    told = ", ".join(f"{name} {covered[name]}" for name in ESTIMATORS)
    figure(
        f"trajectory intervals ({interval}) covered the truth of a tighter cap in {told} of {worlds} worlds"
    )
    assert all(low <= covered[name] <= high for name in ESTIMATORS), told


def test_one_step_misses_the_truth_of_a_tighter_cap(size: Size, figure: Callable[[str], None]) -> None:
    """The whole interval of the state as logged lies on the wrong side; the trajectory's holds the truth."""
    visitors = size.pick(test=6000, ci=6000, proof=40_000)
    one_step = judge(0, 3, 1, Verdict.STATE_AS_LOGGED, "normal", visitors)["ips"]
    whole = judge(0, 3, 1, Verdict.TRAJECTORY, "normal", visitors)["ips"]
    assert whole.low is not None
    assert whole.high is not None
    figure(
        f"a cap of 1 instead of 3 is worth {truth(1):.3f}, the log's {truth(3):.3f}; "
        f"one step says {one_step}, trajectories {whole}"
    )
    assert one_step.is_below(truth(1))
    assert whole.low <= truth(1) <= whole.high


@pytest.mark.parametrize("target", [2, 3, None], ids=["2", "3", "no-cap"])
@pytest.mark.parametrize("verdict", [None, *list(Verdict)[1:]], ids=["own", "state", "trajectory"])
def test_a_looser_cap_is_refused_with_its_reason(target: int | None, verdict: Verdict | None) -> None:
    log = capped_log(np.random.default_rng(5), 450, 1)
    found = evaluate(log, CatalogPolicy("target", catalog(target), PLACEMENT, verdict)).policies[0]
    assert "looser than the log" in found.refused
    assert "CAPPED" in found.refused
    assert all(estimate.value is None for estimate in found.estimates.values())
