"""A draft: everything about a decision but the draw. Computed outside of any lock."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from offer_optimizer.core import draw
from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.decision import Consent, Decision, ModelVersion, Pmf32, Reason, SlotChoice
from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.decide.asked import Asked
from offer_optimizer.decide.counters import Counters
from offer_optimizer.decide.funnel import Funnel
from offer_optimizer.decide.mix import certain, mix
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.decide.requests import ShownSlot
from offer_optimizer.store.codec import Salt


@checked_dataclass(frozen=True, slots=True)
class Served:
    """The distribution: `pmf` runs parallel to the eligible; None where nothing can be shown."""

    pmf: Pmf32 | None
    reason: Reason
    version: ModelVersion | None = None
    model_pmf: Pmf32 | None = None


_NOTHING: Final = Served(None, Reason.NO_ELIGIBLE_OFFER)


@checked_dataclass(frozen=True, slots=True)
class Draft:
    """What will be drawn from, and how it came about."""

    funnel: Funnel
    counters: Counters | None
    served: Served
    ramp: float
    holdout_u: float | None
    is_held_out: bool


class Drafter:
    """Makes drafts with the models in service."""

    def __init__(self, models: ModelShelf, holdout_salt: Salt) -> None:
        self._models = models
        self._holdout_salt = holdout_salt

    def draft(self, asked: Asked, counters: Counters | None, now_us: int) -> Draft:
        """Derive the eligible and the distribution over them."""
        return self._with_funnel(asked, asked.funnel(counters, now_us), counters)

    def redraft(self, asked: Asked, draft: Draft, counters: Counters, now_us: int) -> Draft:
        """Derive the eligible again with newer counters; the pmf is computed again only if they changed."""
        funnel = asked.funnel(counters, now_us)
        if funnel.excluded != draft.funnel.excluded:
            return self._with_funnel(asked, funnel, counters)
        return replace(draft, funnel=funnel, counters=counters)

    def _with_funnel(self, asked: Asked, funnel: Funnel, counters: Counters | None) -> Draft:
        own = asked.placement
        # Without a baseline offer its share has nowhere to go but to the model.
        ramp = own.placement.ramp if funnel.baseline is not None else 1.0
        number = own.holdout.number(self._holdout_salt.salt, asked.digest) if own.holdout.share else None
        held_out = number is not None and number < own.holdout.share
        served = self._serve(asked, funnel, ramp, held_out=held_out)
        return Draft(funnel, counters, served, ramp, number, held_out)

    def _serve(self, asked: Asked, funnel: Funnel, ramp: float, *, held_out: bool) -> Served:
        count = len(funnel.eligible)
        baseline = funnel.baseline
        floor = asked.placement.placement.floor
        if count == 0:
            return _NOTHING
        pure = _pure_reason(asked.consent, held_out=held_out, is_baseline=ramp == 0.0 and floor == 0.0)
        if pure is not None:
            return _baseline(baseline, count, pure)
        model = self._models.get(asked.placement.placement.id, asked.placement.epoch.id)
        try:
            if model is None:
                raise PolicyFault("no usable model is loaded")
            pmf = model.policy.pmf(asked.context, funnel.actions)
        except PolicyFault:
            return _baseline(baseline, count, Reason.MODEL_UNAVAILABLE)
        kept = pmf.astype(np.float32) if ramp < 1.0 else None
        return Served(mix(pmf, baseline, count, ramp, floor), Reason.MODEL, model.version, kept)


def draw_from(asked: Asked, draft: Draft, decision_id: bytes, time_us: int, salt: Salt) -> Decision:
    """Draw once, and return the decision as it is recorded."""
    slots: tuple[SlotChoice, ...] = ()
    served = draft.served
    if served.pmf is not None:
        u = draw.uniform(salt.salt, asked.placement.placement.id, decision_id, 0)
        slots = (SlotChoice(served.pmf, *draw.pick(served.pmf, u)),)
    counters = draft.counters
    left_out = asked.request.exclude_offer_ids
    # The first by place, in the order of the fields: looking up 26 keywords takes longer than the rest.
    return Decision(
        decision_id,
        time_us,
        asked.prepared.revision,
        asked.placement.placement.id,
        asked.plan.indices,
        draft.funnel.excluded,
        draft.funnel.reasons,
        slots,
        asked.context,
        served.version,
        served.reason,
        deferred=asked.request.deferred,
        holdout=draft.is_held_out,
        ramp=draft.ramp,
        floor=asked.placement.placement.floor,
        baseline=draft.funnel.baseline,
        draw_salt_id=salt.salt_id,
        consent=asked.consent,
        model_pmf=served.model_pmf,
        holdout_u=draft.holdout_u,
        cap_counts=tuple(zip(counters.caps, counters.counts, strict=True)) if counters else (),
        budget_spent=tuple(counters.spent.items()) if counters else (),
        inline=asked.request.candidates,
        excluded_by_caller=tuple(
            candidate.offer_id for candidate in asked.plan.candidates if candidate.offer_id in left_out
        )
        if left_out
        else (),
        request_digest=asked.digests[0],
        body_digest=asked.digests[1],
    )


def shown_slots(draft: Draft, decision: Decision) -> tuple[ShownSlot, ...]:
    """Return the slots of the reply."""
    shown = []
    for slot in decision.slots:
        offer = draft.funnel.eligible[slot.chosen]
        shown.append(ShownSlot(offer.offer_id, slot.propensity, offer.payload))
    return tuple(shown)


def _pure_reason(consent: Consent, *, held_out: bool, is_baseline: bool) -> Reason | None:
    """Return why the baseline is certain, or None where the model has a part."""
    if consent is Consent.NONE:
        return Reason.NO_CONSENT
    if held_out:
        return Reason.HOLDOUT
    return Reason.BASELINE if is_baseline else None


def _baseline(position: int | None, count: int, reason: Reason) -> Served:
    return _NOTHING if position is None else Served(certain(position, count), reason)
