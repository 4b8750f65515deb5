"""The whole decision path draws in the proportions that it logs.

Seeded, so each test passes or fails for good; the false-alarm rates say how surprising a failure is to a
service that is right. Every statistic is over decisions that were recorded and read back.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from offer_optimizer.core import draw
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.features import Features
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Example
from offer_optimizer.store.decision_codec import decode_decision, encode_decision
from offer_optimizer.store.snapshots import Snapshot
from tests.conftest import Size
from tests.unit.decide.rooms import SALT, VW, Room, actions_of, ask, revision_of

FLOOR = 0.05
CONTEXTS = tuple(
    Features(categories=(("device", device),), numbers=(("visits", float(visits)),))
    for device in ("mobile", "desktop")
    for visits in (0, 3, 9)
)


def trained_room(ramp: float) -> Room:
    """Return a decision path whose vw policy prefers msg on mobile and save5 on desktops."""
    room = Room(revision_of(policy=VW, ramp=ramp, floor=FLOOR, baseline=("none",)), seed=f"ramp {ramp}")
    placement = room.catalog.placements["home"]
    policy = registry.create("vw", placement.placement.policy.options, ())
    chance = random.Random(1)
    for _ in range(400):
        context = chance.choice(CONTEXTS)
        chosen = chance.randrange(3)
        best = 0 if context.categories[0][1] == "mobile" else 1
        reward = float(chance.random() < (0.7 if chosen == best else 0.2))
        policy.learn(Example(context, actions_of(placement), chosen, 1 / 3, reward))
    key = ("home", placement.epoch.id)
    room.shelves.snapshots["trained"] = Snapshot(
        "home", placement.epoch.id, "vw", 400, 0, 0, 400, policy.save()
    )
    room.shelves.current[key] = "trained"
    room.shelf.refresh(room.catalog)
    served = room.shelf.get(*key)
    assert served is not None
    assert served.version.position == 400
    assert isinstance(room.shelf, ModelShelf)
    return room


def decide_many(ramp: float, count: int) -> list[Decision]:
    """Return recorded decisions, as a reader of the ledger has them."""
    room = trained_room(ramp)
    chance = random.Random(2)
    for _ in range(count):
        room.runtime.decide(ask(context=chance.choice(CONTEXTS)))
    return [decode_decision(encode_decision(decision)) for decision, _ in room.journal.kept]


@pytest.mark.parametrize("ramp", [1.0, 0.4])
def test_choices_follow_the_logged_pmfs_and_ips_is_unbiased(ramp: float, size: Size) -> None:
    """Sum over decisions of indicator minus logged probability, per offer, against its own variance.

    Two-sided normal tests at 5.0 standard deviations: 6e-7 each, six of them: 4e-6 in all.
    """
    decisions = decide_many(ramp, size.pick(test=6_000, ci=20_000, proof=200_000))
    probabilities = np.array([decision.slots[0].pmf for decision in decisions], dtype=np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    chosen = np.array([decision.slots[0].chosen for decision in decisions])
    propensities = np.array([decision.slots[0].propensity for decision in decisions])
    np.testing.assert_allclose(propensities, probabilities[np.arange(len(chosen)), chosen], rtol=1e-12)
    assert probabilities.std(axis=0).max() > 0.05, "the pmf does not depend on the context"
    for offer in range(3):
        p = probabilities[:, offer]
        hit = chosen == offer
        surprise = (hit - p).sum() / math.sqrt((p * (1 - p)).sum())
        assert abs(surprise) < 5.0
        # IPS of "the offer is `offer`" under "always show it": 1 in truth, variance (1 - p) / p a decision.
        ips = (hit / propensities).mean()
        assert abs(ips - 1.0) < 5.0 * math.sqrt(((1 - p) / p).sum()) / len(p)


def test_choices_of_one_context_pass_a_chi_square_test(size: Size) -> None:
    """27.63 is the 0.999999 quantile at 2 degrees of freedom, for six contexts: 6e-6 in all."""
    decisions = decide_many(1.0, size.pick(test=6_000, ci=20_000, proof=200_000))
    for context in CONTEXTS:
        here = [decision for decision in decisions if decision.context == context]
        pmf = here[0].slots[0].pmf.astype(np.float64)
        assert all(decision.slots[0].pmf.tobytes() == here[0].slots[0].pmf.tobytes() for decision in here)
        expected = pmf / pmf.sum() * len(here)
        counts = np.bincount([decision.slots[0].chosen for decision in here], minlength=3)
        assert ((counts - expected) ** 2 / expected).sum() < 27.63


@pytest.mark.parametrize("ramp", [1.0, 0.4, 0.0])
def test_every_logged_propensity_is_at_least_its_share_of_the_floor(ramp: float) -> None:
    """No chance in it: the rounding is allowed for, so the bound is exact."""
    for decision in decide_many(ramp, 500):
        pmf = decision.slots[0].pmf.astype(np.float64)
        assert pmf.min() / pmf.sum() >= FLOOR / 3 * (1 - 1e-12)
        assert decision.slots[0].propensity >= FLOOR / 3 * (1 - 1e-12)


def test_any_draw_is_repeated_from_the_stored_record_and_its_salt() -> None:
    """By plain arithmetic, without the service's own code for picking."""
    for decision in decide_many(0.4, 500):
        assert decision.draw_salt_id == SALT.salt_id
        u = draw.uniform(SALT.salt, decision.placement_id, decision.decision_id, 0)
        values = [float(value) for value in decision.slots[0].pmf]
        total = 0.0
        for value in values:
            total += value
        cumulative, chosen = 0.0, 0
        for index, value in enumerate(values):
            cumulative += value
            if u * total < cumulative:
                chosen = index
                break
        assert (chosen, values[chosen] / total) == (decision.slots[0].chosen, decision.slots[0].propensity)
