"""Verify finds nothing in a ledger that is right, and exactly what was made wrong in one that isn't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offer_optimizer.core.decision import Consent, Decision, ExclusionReason, Reason, SlotChoice
from offer_optimizer.core.features import Features
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate.verify_draw import draw_number, mixed, propensity_of, walk
from offer_optimizer.evaluate.verify_findings import Check
from offer_optimizer.store.codec import RecordKind, Tick
from offer_optimizer.store.fold_tables import CloseStatus
from tests.unit.evaluate.verify_world import (
    NOON_US,
    SALT,
    SECOND_US,
    Situation,
    World,
    decide,
    model_pmf,
    redraw,
    situations,
    verified,
    with_inline,
)

Change = Callable[[Decision], Decision]


def test_a_right_ledger_is_clean_and_every_check_judged_something() -> None:
    """Every kind of situation, caps, holdout, pure answers; only activation has nothing to judge."""
    world = World()
    for at in situations(3000, seed=1):
        world.add(decide(at), at.visitor)
    found = world.verify()
    assert [str(finding) for finding in found.findings] == []
    assert found.is_clean()
    assert found.decision_count == 3000
    assert [check for check, count in found.judged.items() if not count] == [Check.ACTIVATION]


def test_every_reason_occurs_in_the_right_ledger() -> None:
    """The right ledger is a test of every exclusion and every reason, so it has to have them."""
    decisions = [decide(at) for at in situations(3000, seed=1)]
    excluded = {reason for decision in decisions for reason in decision.exclusion_reasons}
    assert excluded == set(ExclusionReason)
    assert {decision.reason for decision in decisions} == set(Reason) - {Reason.UNRECORDED}


def test_the_ledger_ends_where_it_ended_and_progress_says_how_far() -> None:
    told: list[tuple[int, int]] = []
    world = World()
    world.add(decide(Situation(1)))
    from offer_optimizer.evaluate.verify import verify

    found = verify(world.ledger, progress=lambda done, total: told.append((done, total)))
    assert told == [(found.ledger_position, found.ledger_position)]


def test_an_empty_ledger_is_clean() -> None:
    found = World().verify()
    assert (found.is_clean(), found.decision_count) == (True, 0)


def test_inline_candidates_are_right() -> None:
    assert verified(with_inline(Situation(1, placement="plain"), 3)).findings == ()


HOME = Situation(11, per_day=551.0)
PLAIN = Situation(12, placement="plain")
HELD = Situation(13, u=0.05)
CAPPED = Situation(14, weekly=2)


def exclude_also(place: int, reason: int) -> Change:
    """Exclude an offer more, and serve what remains rightly."""

    def change(decision: Decision) -> Decision:
        reasons = dict(zip(decision.excluded, decision.exclusion_reasons, strict=True)) | {place: reason}
        return serve_again(with_reasons(decision, reasons))

    return change


def include(place: int) -> Change:
    """Let an excluded offer in, and serve rightly over all that are in."""

    def change(decision: Decision) -> Decision:
        reasons = dict(zip(decision.excluded, decision.exclusion_reasons, strict=True))
        del reasons[place]
        return serve_again(with_reasons(decision, reasons))

    return change


def rename(place: int, reason: ExclusionReason) -> Change:
    """Give an exclusion another reason."""

    def change(decision: Decision) -> Decision:
        reasons = dict(zip(decision.excluded, decision.exclusion_reasons, strict=True)) | {place: int(reason)}
        return with_reasons(decision, reasons)

    return change


def with_reasons(decision: Decision, reasons: dict[int, int]) -> Decision:
    excluded = tuple(sorted(reasons))
    return replace(decision, excluded=excluded, exclusion_reasons=tuple(reasons[place] for place in excluded))


def serve_again(decision: Decision) -> Decision:
    """Serve over the eligible as they are now; at `plain` the baseline is msg, at place 1."""
    eligible = decision.eligible()
    baseline = next((place for place, offer in enumerate(eligible) if offer == 0), len(eligible) - 1)
    model = model_pmf(3, len(eligible))
    ramp = 0.6 if decision.placement_id == "home" else 1.0
    changed = replace(
        decision,
        baseline=baseline,
        ramp=ramp,
        model_pmf=np.array(model, dtype=np.float32) if ramp < 1.0 else None,
    )
    return redraw(changed, mixed(model, baseline, ramp, decision.floor))


def slot(**changes: Any) -> Change:  # noqa: ANN401  (fields of SlotChoice)
    """Change the slot."""
    return lambda decision: replace(decision, slots=(replace(decision.slots[0], **changes),))


def model_of(decision: Decision) -> list[float]:
    assert decision.model_pmf is not None
    return [float(value) for value in decision.model_pmf]


def other_choice(decision: Decision) -> Decision:
    """Choose another eligible offer, with its own propensity: as if drawn a second time."""
    pmf = decision.slots[0].pmf.tolist()
    chosen = (decision.slots[0].chosen + 1) % len(pmf)
    return slot(chosen=chosen, propensity=propensity_of(pmf, chosen))(decision)


def propensity_before_masking(decision: Decision) -> Decision:
    """Log the chosen offer's share of a pmf over all candidates."""
    whole = model_pmf(3, len(decision.candidates), decision.floor)
    return slot(propensity=whole[decision.slots[0].chosen])(decision)


def pmf_before_masking(decision: Decision) -> Decision:
    return redraw(decision, model_pmf(3, len(decision.candidates), decision.floor))


def pmf_without_floor(decision: Decision) -> Decision:
    """At `plain` the ramp is 1: nothing but the bound can tell."""
    return redraw(decision, [0.02, 0.03, 0.95])


def floor_served_but_not_logged(decision: Decision) -> Decision:
    """Draw from the floored pmf, log the one before the floor: this draw tells them apart."""
    logged = np.array([0.97, 0.03, 0.0], dtype=np.float32)
    served = mixed(logged.tolist(), None, 1.0, decision.floor)
    for number in range(1000):
        decision_id = number.to_bytes(16, "big")
        u = draw_number(SALT.salt, decision.placement_id, decision_id, 0)
        chosen = walk(served, u)
        if chosen != walk(logged.tolist(), u):
            choice = SlotChoice(logged, chosen, propensity_of(logged.tolist(), chosen))
            return replace(decision, decision_id=decision_id, slots=(choice,))
    raise AssertionError("no draw tells them apart")


CORRUPTIONS: dict[str, tuple[Situation, Change, set[Check]]] = {
    "a catalog revision that nobody knows": (
        HOME, lambda d: replace(d, catalog_revision=7), {Check.RECORD}),
    "a placement that nobody knows": (HOME, lambda d: replace(d, placement_id="x"), {Check.RECORD}),
    "a salt of another purpose": (HOME, lambda d: replace(d, draw_salt_id=2), {Check.RECORD}),
    "a candidate out of the catalog": (
        HOME, lambda d: replace(d, candidates=(*d.candidates[:-1], 99)), {Check.RECORD}),
    "more exclusions than reasons": (
        HOME, lambda d: replace(d, exclusion_reasons=d.exclusion_reasons[1:]), {Check.RECORD}),
    "an unknown reason": (
        HOME, lambda d: replace(d, exclusion_reasons=(99, *d.exclusion_reasons[1:])), {Check.RECORD}),
    "excluded positions out of order": (
        HOME, lambda d: replace(d, excluded=d.excluded[::-1]), {Check.RECORD}),
    "candidates in another order": (
        PLAIN, lambda d: replace(d, candidates=(8, 0, 7), baseline=1), {Check.CANDIDATES}),
    "a candidate is missing": (
        PLAIN, lambda d: serve_again(replace(d, candidates=(7, 0))), {Check.CANDIDATES}),
    "an eligible offer is excluded": (
        PLAIN, exclude_also(0, ExclusionReason.RULE), {Check.EXCLUSIONS}),
    "a paused offer is let in": (HOME, include(3), {Check.EXCLUSIONS}),
    "an offer is let in before its time": (HOME, include(4), {Check.EXCLUSIONS}),
    "an offer is let in after its time": (HOME, include(5), {Check.EXCLUSIONS}),
    "a rule that fails lets in": (HOME, include(6), {Check.EXCLUSIONS}),
    "a paced budget lets in": (HOME, include(7), {Check.EXCLUSIONS}),
    "a capped offer is let in": (CAPPED, include(0), {Check.EXCLUSIONS}),
    "a spent budget lets in": (Situation(15, coupons=96.0), include(1), {Check.EXCLUSIONS}),
    "an offer below the cart's rule is let in": (Situation(16, cart=50.0), include(1), {Check.EXCLUSIONS}),
    "what the caller left out is let in": (Situation(17, left_out=("vip",)), include(2), {Check.EXCLUSIONS}),
    "a later reason before an earlier one": (
        HOME, rename(3, ExclusionReason.ENDED), {Check.EXCLUSIONS}),
    "CAPPED instead of the rule that comes first": (
        Situation(18, cart=50.0, dismissed=1), rename(1, ExclusionReason.CAPPED), {Check.EXCLUSIONS}),
    "BUDGET_SPENT instead of BUDGET_PACED": (
        HOME, rename(7, ExclusionReason.BUDGET_SPENT), {Check.EXCLUSIONS}),
    "COUNTERS_UNREADY for an offer that nothing limits": (
        Situation(19, placement="plain"), exclude_also(2, ExclusionReason.COUNTERS_UNREADY),
        {Check.EXCLUSIONS}),
    "an excluded offer whose count is below the cap": (
        CAPPED, lambda d: replace(d, cap_counts=((0, 1), (1, 0))), {Check.EXCLUSIONS}),
    "a count that decides is not logged": (
        HOME, lambda d: replace(d, cap_counts=((0, 0),)), {Check.EXCLUSIONS}),
    "a spent value that decides is not logged": (
        PLAIN, lambda d: replace(d, budget_spent=()), {Check.EXCLUSIONS}),
    "the context was another": (
        HOME, lambda d: replace(d, context=Features(numbers=(("cart", 10.0),))), {Check.EXCLUSIONS}),
    "another baseline": (PLAIN, lambda d: replace(d, baseline=0), {Check.BASELINE}),
    "a ramp that is not the catalog's": (HOME, lambda d: replace(d, ramp=0.5), {Check.MIX_SETTINGS}),
    "a floor that is not the catalog's": (HOME, lambda d: replace(d, floor=0.0), {Check.MIX_SETTINGS}),
    "a mix with another ramp": (
        HOME, lambda d: redraw(d, mixed(model_of(d), d.baseline, 0.7, d.floor)),
        {Check.MIX}),
    "a mix without the floor": (
        HOME, lambda d: redraw(d, mixed(model_of(d), d.baseline, d.ramp, 0.0)),
        {Check.MIX}),
    "a mix whose model was not logged": (HOME, lambda d: replace(d, model_pmf=None), {Check.MIX}),
    "a pmf without the floor": (PLAIN, pmf_without_floor, {Check.FLOOR}),
    "a pmf before masking": (HOME, pmf_before_masking, {Check.PMF}),
    "a pmf that doesn't sum to one": (PLAIN, lambda d: redraw(d, [0.4, 0.3, 0.2]), {Check.PMF}),
    "a pmf with a negative entry": (PLAIN, slot(pmf=np.array([0.6, 0.6, -0.2], np.float32)), {Check.PMF}),
    "a choice beyond the eligible": (PLAIN, slot(chosen=3), {Check.PMF}),
    "a second draw": (HOME, other_choice, {Check.DRAW}),
    "a propensity before masking": (HOME, propensity_before_masking, {Check.PROPENSITY}),
    "a propensity that was not renormalised": (
        PLAIN, lambda d: slot(propensity=d.slots[0].propensity * (1 + 1e-9))(d), {Check.PROPENSITY}),
    "a floor that is served and not logged": (PLAIN, floor_served_but_not_logged, {Check.DRAW, Check.FLOOR}),
    "a holdout that the number doesn't say": (
        HOME, lambda d: replace(d, holdout=True), {Check.HOLDOUT}),
    "a visitor of the holdout who got the model": (
        HOME, lambda d: replace(d, holdout_u=0.05, holdout=True), {Check.HOLDOUT}),
    "a number that is not in range": (HOME, lambda d: replace(d, holdout_u=1.0), {Check.HOLDOUT}),
    "a number that is missing": (HOME, lambda d: replace(d, holdout_u=None), {Check.HOLDOUT}),
    "HOLDOUT for somebody else": (
        HELD, lambda d: replace(d, holdout_u=0.5, holdout=False), {Check.HOLDOUT}),
    "a holdout that saw something else": (
        HELD, lambda d: redraw(d, [0.0] * (len(d.eligible()) - 1) + [1.0]), {Check.PURE}),
    "a holdout that was drawn": (
        HELD, lambda d: slot(propensity=0.5, pmf=np.array([0.5, 0.5, *[0.0] * (len(d.eligible()) - 2)]))(d),
        {Check.PURE, Check.DRAW}),
    "BASELINE where a model is asked": (
        PLAIN, lambda d: redraw(replace(d, reason=Reason.BASELINE, model_version=None), [0.0, 1.0, 0.0]),
        {Check.REASON}),
    "UNRECORDED in the ledger": (PLAIN, lambda d: replace(d, reason=Reason.UNRECORDED), {Check.REASON}),
    "MODEL without a model": (PLAIN, lambda d: replace(d, model_version=None), {Check.REASON}),
    "nothing shown without a reason": (PLAIN, lambda d: replace(d, slots=()), {Check.REASON}),
    "a context without consent": (
        Situation(20, consent=Consent.NONE),
        lambda d: replace(d, context=Features(numbers=(("cart", 80.0),))), {Check.CONSENT}),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_found_and_nothing_else_reported(name: str) -> None:
    at, change, checks = CORRUPTIONS[name]
    right, wrong = decide(at), change(decide(at))
    assert verified(right).findings == ()
    neighbour = decide(Situation(999, placement="pure"))
    found = verified(neighbour, wrong)
    assert not found.is_clean()
    assert {finding.check for finding in found.findings} <= checks, [str(f) for f in found.findings]
    for finding in found.findings:
        assert finding.decision_ids == (format_decision_id(wrong.decision_id),)
        assert finding.count == 1


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (HELD, "holdout"),
        (Situation(21, placement="pure"), "BASELINE"),
        (Situation(22, consent=Consent.SERVE_ONLY), "SERVE_ONLY"),
        (Situation(23, consent=Consent.NONE), "NO_CONSENT"),
        (Situation(24, no_model=True), "MODEL_UNAVAILABLE"),
        (Situation(25, deferred=True), "never shown"),
    ],
)
def test_what_must_not_be_learned_is_found(at: Situation, what: str) -> None:
    world = World()
    world.add(decide(at), status=CloseStatus.LEARNED)
    (finding,) = world.verify().findings
    assert finding.check is Check.LEARNED
    assert what in finding.what


def test_a_deferred_decision_may_be_learned_once_it_was_shown() -> None:
    world = World()
    decision = decide(Situation(25, deferred=True))
    world.add(decision, status=CloseStatus.LEARNED)
    world.show(decision)
    assert world.verify().is_clean()


@pytest.mark.parametrize(
    ("status", "weight", "kind", "is_clean"),
    [
        (CloseStatus.THINNED, 1.0, "shown", True),
        (CloseStatus.THINNED, 1.0, "click", False),
        (CloseStatus.LEARNED, 4.0, "shown", True),
        (CloseStatus.LEARNED, 4.0, "click", False),
    ],
)
def test_an_answer_that_was_thinned_like_silence_is_found(
    status: CloseStatus, weight: float, kind: str, is_clean: bool
) -> None:
    world = World()
    decision = decide(Situation(26))
    world.add(decision, status=status, weight=weight)
    world.show(decision, kind)
    assert world.verify().is_clean() == is_clean


def test_a_record_that_cannot_be_read_is_a_finding_and_not_an_error() -> None:
    world = World()
    world.ledger.append(RecordKind.DECISION, b"\xff\xff")
    (finding,) = world.verify().findings
    assert (finding.check, finding.decision_ids) == (Check.RECORD, ())


def test_a_problem_of_many_decisions_is_one_finding_with_the_first_ids() -> None:
    decisions = [other_choice(decide(replace(PLAIN, number=number))) for number in range(8)]
    (finding,) = verified(*decisions).findings
    assert finding.count == 8
    assert finding.decision_ids == tuple(format_decision_id(d.decision_id) for d in decisions[:5])


def counted(number: int, weekly: int, seconds: float) -> Decision:
    """Return a decision at `plain` that showed msg, having read a count."""
    for attempt in range(1000):
        at = replace(PLAIN, number=number + 1000 * attempt, weekly=weekly)
        decision = decide(replace(at, time_us=NOON_US + 3600 * SECOND_US + round(seconds * SECOND_US)))
        if decision.eligible()[decision.slots[0].chosen] == 0:
            return decision
    raise AssertionError("msg is never shown")


def test_a_cap_that_forgot_a_decision_is_found() -> None:
    (finding,) = verified(counted(1, 0, 0.0), counted(2, 0, 60.0)).findings
    assert (finding.check, "fewer" in finding.what) == (Check.RECOUNT, True)


def test_a_cap_that_counts_twice_is_found_and_one_wasted_use_is_not() -> None:
    """A crash between counting and recording wastes a use, and every later count of that visitor has it."""

    def found(factor: int, waste: int) -> tuple[str, ...]:
        world = World()
        for number, visitor in enumerate(("anna", "ben", "cleo", "dora", "emil")):
            world.add(counted(number, 0, 0.0), visitor)
            read = factor + (waste if visitor == "anna" else 0)
            later = replace(PLAIN, number=77_000_000 + number, weekly=read)
            world.add(decide(replace(later, time_us=NOON_US + 4200 * SECOND_US)), visitor)
        world.ledger.append_body(Tick(NOON_US + 4202 * SECOND_US))
        return tuple(f.what for f in world.verify().findings)

    assert found(1, 0) == ()
    assert found(1, 1) == ()
    assert found(2, 0) == ("caps count more than the ledger has",)


def test_counts_are_right_in_whatever_order_decisions_reach_the_ledger() -> None:
    """Two deciders' journals are drained one after the other."""
    first, second = counted(1, 0, 0.0), counted(2, 1, 2.0)
    assert verified(second, first).findings == ()
    at_once = counted(3, 1, 0.3)
    assert verified(at_once, first).findings == ()


def test_an_event_that_has_left_the_window_does_not_count() -> None:
    week_s = 7 * 86_400.0
    assert verified(counted(1, 0, 0.0), counted(2, 0, week_s + 2.0)).findings == ()
    assert not verified(counted(1, 0, 0.0), counted(2, 0, week_s - 2.0)).is_clean()
