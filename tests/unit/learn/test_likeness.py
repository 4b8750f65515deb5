"""An offer that a later revision says to be like another: decided, learned and rebuilt alike."""

from __future__ import annotations

from dataclasses import replace

from offer_optimizer.core.catalog import Catalog, Offer, OfferType, PolicyChoice
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.features import Features
from offer_optimizer.decide.prepared import prepare_catalog
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.policy.epoch import epoch_of
from tests.unit.learn.histories import check, current
from tests.unit.learn.service_in_memory import ServiceInMemory
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


def two_revisions(like: str) -> tuple[Catalog, Catalog]:
    """Return a catalog, and one that a new offer has come to."""
    new = Offer(id="new", type=OfferType.MESSAGE, attributes=Features(numbers=(("cost", 1.0),)), like=like)
    ids = tuple(offer.id for offer in OFFERS)
    before = placement(policy=LINEAR)
    after = placement(policy=LINEAR, offers=(*ids, "new"))
    return catalog(before), catalog(after, offers=(*OFFERS, new))


def learned(like: str) -> ServiceInMemory:
    """Return a service that learned of three offers, then of the new one beside two of them."""
    service = ServiceInMemory()
    writer = service.writer(1)
    first, second = two_revisions(like)
    epoch = epoch_of(first.placements[0]).id
    service.apply(writer, stored(1, first))
    for number in range(60):
        if number == 40:
            service.run_for(WINDOW_S + 2)
            service.apply(writer, stored(2, second))
            service.run_for(1)
        decision = decision_of(number, service.clock_us, epoch=epoch, revision=1 if number < 40 else 2)
        if number >= 40:
            decision = replace(decision, candidates=(0, 1, 3))
        writer.decide(decision, f"v{number}")
        if number % 4:
            writer.hear(feedback_of("f", service.clock_us, decision=number))
        service.run_for(0.25)
    service.run_for(WINDOW_S + 2)
    return service


def test_a_model_that_learned_of_one_equals_the_rebuilt_one_and_differs_from_one_without() -> None:
    found = {}
    for like in ("msg", ""):
        service = learned(like)
        epoch = epoch_of(two_revisions(like)[0].placements[0]).id
        assert current(service, epoch).learned_count == 60
        assert check(service) == [True]
        found[like] = current(service, epoch).state
    assert found["msg"] != found[""]


def test_deciders_and_the_learner_make_the_same_action_of_it() -> None:
    _, second = two_revisions("msg")
    revisions = Revisions()
    revisions.add(2, second)
    prepared = prepare_catalog(CatalogRevision(2, "", 0, second))
    decided = tuple(candidate.action for candidate in prepared.placements[PLACEMENT].plan.candidates)
    assert decided == revisions.actions(2)
    assert [action.like for action in decided] == ["", "", "", "msg"]
