"""Shadow policies in the learner: what they learn, when they are judged, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from offer_optimizer.core.catalog import Placement, ShadowChoice
from offer_optimizer.core.control import Audit, Erasure, Promotion, Quarantine, ShadowPolicy
from offer_optimizer.evaluate.shadow_judge import ShadowJudge
from offer_optimizer.learn import models, shadows
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.learn.shadow_training import Judged
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Example
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.sqlite import transaction
from tests.unit.learn.histories import check, current
from tests.unit.learn.service_in_memory import Writer
from tests.unit.learn.shadowed_service import LINEAR, OTHER, ShadowedService, gated, serve, shadowed
from tests.unit.learn.worlds import PLACEMENT, WINDOW_S, catalog, placement, stored

AUDIT = Audit("ops", "a test", 1)


def by_offer(_number: int, chosen: int, chance: np.random.Generator) -> float:
    """Clicks are worth more for later offers, with noise."""
    return 0.25 * chosen + 0.5 * float(chance.random())


@pytest.fixture
def service() -> ShadowedService:
    return ShadowedService()


@pytest.fixture
def writer(service: ShadowedService) -> Writer:
    return service.writer(1)


class ListeningJudge(ShadowJudge):
    """Remembers what it was told."""

    def __init__(self, state: bytes = b"") -> None:
        super().__init__(state)
        self.heard: list[Judged] = []

    def add(self, judged: Judged) -> None:
        """See Judge."""
        self.heard.append(judged)
        super().add(judged)


def begin(service: ShadowedService, writer: Writer, *choices: ShadowChoice) -> Placement:
    part = shadowed(*choices)
    service.apply(writer, stored(1, catalog(part)))
    service.run_for(0.1)
    return part


def rebuilt_shadows(service: ShadowedService) -> list[bool]:
    rebuilt = Rebuilt(service.ledger, service.learner.fold.position, lambda _done, _all: None)
    found = [service.store.read(*key) for key in service.store.names()]
    compared = [rebuilt.compare_shadow(state, ShadowJudge) for state in found if state is not None]
    rebuilt.close()
    return [comparison is not None and comparison.is_equal for comparison in compared]


def test_a_shadow_is_a_ledger_record_and_each_lesson_is_judged_and_learned_by_it(
    service: ShadowedService, writer: Writer
) -> None:
    part = begin(service, writer, OTHER)
    serve(service, writer, part, range(40), by_offer)
    service.run_for(WINDOW_S + 2)
    service.learner.close()
    saved = service.saved("other")
    assert (saved.learned_count, saved.judged_count) == (40, 40)
    records = [record for record in service.ledger.records() if record.kind is RecordKind.SHADOW]
    assert len(records) == 1
    body = records[0].body()
    assert isinstance(body, ShadowPolicy)
    assert body.incumbent_epoch == epoch_of(part).id
    assert rebuilt_shadows(service) == [True]


def test_what_closed_before_a_shadow_was_declared_is_learned_and_not_judged(
    service: ShadowedService, writer: Writer
) -> None:
    part = placement()
    service.apply(writer, stored(1, catalog(part)))
    service.run_for(0.1)
    serve(service, writer, part, range(30), by_offer)
    service.run_for(WINDOW_S + 2)
    service.apply(writer, stored(2, catalog(shadowed(OTHER))))
    service.run_for(0.1)
    serve(service, writer, part, range(30, 50), by_offer)
    service.run_for(WINDOW_S + 2)
    service.learner.close()
    saved = service.saved("other")
    assert (saved.learned_count, saved.judged_count) == (50, 20)
    assert rebuilt_shadows(service) == [True]


@pytest.mark.parametrize("seed", range(2))
def test_kills_and_restarts_anywhere_come_to_the_bytes_of_an_uninterrupted_run(
    service: ShadowedService, writer: Writer, seed: int
) -> None:
    """Also with blocks of sums that a restart cuts in two, and files from between saves."""
    chance = np.random.default_rng(seed)
    part = begin(service, writer, OTHER, LINEAR.model_copy(update={"share": 0.5}))
    for start in range(0, 360, 60):
        serve(service, writer, part, range(start, start + 60), by_offer)
        service.run_for(float(chance.random()) * WINDOW_S)
        if chance.random() < 0.6:
            if chance.random() < 0.5:
                service.learner.close()
            service.start()
    service.run_for(2 * WINDOW_S)
    service.learner.close()
    assert service.saved("other").judged_count == 360
    assert 130 < service.saved("linear").judged_count < 230
    assert rebuilt_shadows(service) == [True, True]


def test_a_quarantine_and_a_changed_incumbent_begin_the_sums_anew(
    service: ShadowedService, writer: Writer
) -> None:
    part = begin(service, writer, OTHER)
    start_us = service.clock_us
    serve(service, writer, part, range(20), by_offer)
    middle_us = service.clock_us
    serve(service, writer, part, range(20, 40), by_offer)
    service.run_for(WINDOW_S + 2)
    service.steer(writer, Quarantine("", start_us, middle_us, "", "", AUDIT))
    service.run_for(WINDOW_S)
    service.learner.close()
    assert service.saved("other").learned_count == 20
    assert service.saved("other").judged_count == 20
    assert rebuilt_shadows(service) == [True]

    service.start()
    service.apply(writer, stored(2, catalog(shadowed(OTHER, policy=LINEAR.policy))))
    service.run_for(WINDOW_S)
    service.learner.close()
    assert service.saved("other").judged_count == 0
    assert service.saved("other").learned_count == 20
    assert rebuilt_shadows(service) == [True]


def test_a_shadow_that_is_no_longer_declared_leaves_no_file(service: ShadowedService, writer: Writer) -> None:
    part = begin(service, writer, OTHER)
    serve(service, writer, part, range(10), by_offer)
    service.run_for(WINDOW_S + 2)
    service.learner.close()
    service.start()
    service.apply(writer, stored(2, catalog(placement())))
    service.run_for(1.0)
    assert service.store.names() == []


@pytest.fixture
def small_slices() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "SLICE", 1)
        patch.setattr(models, "SLICES", 1)
        yield


@pytest.mark.usefixtures("small_slices")
def test_a_promotion_takes_the_shadows_model_over_and_it_is_the_one_that_training_anew_makes(
    service: ShadowedService, writer: Writer
) -> None:
    """With one lesson a round for training anew, only a model that was handed over can be there at once."""
    part = begin(service, writer, OTHER)
    serve(service, writer, part, range(50), by_offer)
    service.run_for(WINDOW_S + 2)
    epoch = epoch_of(part.model_copy(update={"policy": OTHER.policy}))
    service.steer(writer, Promotion(PLACEMENT, epoch.id, epoch.description, 0, 0, False, AUDIT))
    service.run_for(0.1)
    service.run_for(0.1)
    assert current(service, epoch.id).learned_count == 50
    assert check(service) == [True, True]


def test_a_gate_promotes_a_shadow_that_gains_puts_it_in_force_and_once(
    service: ShadowedService, writer: Writer
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadows, "SAVE_LESSONS", 200)
        part = begin(service, writer, gated(OTHER))
        for start in range(0, 1500, 250):
            serve(service, writer, part, range(start, start + 250), by_offer, visitors=450)
            service.run_for(WINDOW_S + 2)
        for _ in range(20):
            service.run_for(0.5)
    assert service.swapped == [(PLACEMENT, "other")]
    promotions = [record for record in service.ledger.records() if record.kind is RecordKind.PROMOTION]
    body = promotions[-1].body()
    assert isinstance(body, Promotion)
    assert body.audit.actor == "gate"
    assert "confidence" in body.audit.reason
    fold = service.learner.fold
    assert fold.revisions.catalog(fold.revisions.newest).placement_by_id[PLACEMENT].policy == OTHER.policy
    assert {name for _, name in fold.shadows.in_force} == {"previous"}
    assert len(promotions) == 1
    assert check(service) == [True, True]

    # Going back is applying the catalog of before: the gate begins anew, and does not act at once.
    service.apply(writer, stored(3, catalog(part)))
    for _ in range(5):
        service.run_for(1.0)
    assert service.swapped == [(PLACEMENT, "other")]


def test_a_shadow_that_lags_is_thinned_by_a_record_and_stays_right(
    service: ShadowedService, writer: Writer
) -> None:
    part = begin(service, writer, OTHER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadows, "STEP_LESSONS", 0)  # nothing is taught: it can't keep up
        for number in range(20):
            serve(service, writer, part, range(number, number + 1), by_offer)
            service.run_for(10.0)
    shares = [
        body.share for record in service.ledger.records() if isinstance(body := record.body(), ShadowPolicy)
    ]
    assert shares[:2] == [1.0, 0.5]
    serve(service, writer, part, range(300, 500), by_offer)
    service.run_for(2 * WINDOW_S)
    service.learner.close()
    assert service.saved("other").judged_count < 200
    assert rebuilt_shadows(service) == [True]


def test_a_shadow_answers_before_it_learns_what_it_is_judged_by(
    service: ShadowedService, writer: Writer
) -> None:
    """By hand, from the decisions alone: learning first would give other probabilities."""
    judges: list[ListeningJudge] = []

    def listen(state: bytes) -> ListeningJudge:
        judges.append(ListeningJudge(state))
        return judges[-1]

    service.shadows.make_judge = listen
    service.learner.restart()
    part = begin(service, writer, OTHER)
    serve(service, writer, part, range(60), by_offer)
    service.run_for(WINDOW_S + 2)
    heard = judges[-1].heard
    assert len(heard) == 60
    policy = registry.create(OTHER.policy.name, OTHER.policy.options, ())
    moved = 0
    for judged in heard:
        slot, context = judged.decision.slots[0], judged.decision.context
        assert policy.pmf(context, judged.actions).tolist() == judged.pmf.tolist()
        reward = (judged.reward - part.reward.min) / (part.reward.max - part.reward.min)
        policy.learn(Example(context, judged.actions, slot.chosen, slot.propensity, reward))
        moved += policy.pmf(context, judged.actions).tolist() != judged.pmf.tolist()
    policy.close()
    assert moved > 30


def test_an_erasure_has_shadows_begin_anew_in_their_files_too(
    service: ShadowedService, writer: Writer
) -> None:
    part = begin(service, writer, OTHER)
    serve(service, writer, part, range(30), by_offer)
    service.run_for(WINDOW_S + 2)
    service.learner.close()
    assert service.saved("other").taken_position == 0
    fold = service.start().fold
    with transaction(service.ledger.connection):
        fold.apply(service.ledger.append_body(Erasure(0, b"", 1, AUDIT)))
        fold.save_state()
    position = fold.position
    service.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadows, "STEP_LESSONS", 0)
        service.run_for(0.1)
    assert service.saved("other").taken_position == position
    assert service.saved("other").judged_count == 0
    service.run_for(1.0)
    service.learner.close()
    assert service.saved("other").judged_count == 30
    assert rebuilt_shadows(service) == [True]
