"""The decision path: candidates, eligible, policy pmf, mix and floor, draw, journal, reply.

Never waits on learning or on an fsync. The pmf that is logged is the one that was drawn from, and the draw
happens once. What can't be recorded is answered with the baseline and without a decision_id.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from offer_optimizer.core import draw, ids
from offer_optimizer.core.decision import Consent, Decision, ModelVersion, Pmf32, Reason, SlotChoice
from offer_optimizer.core.errors import PolicyFault, StorageUnavailable, UnknownPlacement
from offer_optimizer.core.features import EMPTY, Features, show
from offer_optimizer.decide.mix import certain, mix
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.decide.prepared import PreparedCatalog, PreparedPlacement
from offer_optimizer.decide.requests import DecideInput, Outcome, ShownSlot
from offer_optimizer.store.codec import Salt


class DecisionJournal(Protocol):
    """Where decisions are recorded."""

    def stamp(self) -> AbstractContextManager[int]:
        """Return a context whose value is the decide time (microseconds) of what is appended inside."""
        ...

    def append(self, decision: Decision, visitor_digest: bytes) -> None:
        """Write a decision so that it survives the death of this process. Raises StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class _Choice:
    """What was served, before it is recorded."""

    pmf: Pmf32
    reason: Reason
    version: ModelVersion | None
    model_pmf: Pmf32 | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """Decides. All of its fields are inputs; it keeps no state of its own."""

    catalog: Callable[[], PreparedCatalog]
    models: ModelShelf
    journal: DecisionJournal
    digest: Callable[[str], bytes]
    entropy: Callable[[int], bytes]
    salt: Salt

    def decide(self, request: DecideInput) -> Outcome:
        """Choose, record and return. Raises UnknownPlacement."""
        catalog = self.catalog()
        placement = catalog.placements.get(request.placement_id)
        if placement is None:
            raise UnknownPlacement("placement", f"{show(request.placement_id)} is not in the catalog")
        consent = placement.consent_default if request.consent is Consent.UNSPECIFIED else request.consent
        context = EMPTY if consent is Consent.NONE else request.context
        digest = b"" if consent is Consent.NONE or not request.visitor_id else self.digest(request.visitor_id)
        try:
            with self.journal.stamp() as time_us:
                decision = self._decide(
                    catalog.revision, placement, context, consent, request.deferred, time_us
                )
                self.journal.append(decision, digest)
        except StorageUnavailable:
            return _unrecorded(placement)
        slots = tuple(_shown(placement, slot) for slot in decision.slots)
        return Outcome(decision.decision_id, slots, decision.reason, decision.model_version)

    def _decide(
        self,
        revision: int,
        placement: PreparedPlacement,
        context: Features,
        consent: Consent,
        deferred: bool,  # noqa: FBT001  (a field of the request)
        time_us: int,
    ) -> Decision:
        decision_id = ids.make_decision_id(time_us, self.entropy(ids.ENTROPY_BYTES))
        choice = self._serve(placement, context, consent)
        slots: tuple[SlotChoice, ...] = ()
        if choice is not None:
            u = draw.uniform(self.salt.salt, placement.placement.id, decision_id, 0)
            slots = (SlotChoice(choice.pmf, *draw.pick(choice.pmf, u)),)
        return Decision(
            decision_id=decision_id,
            decide_time_us=time_us,
            catalog_revision=revision,
            placement_id=placement.placement.id,
            candidates=placement.candidates,
            excluded=placement.excluded,
            exclusion_reasons=placement.exclusion_reasons,
            slots=slots,
            context=context,
            model_version=choice.version if choice else None,
            reason=choice.reason if choice else Reason.NO_ELIGIBLE_OFFER,
            deferred=deferred,
            holdout=False,
            ramp=placement.ramp,
            floor=placement.floor,
            baseline=placement.baseline,
            draw_salt_id=self.salt.salt_id,
            consent=consent,
            model_pmf=choice.model_pmf if choice else None,
        )

    def _serve(self, placement: PreparedPlacement, context: Features, consent: Consent) -> _Choice | None:
        if not placement.eligible:
            return None
        if consent is Consent.NONE:
            return _baseline(placement, Reason.NO_CONSENT)
        if placement.ramp == 0.0 and placement.floor == 0.0:
            return _baseline(placement, Reason.BASELINE)
        model = self.models.get(placement.placement.id, placement.epoch.id)
        if model is None:
            return _baseline(placement, Reason.MODEL_UNAVAILABLE)
        try:
            pmf = model.policy.pmf(context, placement.actions)
        except PolicyFault:
            return _baseline(placement, Reason.MODEL_UNAVAILABLE)
        served = mix(pmf, placement.baseline, len(placement.eligible), placement.ramp, placement.floor)
        kept = pmf.astype(np.float32) if placement.ramp < 1.0 else None
        return _Choice(served, Reason.MODEL, model.version, kept)


def _baseline(placement: PreparedPlacement, reason: Reason) -> _Choice | None:
    if placement.baseline is None:
        return None
    return _Choice(certain(placement.baseline, len(placement.eligible)), reason, None)


def _shown(placement: PreparedPlacement, slot: SlotChoice) -> ShownSlot:
    return ShownSlot(placement.actions[slot.chosen].id, slot.propensity, placement.payloads[slot.chosen])


def _unrecorded(placement: PreparedPlacement) -> Outcome:
    position = placement.baseline
    slots = (
        ()
        if position is None
        else (ShownSlot(placement.actions[position].id, 1.0, placement.payloads[position]),)
    )
    return Outcome(None, slots, Reason.UNRECORDED, None)
