"""What another reward would change, in a world whose truth is known."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from offer_optimizer.core.catalog import Reward
from offer_optimizer.core.control import Audit, Quarantine
from offer_optimizer.core.decision import Decision, SlotChoice
from offer_optimizer.evaluate.reward_change import RewardChange, RewardChangeStudy
from offer_optimizer.learn.lineage import END, Lineage, Start
from offer_optimizer.learn.trainer import Trainer, initial_model
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.epoch import epoch_of, parse_description
from offer_optimizer.store.codec import Epoch
from tests.unit.learn.test_promotion import promotion
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

DECISIONS, VISITORS = 1000, 500
OLD = placement(reward=Reward(formula="count.click"))
NEW = placement(reward=Reward(formula="count.click - 2.0 * offer.cost", min=-0.5, max=1.0, default=0.0))
PMF = (0.5, 0.25, 0.25)
CLICKS = {"mobile": (0.2, 0.6, 0.1), "desktop": (0.3, 0.5, 0.1)}
COSTS = (0.0, 0.25, 0.0)
ACTIONS = tuple(Action(offer.id, offer.attributes) for offer in OFFERS)


class Shop:
    """A ledger of uniform-ish choices, and what each earned."""

    def __init__(self, decision_count: int = DECISIONS) -> None:
        self.world = World()
        epoch = self.world.apply(1, catalog(OLD))
        random = np.random.default_rng(7)
        self.decisions: list[Decision] = []
        self.clicked: list[bool] = []
        for number in range(decision_count):
            made = decision_of(number, START_US + number, epoch=epoch)
            chosen = int(random.choice(3, p=PMF))
            slot = SlotChoice(made.slots[0].pmf, chosen, PMF[chosen])
            decision = replace(made, slots=(slot,))
            clicked = bool(random.random() < CLICKS[device(decision)][chosen])
            self.world.decide(decision, f"v{number % VISITORS}")
            if clicked:
                self.world.hear(feedback_of("f", START_US + number, decision=number))
            self.decisions.append(decision)
            self.clicked.append(clicked)
        self.world.tick(START_US + 2 * WINDOW_US)

    def study(self, *, uses_final: bool = False) -> RewardChange:
        return RewardChangeStudy(self.world.ledger, OLD, NEW, lambda *_: None, uses_final=uses_final).run()


def device(decision: Decision) -> str:
    return dict(decision.context.categories)["device"]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="module")
def found(shop: Shop) -> RewardChange:
    return shop.study()


def reward_of(decision: Decision, *, clicked: bool) -> float:
    """Return the new reward: silence earns the default, a click less the offer's cost twice."""
    return 1.0 - 2.0 * COSTS[decision.slots[0].chosen] if clicked else 0.0


def test_means_and_changes_are_those_of_the_formulas(shop: Shop, found: RewardChange) -> None:
    rewards = [
        reward_of(decision, clicked=clicked)
        for decision, clicked in zip(shop.decisions, shop.clicked, strict=True)
    ]
    changed = sum(
        clicked and decision.slots[0].chosen == 1
        for decision, clicked in zip(shop.decisions, shop.clicked, strict=True)
    )
    assert (found.scored_count, found.failed_count, found.changed_count) == (DECISIONS, 0, changed)
    assert found.mean_old == pytest.approx(np.mean(shop.clicked))
    assert found.mean_new == pytest.approx(np.mean(rewards))
    assert found.judged_count == DECISIONS // 2
    assert found.served.value == pytest.approx(np.mean(rewards[DECISIONS // 2 :]))


def test_both_policies_are_worth_what_they_are_worth_and_the_gain_is_their_difference(
    shop: Shop, found: RewardChange
) -> None:
    """The truth is computed from policies trained by hand. Four standard errors: wrong once in 15,000."""
    half = DECISIONS // 2
    truths = []
    for part, is_new in ((OLD, False), (NEW, True)):
        policy = registry.create(*parse_description(epoch_of(part).description))
        low, span = part.reward.min, part.reward.max - part.reward.min
        for decision, clicked in zip(shop.decisions[:half], shop.clicked[:half], strict=True):
            reward = reward_of(decision, clicked=clicked) if is_new else float(clicked)
            slot = decision.slots[0]
            policy.learn(
                Example(decision.context, ACTIONS, slot.chosen, slot.propensity, (reward - low) / span)
            )
        served = {
            device(decision): 0.98 * policy.pmf(decision.context, ACTIONS) + 0.02 / 3
            for decision in shop.decisions[:2]
        }
        worth = {name: np.array(clicks) * (1 - 2 * np.array(COSTS)) for name, clicks in CLICKS.items()}
        truths.append(np.mean([served[name] @ worth[name] for name in CLICKS]))
    for estimates, truth in (
        ((found.old_policy, found.old_policy_ips), truths[0]),
        ((found.new_policy, found.new_policy_ips), truths[1]),
        ((found.gain,), truths[1] - truths[0]),
    ):
        for estimate in estimates:
            assert estimate.value is not None
            assert estimate.standard_error is not None
            assert abs(estimate.value - truth) < 4 * estimate.standard_error
    assert found.differ_share is not None


def test_a_promotion_now_would_make_the_very_model_that_is_told(shop: Shop, found: RewardChange) -> None:
    world = shop.world
    start = Start(10**6, replace(promotion(NEW), close_time_us=END[0], close_position=END[1]))
    epoch = epoch_of(NEW)
    model = initial_model(Epoch(PLACEMENT, 1, epoch.id, epoch.description), Lineage(start))
    trainer = Trainer(world.ledger, world.tables, world.fold.revisions)
    while trainer.teach(model):
        pass
    assert found.learned_count == model.learned_count == DECISIONS
    assert found.model_sha256 == hashlib.sha256(model.policy.save()).hexdigest()


def test_too_few_visitors_give_no_figure_but_the_counts() -> None:
    found = Shop(50).study()
    assert found.scored_count == 50
    assert (found.new_policy.value, found.new_policy_ips.value, found.served.value) == (None, None, None)
    assert found.new_policy.refused_reason
    assert found.gain.refused_reason.startswith("the old policy's value is refused")


def test_what_is_in_quarantine_is_neither_scored_nor_judged() -> None:
    shop = Shop(50)
    shop.world.take(
        shop.world.ledger.append_body(
            Quarantine(PLACEMENT, START_US + 10, START_US + 20, "", "", Audit("", "", 0))
        )
    )
    found = shop.study()
    assert (found.scored_count, found.learned_count) == (40, 40)


def test_a_placement_without_history_has_nothing_to_say() -> None:
    found = Shop(0).study()
    assert (found.scored_count, found.mean_old, found.differ_share) == (0, None, None)
    assert found.gain.value is None
