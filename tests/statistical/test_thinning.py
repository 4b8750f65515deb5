"""Thinned silence: what is learned stands for what was left out, in estimates and in the policy's value.

Seeded. Estimates are within 4 standard errors (6 in 100,000 by chance alone); the policies learned from
thinned and from all lessons are compared in pairs, over worlds of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from offer_optimizer.core.control import Thinning
from offer_optimizer.core.features import Features
from offer_optimizer.learn.trainer import Trainer, initial_model
from offer_optimizer.policy.contract import Action, Policy
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.fold_tables import ClosedDecision
from tests.conftest import Size
from tests.unit.learn.worlds import (
    OFFERS,
    PLACEMENT,
    START_US,
    WINDOW_US,
    World,
    catalog,
    decision_of,
    feedback_of,
    placement,
)

DEVICES = ("desktop", "mobile")
RATES = {"desktop": (0.02, 0.1, 0.3), "mobile": (0.3, 0.1, 0.02)}
"""How often each offer succeeds, by the context that decision_of gives: most of it is silence."""
PMF = (0.5, 0.25, 0.25)
EPOCH = epoch_of(placement()).id
ACTIONS = tuple(Action(offer.id, offer.attributes) for offer in OFFERS)


@dataclass(frozen=True)
class Shop:
    """A world whose windows have closed, its lessons, and what was chosen, by the decision's position."""

    world: World
    lessons: list[ClosedDecision]
    chosen: dict[int, int]

    def policy(self) -> Policy:
        """Return a policy that has learned all lessons."""
        stored = self.world.fold.revisions.epoch(EPOCH)
        assert stored is not None
        model = initial_model(stored)
        trainer = Trainer(self.world.ledger, self.world.tables, self.world.fold.revisions)
        while trainer.teach(model):
            pass
        return model.policy


def shop(seed: int, count: int, share: float) -> Shop:
    """Let a world run with silence thinned to a share."""
    chance = np.random.default_rng([8, seed])
    world = World()
    world.apply(1, catalog(placement()))
    world.add(Thinning(PLACEMENT, share))
    chosen: dict[int, int] = {}
    for _ in range(count):
        # Who was shown what is drawn by the logged pmf; decision_of derives both from the number.
        which, offer = int(chance.integers(2)), int(chance.choice(3, p=PMF))
        number = 6 * int(chance.integers(2**60)) + (offer if offer % 2 == which else offer + 3)
        position = world.decide(decision_of(number, START_US, epoch=EPOCH))
        chosen[position] = offer
        if chance.random() < RATES[DEVICES[which]][offer]:
            world.hear(feedback_of("c", START_US, decision=number))
    world.tick(START_US + WINDOW_US)
    return Shop(world, world.tables.lessons(PLACEMENT, EPOCH, (0, 0), None, count), chosen)


def inverse_propensity_value(found: Shop, offer: int) -> tuple[float, float]:
    """Return the estimate of always showing an offer from the lessons alone, with its standard error."""
    terms: NDArray[np.float64] = np.zeros(len(found.chosen))
    for at, lesson in enumerate(found.lessons):
        if found.chosen[lesson.position] == offer:
            terms[at] = lesson.weight * lesson.reward / PMF[offer]
    return float(terms.mean()), float(terms.std()) / math.sqrt(len(found.chosen))


def value(policy: Policy) -> float:
    """Return what a policy is worth in truth."""
    worth = 0.0
    for device in DEVICES:
        pmf = policy.pmf(Features(categories=(("device", device),)), ACTIONS)
        worth += float(np.dot(pmf, RATES[device])) / len(DEVICES)
    return worth


@pytest.mark.parametrize("share", [0.25, 0.0625])
def test_estimates_from_what_is_learned_are_those_of_all_that_happened(
    share: float, size: Size, figure: Callable[[str], None]
) -> None:
    """Silence earns 0.125 here, so to lose it unweighted shows."""
    count = size.pick(test=1500, ci=5000, proof=40_000)
    found = shop(1, count, share)
    kept = len(found.lessons) / count
    assert kept < share + 0.15
    for offer in range(3):
        estimate, error = inverse_propensity_value(found, offer)
        truth = sum(0.125 + 0.875 * RATES[device][offer] for device in DEVICES) / 2
        assert abs(estimate - truth) < 4.0 * error
        figure(
            f"offer {offer} from {kept:.0%} of the rows (silence kept by {share:g}): {estimate:.4f} "
            f"+- {error:.4f}, truth {truth:.4f}"
        )
        unweighted = sum(
            lesson.reward / PMF[offer] for lesson in found.lessons if found.chosen[lesson.position] == offer
        )
        assert abs(unweighted / len(found.lessons) - truth) > 4.0 * error, "the weights made no difference"
    weights = np.array([lesson.weight for lesson in found.lessons])
    assert abs(weights.sum() - count) < 4.0 * math.sqrt(count * (1.0 / share - 1.0))


def test_a_policy_learned_from_thinned_silence_is_worth_as_much(
    size: Size, figure: Callable[[str], None]
) -> None:
    """In pairs, less than 2 % of the way from even to best is lost: it has heard of fewer examples."""
    pairs = size.pick(test=2, ci=6, proof=12)
    count = size.pick(test=1000, ci=2000, proof=4000)
    even, best = sum(map(sum, RATES.values())) / 6, 0.3
    values: list[list[float]] = []
    for seed in range(pairs):
        policies = [shop(100 + seed, count, share).policy() for share in (1.0, 0.25)]
        values.append([(value(policy) - even) / (best - even) for policy in policies])
        for policy in policies:
            policy.close()
    of_all, of_thinned = np.mean(values, axis=0)
    figure(
        f"policy value, 0 = even, 1 = best, mean of {pairs} worlds of {count} decisions: {of_all:.3f} "
        f"from all, {of_thinned:.3f} from a quarter of silence with weights"
    )
    assert of_all > 0.95
    assert of_all - of_thinned < 0.02
