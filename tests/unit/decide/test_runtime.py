"""The decision path: what is served, what is recorded, and what happens when something is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from offer_optimizer.core import draw
from offer_optimizer.core.catalog import Offer, OfferStatus, OfferType
from offer_optimizer.core.decision import Consent, Pmf64, Reason
from offer_optimizer.core.errors import PolicyFault, StorageUnavailable, UnknownPlacement
from offer_optimizer.core.features import EMPTY
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.decide.draft import Drafter
from offer_optimizer.decide.intake import Intake
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.decide.requests import FeedbackInput
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.memory_cache import MemoryCache
from tests.unit.decide.rooms import (
    HOLDOUT_SALT,
    NOW_US,
    OFFERS,
    SALT,
    VW,
    MemoryJournal,
    Room,
    ask,
    revision_of,
)


def test_the_reply_is_what_was_recorded() -> None:
    room = Room(revision_of(policy=VW))
    outcome = room.runtime.decide(ask(deferred=True))
    decision, digest = room.journal.kept[0]
    (slot,), (shown,) = decision.slots, outcome.slots
    assert outcome.decision_id == decision.decision_id
    assert shown.offer_id == OFFERS[decision.eligible()[slot.chosen]].id
    assert shown.propensity == slot.propensity
    assert outcome.model_version == decision.model_version
    assert (decision.reason, decision.deferred, decision.decide_time_us) == (Reason.MODEL, True, NOW_US)
    assert (decision.catalog_revision, decision.candidates, decision.draw_salt_id) == (1, (0, 1, 2), 7)
    assert digest == b"digest of ann"


def test_the_choice_is_the_draw_from_the_stored_pmf_and_from_nothing_else() -> None:
    """Salt, placement, decision id and the stored float32 values: any reader repeats it."""
    room = Room(revision_of(policy=VW, ramp=0.7, floor=0.1, baseline=("msg",)))
    for _ in range(200):
        room.runtime.decide(ask())
        (slot,) = room.last.slots
        u = draw.uniform(SALT.salt, "home", room.last.decision_id, 0)
        assert (slot.chosen, slot.propensity) == draw.pick(slot.pmf, u)
        assert slot.pmf.dtype == np.float32


def test_the_same_inputs_give_the_same_bytes_and_another_entropy_another_id() -> None:
    def record(seed: str) -> bytes:
        room = Room(revision_of(policy=VW), seed)
        room.runtime.decide(ask())
        return encode_decision(room.last)

    assert record("a") == record("a") != record("b")


@pytest.mark.parametrize("asked", [Consent.NONE, Consent.UNSPECIFIED])
def test_without_consent_the_baseline_is_served_and_nothing_of_the_visitor_is_kept(asked: Consent) -> None:
    room = Room(revision_of(baseline=("save5",), consent_default="NONE"))
    outcome = room.runtime.decide(ask(consent=asked))
    decision, digest = room.journal.kept[0]
    assert [(slot.offer_id, slot.propensity) for slot in outcome.slots] == [("save5", 1.0)]
    assert (decision.reason, decision.consent, decision.context, digest) == (
        Reason.NO_CONSENT,
        Consent.NONE,
        EMPTY,
        b"",
    )
    assert not decision.is_learnable()


def test_serve_only_is_drawn_from_the_model_and_not_learned() -> None:
    room = Room(revision_of(policy=VW))
    room.runtime.decide(ask(consent=Consent.SERVE_ONLY))
    assert room.last.reason is Reason.MODEL
    assert not room.last.is_learnable()


def test_the_callers_consent_goes_before_the_placements_default() -> None:
    room = Room(revision_of(consent_default="NONE"))
    room.runtime.decide(ask(consent=Consent.FULL))
    assert room.last.is_learnable()


def test_a_visitor_without_an_id_has_no_digest() -> None:
    room = Room()
    room.runtime.decide(ask(visitor_id=""))
    assert room.journal.kept[0][1] == b""


def test_ramp_and_floor_at_zero_are_the_pure_baseline() -> None:
    room = Room(revision_of(ramp=0.0, floor=0.0, baseline=("save5",)))
    outcome = room.runtime.decide(ask())
    assert (outcome.reason, outcome.slots[0].offer_id, outcome.slots[0].payload) == (
        Reason.BASELINE,
        "save5",
        "five",
    )
    assert not room.last.is_learnable()


def test_at_ramp_zero_a_floor_still_explores_and_is_learned() -> None:
    room = Room(revision_of(ramp=0.0, floor=0.3, baseline=("save5",), policy=VW))
    room.runtime.decide(ask())
    np.testing.assert_allclose(room.last.slots[0].pmf, [0.1, 0.8, 0.1], atol=1e-5)
    assert room.last.is_learnable()


def test_below_full_ramp_the_models_own_pmf_is_kept_beside() -> None:
    room = Room(revision_of(ramp=0.5, baseline=("msg",)))
    room.runtime.decide(ask())
    assert room.last.model_pmf is not None
    np.testing.assert_allclose(room.last.model_pmf, [1 / 3] * 3, rtol=1e-6)
    full = Room(revision_of(ramp=1.0, baseline=("msg",)))
    full.runtime.decide(ask())
    assert full.last.model_pmf is None


def test_without_a_model_the_baseline_is_served_and_the_reason_says_so() -> None:
    room = Room(revision_of(baseline=("save5",)))
    runtime = replace(room.runtime, drafter=Drafter(ModelShelf(room.shelves), HOLDOUT_SALT))
    outcome = runtime.decide(ask())
    assert (outcome.reason, outcome.slots[0].offer_id, outcome.model_version) == (
        Reason.MODEL_UNAVAILABLE,
        "save5",
        None,
    )
    assert not room.last.is_learnable()


def test_a_model_that_answers_no_distribution_does_not_break_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = Room(revision_of(baseline=("save5",)))

    def fault(*_: object) -> Pmf64:
        raise PolicyFault("made to fail")

    served = room.shelf.get("home", room.catalog.placements["home"].epoch.id)
    assert served is not None
    monkeypatch.setattr(served.policy, "pmf", fault, raising=True)
    assert room.runtime.decide(ask()).reason is Reason.MODEL_UNAVAILABLE


def test_what_can_not_be_recorded_is_answered_with_the_baseline_and_no_id() -> None:
    room = Room(revision_of(baseline=("save5",)))
    room.journal.fails = True
    outcome = room.runtime.decide(ask())
    assert (outcome.decision_id, outcome.reason, outcome.model_version) == (None, Reason.UNRECORDED, None)
    assert [slot.offer_id for slot in outcome.slots] == ["save5"]


def test_when_even_stamping_fails_the_page_gets_the_baseline() -> None:
    class NoStamp(MemoryJournal):
        def stamp(self) -> object:  # type: ignore[override]
            raise StorageUnavailable("no cell is free")

    room = Room(revision_of(baseline=("save5",)))
    runtime: Runtime = replace(room.runtime, journal=NoStamp())  # type: ignore[arg-type]
    assert runtime.decide(ask()).reason is Reason.UNRECORDED


def offers_that_are(*statuses: OfferStatus) -> tuple[Offer, ...]:
    return tuple(
        Offer(id=f"o{number}", type=OfferType.MESSAGE, status=status)
        for number, status in enumerate(statuses)
    )


def test_offers_that_are_not_live_are_excluded_with_their_reason() -> None:
    live, paused = OfferStatus.LIVE, OfferStatus.PAUSED
    room = Room(revision_of(offers=offers_that_are(paused, live, OfferStatus.DRAFT, live)))
    outcome = room.runtime.decide(ask())
    assert (room.last.candidates, room.last.excluded, room.last.exclusion_reasons) == (
        (0, 1, 2, 3),
        (0, 2),
        (1, 1),
    )
    assert room.last.eligible() == (1, 3)
    assert outcome.slots[0].offer_id in ("o1", "o3")
    assert len(room.last.slots[0].pmf) == 2


def test_without_an_eligible_offer_the_reply_has_no_slot_and_is_recorded_unlearned() -> None:
    room = Room(revision_of(offers=offers_that_are(OfferStatus.PAUSED, OfferStatus.RETIRED)))
    outcome = room.runtime.decide(ask())
    assert (outcome.slots, outcome.reason) == ((), Reason.NO_ELIGIBLE_OFFER)
    assert outcome.decision_id == room.last.decision_id
    assert (room.last.slots, room.last.is_learnable()) == ((), False)


@pytest.mark.parametrize(
    ("baseline", "statuses", "position"),
    [
        (("o1", "o0"), "LL", 1),
        (("o1", "o0"), "LP", 0),
        (("o2",), "PLL", 1),
        ((), "LL", None),
        (("o0",), "PL", None),
    ],
)
def test_the_baseline_is_the_first_listed_that_is_eligible(
    baseline: tuple[str, ...], statuses: str, position: int | None
) -> None:
    """As a position among the eligible; without one the model takes the baseline's share."""
    status = {"L": OfferStatus.LIVE, "P": OfferStatus.PAUSED}
    room = Room(
        revision_of(offers=offers_that_are(*(status[s] for s in statuses)), baseline=baseline, ramp=0.25)
    )
    room.runtime.decide(ask())
    assert room.last.baseline == position
    assert room.last.ramp == (1.0 if position is None else 0.25)


def test_an_offer_that_shows_nothing_is_the_last_resort_of_the_baseline() -> None:
    room = Room(revision_of(baseline=()))
    room.runtime.decide(ask())
    assert room.last.baseline == 2


def test_no_baseline_and_no_consent_shows_nothing() -> None:
    room = Room(revision_of(offers=offers_that_are(OfferStatus.LIVE)))
    outcome = room.runtime.decide(ask(consent=Consent.NONE))
    assert outcome.slots == ()
    assert not room.last.is_learnable()
    room.journal.fails = True
    assert room.runtime.decide(ask()).slots == ()


def test_an_unknown_placement_is_refused_by_name_and_not_recorded() -> None:
    room = Room()
    with pytest.raises(UnknownPlacement, match="'cellar' is not in the catalog"):
        room.runtime.decide(ask(placement_id="cellar"))
    assert room.journal.kept == []


class MemoryInbox(MemoryJournal):
    """Keeps batches of feedback."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[tuple[bytes, Feedback]]] = []

    def append_durable(self, items: Sequence[tuple[bytes, Feedback]]) -> None:
        """See FeedbackInbox."""
        assert self.is_stamping
        self.batches.append(list(items))


def test_feedback_is_stamped_inside_and_only_addressed_by_visitor_with_a_digest() -> None:
    inbox = MemoryInbox()
    intake = Intake(
        inbox,
        MemoryCache(),
        lambda visitor_id: b"digest of " + visitor_id.encode(),
        lambda _revision: None,
        lambda: False,
    )
    by_decision = FeedbackInput("a", b"d" * 16, "", "", 0, "click", 1.0, None)
    by_visitor = FeedbackInput("b", b"", "ann", "home", 0, "click", 2.0, 5, "a", "shop")
    intake.record([by_decision, by_visitor])
    intake.record([])
    assert inbox.batches == [
        [
            (b"", Feedback("a", b"d" * 16, "", 0, "click", 1.0, NOW_US)),
            (b"digest of ann", Feedback("b", b"", "home", 0, "click", 2.0, NOW_US, 5, "a", "shop")),
        ]
    ]
