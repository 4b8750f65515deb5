"""The decision path, broken on purpose in the ways that matter, is caught by verify each time.

Seeded. The statistical checks of verify raise a false alarm with probability 4e-4 a ledger in all; each
mutation has to be caught by the check that is named, so an accident can't pass for a catch.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offer_optimizer.core import draw
from offer_optimizer.core.catalog import PolicyChoice
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    ExclusionReason,
    InlineCandidate,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import Features
from offer_optimizer.decide import draft as draft_module
from offer_optimizer.decide import funnel as funnel_module
from offer_optimizer.decide import runtime as runtime_module
from offer_optimizer.decide.asked import Asked
from offer_optimizer.decide.draft import Draft, Drafter
from offer_optimizer.decide.mix import mix
from offer_optimizer.decide.requests import DecideInput
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.evaluate.verify import Verification
from offer_optimizer.evaluate.verify_findings import Check
from offer_optimizer.policy.contract import Action
from offer_optimizer.store.codec import Salt
from offer_optimizer.store.hot_cache import CacheTransaction
from tests.conftest import Size
from tests.statistical.mutated_world import CATALOG, OFFERS, MutatedWorld, TiltedPolicy
from tests.unit.evaluate import verify_world

Patch = pytest.MonkeyPatch
DrawFrom = Callable[[Asked, Draft, bytes, int, Salt], Decision]
NAME = "draw_from"


def verified(count: int) -> Verification:
    """Decide so often, with whatever is broken, and verify the ledger."""
    world = MutatedWorld()
    world.decide(count)
    return world.verify()


def after_drawing(patch: Patch, change: Callable[[Decision, Salt], Decision]) -> None:
    """Let something be done to every decision between its draw and its record."""
    original: DrawFrom = draft_module.draw_from

    def draw_from(asked: Asked, draft: Draft, decision_id: bytes, time_us: int, salt: Salt) -> Decision:
        return change(original(asked, draft, decision_id, time_us, salt), salt)

    patch.setattr(runtime_module, NAME, draw_from)


def actions(indices: Sequence[int]) -> list[Action]:
    """Return offers as policies see them."""
    return [Action(OFFERS[index].id, OFFERS[index].attributes) for index in indices]


def propensity_before_masking(patch: Patch) -> None:
    """Draw among the eligible, and log the probability among all candidates."""

    def change(decision: Decision, salt: Salt) -> Decision:
        if not decision.slots or decision.reason is not Reason.MODEL:
            return decision
        whole = TiltedPolicy().pmf(decision.context, actions(decision.candidates))
        place = decision.candidates.index(decision.eligible()[decision.slots[0].chosen])
        return replace(decision, slots=(replace(decision.slots[0], propensity=float(whole[place])),))

    after_drawing(patch, change)


def floor_not_logged(patch: Patch) -> None:
    """Draw from the floored pmf, and log the one without the floor."""

    def change(decision: Decision, salt: Salt) -> Decision:
        if not decision.slots or decision.reason is not Reason.MODEL:
            return decision
        model = TiltedPolicy().pmf(decision.context, actions(decision.eligible()))
        bare = mix(model, decision.baseline, len(model), decision.ramp, 0.0)
        chosen = decision.slots[0].chosen
        total = float(np.cumsum(bare.astype(np.float64))[-1])
        return replace(decision, slots=(SlotChoice(bare, chosen, float(bare[chosen]) / total),))

    after_drawing(patch, change)


def is_capped(decision: Decision, index: int) -> bool:
    """Return whether a count that was read has reached the limit of a cap on an offer."""
    caps = [(CATALOG.caps[cap], count) for cap, count in decision.cap_counts]
    return any(count >= cap.limit and OFFERS[index].id in cap.offers for cap, count in caps)


def redraw_after_a_cap(patch: Patch) -> None:
    """Let caps mask nothing: who draws a capped offer draws again, and the first pmf is logged."""
    patch.setattr(funnel_module.FunnelPlan, "_by_limits", lambda *_: (0, 0, 0, 0))

    def change(decision: Decision, salt: Salt) -> Decision:
        if not decision.slots:
            return decision
        slot, eligible = decision.slots[0], decision.eligible()
        for attempt in range(1, 50):
            if not is_capped(decision, eligible[slot.chosen]):
                break
            u = draw.uniform(salt.salt, decision.placement_id, decision.decision_id, attempt)
            slot = SlotChoice(slot.pmf, *draw.pick(slot.pmf, u))
        return replace(decision, slots=(slot,))

    after_drawing(patch, change)


def redraw_under_a_new_id(patch: Patch) -> None:
    """Caps mask as they should, but who draws nothing draws once more, under another id.

    Every record is right by itself: only many of them can tell.
    """
    original = Runtime._draw

    def twice(self: Runtime, asked: Asked, draft: Draft, time_us: int) -> Decision:
        decision = original(self, asked, draft, time_us)
        if decision.slots and draft.funnel.eligible[decision.slots[0].chosen].offer_id == "nothing":
            return original(self, asked, draft, time_us)
        return decision

    patch.setattr(Runtime, "_draw", twice)


def cap_counted_twice(patch: Patch) -> None:
    """Each use is counted under two decision ids."""
    original = Runtime._count

    def twice(
        self: Runtime, asked: Asked, draft: Draft, decision: Decision, transaction: CacheTransaction
    ) -> None:
        original(self, asked, draft, decision, transaction)
        other = replace(decision, decision_id=decision.decision_id[::-1])
        original(self, asked, draft, replace(other, decide_time_us=other.decide_time_us + 1), transaction)

    patch.setattr(Runtime, "_count", twice)


def cap_not_counted(patch: Patch) -> None:
    """Nothing is ever counted, so nothing is ever capped."""
    patch.setattr(Runtime, "_count", lambda *_: None)


def holdout_learned(patch: Patch) -> None:
    """Visitors of the holdout count as examples."""
    patch.setattr(Decision, "is_learnable", lambda self: bool(self.slots))


def model_in_the_holdout(patch: Patch) -> None:
    """Compute and log the holdout, and then serve it by the model."""
    original = Drafter._serve

    def serve(self: Drafter, *args: Any, held_out: bool) -> Any:  # noqa: ANN401  (whatever it takes)
        return original(self, *args, held_out=False)

    patch.setattr(Drafter, "_serve", serve)


def another_ramp(patch: Patch) -> None:
    """Half of the ramp is served, all of it is logged."""
    original = mix

    def halved(model: Any, baseline: Any, count: int, ramp: float, floor: float) -> Any:  # noqa: ANN401
        return original(model, baseline, count, ramp / 2.0 if ramp < 1.0 else ramp, floor)

    patch.setattr(draft_module, "mix", halved)


def limits_before_rules(patch: Patch) -> None:
    """Exclude in another order of reasons."""

    def change(decision: Decision, salt: Salt) -> Decision:
        offers = [decision.candidates[place] for place in decision.excluded]
        reasons = tuple(
            int(ExclusionReason.CAPPED) if is_capped(decision, offer) else reason
            for offer, reason in zip(offers, decision.exclusion_reasons, strict=True)
        )
        return replace(decision, exclusion_reasons=reasons)

    after_drawing(patch, change)


MUTATIONS: dict[Callable[[Patch], None], set[Check]] = {
    propensity_before_masking: {Check.PROPENSITY},
    floor_not_logged: {Check.MIX, Check.FLOOR, Check.DRAW},
    redraw_after_a_cap: {Check.EXCLUSIONS, Check.DRAW},
    redraw_under_a_new_id: {Check.INVERSE_PROPENSITY, Check.CHOICES},
    cap_counted_twice: {Check.RECOUNT},
    cap_not_counted: {Check.RECOUNT},
    holdout_learned: {Check.LEARNED},
    model_in_the_holdout: {Check.HOLDOUT},
    another_ramp: {Check.MIX},
    limits_before_rules: {Check.EXCLUSIONS},
}


def test_the_path_as_it_is_is_clean(size: Size) -> None:
    found = verified(size.pick(test=3_000, ci=20_000, proof=100_000))
    assert [str(finding) for finding in found.findings] == []
    unjudged = {check for check, count in found.judged.items() if not count}
    assert unjudged == {Check.ACTIVATION}


def any_request(chance: random.Random) -> DecideInput:
    """Return a request of any kind at the catalog that has an offer for every reason."""
    names = dict([chance.choice([("a", "b"), ("bot", "yes"), ("partner", "ours"), ("partner", "x")])])
    tier = {"tier": chance.choice(["gold", "silver"])} if chance.random() < 0.9 else {}
    context = Features(
        categories=tuple(sorted((names | tier).items())),
        numbers=(("cart", chance.choice([10.0, 80.0])),) if chance.random() < 0.9 else (),
    )
    inline: tuple[InlineCandidate, ...] = ()
    if chance.random() < 0.1:
        attributes = Features(
            numbers=(("cost", chance.choice([1.0, 50.0])), ("size", chance.choice([1.0, 9.0])))
        )
        ids = chance.sample(["msg", "save5", "daily", "nothing", "paused", "new1", "new2"], 3)
        inline = tuple(InlineCandidate(offer_id, attributes) for offer_id in ids)
    return DecideInput(
        chance.choice(["home", "home", "plain", "bare", "pure"]),
        chance.choice(["", *(f"visitor{number}" for number in range(100))]),
        chance.choice([Consent.UNSPECIFIED, Consent.NONE, Consent.SERVE_ONLY, Consent.FULL]),
        context,
        chance.random() < 0.2,
        inline,
        ("vip",) if chance.random() < 0.1 else (),
    )


def test_verify_and_the_path_agree_over_all_that_a_catalog_can_say(size: Size) -> None:
    """Two derivations from one text: rules of every kind, times, caps, budgets, inline offers, no consent."""
    uniform = PolicyChoice(name="uniform")
    placements = [part.model_copy(update={"policy": uniform}) for part in verify_world.PLACEMENTS]
    catalog = verify_world.CATALOG.model_copy(update={"placements": tuple(placements), "holdout": 0.15})
    world = MutatedWorld(catalog)
    chance = random.Random(3)
    for _ in range(size.pick(test=3_000, ci=20_000, proof=100_000)):
        request = any_request(chance)
        has_memory = bool(request.visitor_id) and request.consent is not Consent.NONE
        with contextlib.ExitStack() as stack:
            if has_memory and chance.random() < 0.03:
                stack.enter_context(world.without_counters())
            world.runtime.decide(request)
    found = world.verify()
    assert [str(finding) for finding in found.findings] == []
    reasons = {reason for decision, _ in world.journal.kept for reason in decision.exclusion_reasons}
    assert set(ExclusionReason) - {ExclusionReason.ENDED, ExclusionReason.BUDGET_PACED} <= reasons


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_mutation_is_caught(
    mutation: Callable[[Patch], None],
    monkeypatch: Patch,
    size: Size,
    figure: Callable[[str], None],
) -> None:
    """What single records tell is told by a few hundred; only the choices need many."""
    mutation(monkeypatch)
    few = 3_000 if Check.CHOICES in MUTATIONS[mutation] else 600
    found = verified(size.pick(test=few, ci=8_000, proof=20_000))
    checks = {finding.check for finding in found.findings}
    assert MUTATIONS[mutation] <= checks, [str(finding) for finding in found.findings]
    figure(f"{mutation.__name__}: caught by {', '.join(sorted(checks))}")
