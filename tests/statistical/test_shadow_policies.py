"""Shadow policies on simulated traffic: figures hold the known truth, and gates let few of equals pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest
from scipy.stats import binom

from offer_optimizer.core.catalog import ShadowGate
from offer_optimizer.evaluate.shadow_judge import ShadowJudge
from offer_optimizer.policy import registry
from tests.conftest import Size
from tests.statistical.shadow_shop import BETTER, EQUAL, INCUMBENT, WORSE, Floats, Traffic, value

GATE: Final = ShadowGate(margin=0.0, visitors=400)
LOOK_EVERY: Final = 250
FALSE_ALARM: Final = 1e-4
"""How often a test of this file fails though all is right, at most, by the binomial bound it uses."""
ONE_SEED: Final = 0.008
"""Standard deviation of a gain over 2,500 decisions, measured; five of them are a false alarm below 1e-6."""
LEARNING: Final = 1.0
"""Standard deviation of a decision's term of a learning shadow's gain by IPS, at most, measured."""
ALPHA: Final = 0.05


@dataclass
class Run:
    """What one seed came to: promoted at any look, and whether every look's interval held the truth."""

    promoted: bool
    gain_held: bool
    gain_ips_held: bool
    gain: float


def watch(seed: int, shadow: Floats, rows: int, visitors: int, shadow_count: int = 1) -> Run:
    """Look at a shadow every LOOK_EVERY decisions, and note all that was seen."""
    judge, traffic = ShadowJudge(), Traffic(seed, visitors)
    truth = value(shadow) - value(INCUMBENT)
    run = Run(promoted=False, gain_held=True, gain_ips_held=True, gain=float("nan"))
    for _ in range(0, rows, LOOK_EVERY):
        traffic.feed(judge, shadow, LOOK_EVERY)
        verdict = judge.verdict(shadow_count)
        run.promoted |= bool(judge.passed(GATE, shadow_count))
        for name in ("gain", "gain_ips"):
            found = getattr(verdict, name)
            if found.low is not None and not found.low <= truth <= found.high:
                setattr(run, f"{name}_held", False)
        run.gain = verdict.gain.value if verdict.gain.value is not None else run.gain
    return run


@pytest.mark.parametrize("visitors", [600, 100_000], ids=["visitors-come-back", "each-once"])
def test_a_gate_promotes_equal_shadows_in_at_most_alpha_of_seeds_and_sequences_hold_at_every_look(
    size: Size, figure: Callable[[str], None], visitors: int
) -> None:
    """Another policy of exactly the incumbent's worth. False alarm of this test: 1e-4 a bound."""
    seeds, rows = size.pick(test=12, ci=80, proof=1000), size.pick(test=2000, ci=5000, proof=20_000)
    assert value(EQUAL) == pytest.approx(value(INCUMBENT), abs=1e-8)
    runs = [watch(seed, EQUAL, rows, visitors) for seed in range(seeds)]
    promoted = sum(run.promoted for run in runs)
    missed = {
        "DR": sum(not run.gain_held for run in runs),
        "IPS": sum(not run.gain_ips_held for run in runs),
    }
    figure(
        f"equal shadows, {visitors} visitors: promoted in {promoted} of {seeds} seeds over {rows} decisions "
        f"looked at every {LOOK_EVERY}; the truth left the sequence in {missed['DR']} (DR), "
        f"{missed['IPS']} (IPS)"
    )
    allowed = binom.ppf(1.0 - FALSE_ALARM, seeds, ALPHA)
    assert promoted <= allowed
    assert max(missed.values()) <= allowed


def test_better_shadows_are_promoted_worse_ones_never_and_the_gain_is_the_truth(
    size: Size, figure: Callable[[str], None]
) -> None:
    seeds, rows = size.pick(test=3, ci=20, proof=200), size.pick(test=2500, ci=5000, proof=10_000)
    better = [watch(seed, BETTER, rows, 100_000, shadow_count=3) for seed in range(seeds)]
    worse = [watch(seed, WORSE, rows, 100_000, shadow_count=3) for seed in range(seeds)]
    assert all(run.promoted for run in better)
    assert not any(run.promoted for run in worse)
    for shadow, runs in ((BETTER, better), (WORSE, worse)):
        gains = np.array([run.gain for run in runs])
        truth = value(shadow) - value(INCUMBENT)
        assert abs(float(gains.mean()) - truth) < 5.0 * ONE_SEED / seeds**0.5
        figure(f"true gain {truth:+.4f}: estimated {gains.mean():+.4f} over {seeds} seeds")


def test_a_shadow_that_learns_noise_gains_nothing_and_is_not_promoted_for_it(
    size: Size, figure: Callable[[str], None]
) -> None:
    """All offers are worth the same, so whatever it learns gains 0: a glance ahead would show as a gain."""
    seeds, rows = size.pick(test=5, ci=40, proof=400), size.pick(test=1000, ci=3000, proof=5000)
    gains, promoted = [], 0
    for seed in range(seeds):
        judge, traffic = ShadowJudge(), Traffic(seed, 100_000, is_flat=True)
        policy = registry.create("vw", {"bits": 10, "learning_rate": 5.0}, ())
        for _ in range(0, rows, LOOK_EVERY):
            traffic.teach(judge, policy, LOOK_EVERY)
            promoted += bool(judge.passed(GATE, 1))
        policy.close()
        gains.append(judge.verdict(1).gain_ips.value or 0.0)
    error = LEARNING / (seeds * rows) ** 0.5
    figure(f"a shadow that learns noise: gain {np.mean(gains):+.4f} ± {error:.4f} over {seeds} seeds")
    assert abs(float(np.mean(gains))) < 5.0 * error
    assert promoted <= binom.ppf(1.0 - FALSE_ALARM, seeds, ALPHA)


def test_a_gain_of_the_doubly_robust_kind_is_narrower_than_by_weights_alone() -> None:
    judge, traffic = ShadowJudge(), Traffic(3, 100_000)
    traffic.feed(judge, BETTER, 3000)
    verdict = judge.verdict(1)
    assert verdict.gain.width is not None
    assert verdict.gain_ips.width is not None
    assert verdict.gain.width < verdict.gain_ips.width
