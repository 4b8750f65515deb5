"""An offer of which a placement expects a reward: decided, learned, verified and rebuilt alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from offer_optimizer.core.catalog import Offer, Placement, PolicyChoice, Reward
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.decision import Decision, ModelVersion
from offer_optimizer.core.features import Features
from offer_optimizer.decide.prepared import prepare_catalog
from offer_optimizer.learn import models
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.learn.verifier import action_as_plain, action_from_plain
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import epoch_of
from tests.unit.learn.histories import check, current
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.test_promotion import promotion, train
from tests.unit.learn.worlds import (
    OFFERS,
    PLACEMENT,
    WINDOW_S,
    catalog,
    decision_of,
    feedback_of,
    placement,
    stored,
)

LINEAR = PolicyChoice(name="linear", options={})
OTHER = PolicyChoice(name="linear", options={"optimism": 0.5})
PLAIN = tuple(Offer(id=offer.id, type=offer.type) for offer in OFFERS)
OTHER_PLACEMENT = "beside"
COUNTED = Reward(formula="count.click", min=0.0, max=3.0)


@pytest.fixture(autouse=True)
def small_slices() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "SLICE", 8)
        yield


def expecting(expected: Mapping[str, float]) -> Placement:
    return placement(policy=LINEAR, expected_reward=dict(expected))


def elsewhere(decision: Decision, epoch: bytes) -> Decision:
    """Return another decision over the same offers, at the placement beside."""
    return replace(
        decision,
        decision_id=b"beside" + decision.decision_id[6:],
        placement_id=OTHER_PLACEMENT,
        model_version=ModelVersion(epoch, 0),
    )


def learned(
    *expected: Mapping[str, float], offers: tuple[Offer, ...] = OFFERS, beside: bool = False
) -> tuple[ServiceInMemory, Writer]:
    """Return a service that learned ten decisions under each revision, which differ in what they expect.

    With a placement `beside` that has the same offers and policy, and expects nothing, if so told.
    """
    other = placement(id=OTHER_PLACEMENT, policy=LINEAR)
    service = ServiceInMemory()
    writer = service.writer(1)
    number = 0
    for revision, each in enumerate(expected, start=1):
        part = expecting(each)
        service.apply(writer, stored(revision, catalog(part, other, offers=offers)))
        service.run_for(1)
        for _ in range(10):
            decision = decision_of(number, service.clock_us, epoch=epoch_of(part).id, revision=revision)
            if beside:
                writer.decide(elsewhere(decision, epoch_of(other).id), f"w{number}")
            writer.decide(decision, f"v{number}")
            if number % 4:
                writer.hear(feedback_of("f", service.clock_us, decision=number))
            service.run_for(0.25)
            number += 1
    service.run_for(WINDOW_S + 2)
    return service, writer


def state_of(service: ServiceInMemory, placement_id: str = PLACEMENT) -> bytes:
    epoch = epoch_of(placement(id=placement_id, policy=LINEAR)).id
    name = service.snapshots.current_name(placement_id, epoch)
    assert name is not None
    snapshot = service.snapshots.load(placement_id, name)
    assert snapshot.learned_count > 0
    return snapshot.state


def test_a_model_that_learned_of_one_equals_the_rebuilt_one_and_differs_from_one_without() -> None:
    found = {}
    for expected in (1.25, None):
        service, _ = learned({} if expected is None else {"msg": expected, "save5": -1.0})
        assert check(service) == [True]
        found[expected] = state_of(service)
    assert found[1.25] != found[None]


def test_the_revision_of_its_first_example_tells_what_was_expected() -> None:
    high, low = {"nothing": 2.0}, {"nothing": 0.5}
    states = [state_of(learned(*each, offers=PLAIN)[0]) for each in ((high, low), (high, high), (low, low))]
    assert states[0] == states[1]
    assert states[0] != states[2]


def test_deciders_and_the_learner_make_the_same_action_of_it_scaled_like_rewards() -> None:
    parts = catalog(expecting({"save5": 1.25}), placement(id="other", policy=LINEAR))
    revisions = Revisions()
    revisions.add(1, parts)
    prepared = prepare_catalog(CatalogRevision(1, "", 0, parts))
    for placement_id, expected in ((PLACEMENT, [None, 0.75, None]), ("other", [None] * 3)):
        decided = tuple(c.action for c in prepared.placements[placement_id].plan.candidates)
        assert decided == revisions.actions(1, placement_id)
        assert [action.expected for action in decided] == expected
        decision = decision_of(0, 0, epoch=b"", placement_id=placement_id)
        assert revisions.eligible_actions(decision) == decided
    assert revisions.actions(1, "other") == revisions.actions(1)


def test_the_verifier_asks_about_the_same_action() -> None:
    attributes = Features((("tone", "warm"),), (("cost", 0.1),), (("seen", ("a", "b")),))
    for like, expected in (("", None), ("b", None), ("", 0.1), ("b", 0.0)):
        action = Action("a", attributes, like, expected)
        assert action_from_plain(*json.loads(json.dumps(action_as_plain(action)))) == action


def test_offers_that_two_placements_share_are_expected_to_earn_what_their_own_one_says() -> None:
    expected = {"msg": 1.25, "save5": 0.0}
    alone, both, none = learned(expected)[0], learned(expected, beside=True)[0], learned({}, beside=True)[0]
    assert state_of(both) == state_of(alone) != state_of(none)
    assert state_of(both, OTHER_PLACEMENT) == state_of(none, OTHER_PLACEMENT)


@pytest.mark.parametrize("reward", [None, COUNTED], ids=["the same reward", "another reward"])
def test_history_that_another_reward_scores_is_learned_without_what_was_expected_of_the_old_one(
    reward: Reward | None,
) -> None:
    states = []
    for expected in ({"msg": 1.25}, {}):
        service, writer = learned(expected)
        promoted = placement(policy=OTHER) if reward is None else placement(policy=OTHER, reward=reward)
        service.steer(writer, promotion(promoted))
        train(service)
        states.append(current(service, epoch_of(promoted).id).state)
        assert check(service) == [True, True]
    assert (states[0] == states[1]) is (reward is not None)
