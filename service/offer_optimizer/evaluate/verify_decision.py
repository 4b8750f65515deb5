"""One decision against docs/design.md, section 12: from the record and its catalog revision alone.

What always holds: a check that needs another one's result is left out where that one failed, so that one
defect is one problem. It may not import the decision path that it judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from offer_optimizer.core.catalog import OfferType, Placement
from offer_optimizer.core.decision import Consent, Decision, ExclusionReason, Reason
from offer_optimizer.core.features import EMPTY
from offer_optimizer.evaluate.verify_catalog import Candidate, CatalogReader, Rules
from offer_optimizer.evaluate.verify_exclusions import check_exclusions
from offer_optimizer.evaluate.verify_findings import Check, Findings, Problem
from offer_optimizer.evaluate.verify_limits import LimitsReader
from offer_optimizer.evaluate.verify_pmf import check_pmfs
from offer_optimizer.store.codec import Salt

PURE_REASONS = frozenset({Reason.HOLDOUT, Reason.BASELINE, Reason.MODEL_UNAVAILABLE, Reason.NO_CONSENT})


@dataclass(frozen=True, slots=True)
class Setting:
    """What a decision is judged by: catalog revisions and limits by number, salts by id, rules by text."""

    catalogs: Mapping[int, CatalogReader]
    limits: Mapping[int, LimitsReader]
    salts: Mapping[int, Salt]
    rules: Rules


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from a decision's own eligible offers: they, the baseline among them, mix, holdout."""

    placement: Placement
    eligible: tuple[Candidate, ...]
    baseline: int | None
    ramp: float
    is_held_out: bool


def judge_decision(
    decision: Decision, visitor_key: int | None, setting: Setting, findings: Findings
) -> Derived | None:
    """Note every problem of a decision; return what it derives from, None where its record can't be read."""
    ids = (decision.decision_id,)

    def run(check: Check, problems: Iterator[Problem]) -> bool:
        findings.judged[check] += 1
        # Several offers may have the same problem: it is one of this decision.
        found: dict[str, Problem] = {}
        for problem in problems:
            found.setdefault(problem.what, problem)
        for problem in found.values():
            findings.note(problem, ids)
        return not found

    if not run(Check.RECORD, _check_record(decision, setting)):
        return None
    reader = setting.catalogs[decision.catalog_revision]
    candidates = reader.candidates(decision.candidates, decision.inline) or ()
    has_visitor = visitor_key is not None
    # Rules read the context, which went with an erased visitor.
    if run(Check.CANDIDATES, _check_candidates(decision, reader)) and not decision.erased:
        limits = setting.limits[decision.catalog_revision]
        exclusions = check_exclusions(
            decision, reader, candidates, setting.rules, limits, has_visitor=has_visitor
        )
        run(Check.EXCLUSIONS, exclusions)
    derived = derive(decision, reader, candidates)
    run(Check.CONSENT, _check_consent(decision, has_visitor=has_visitor))
    run(Check.BASELINE, _check_baseline(decision, derived))
    run(Check.MIX_SETTINGS, _check_mix_settings(decision, derived))
    is_held_out_rightly = run(
        Check.HOLDOUT, _check_holdout(decision, derived, reader, has_visitor=has_visitor)
    )
    if is_held_out_rightly:
        run(Check.REASON, _check_reason(decision, derived))
    if decision.slots:
        salt = setting.salts[decision.draw_salt_id].salt
        is_pure = decision.reason in PURE_REASONS
        size, mix = len(derived.eligible), (derived.baseline, derived.ramp, derived.placement.floor)
        for check, problems in check_pmfs(decision, size, salt, mix, is_pure=is_pure):
            run(check, iter(problems))
    return derived


def derive(decision: Decision, reader: CatalogReader, candidates: Sequence[Candidate]) -> Derived:
    """Derive baseline, ramp and holdout over the offers that the decision says were eligible."""
    placement = reader.catalog.placement_by_id[decision.placement_id]
    dropped = set(decision.excluded)
    eligible = tuple(candidate for place, candidate in enumerate(candidates) if place not in dropped)
    baseline = baseline_of(placement, eligible)
    share = reader.catalog.holdout if placement.holdout is None else placement.holdout
    return Derived(
        placement,
        eligible,
        baseline,
        1.0 if baseline is None else placement.ramp,
        decision.holdout_u is not None and decision.holdout_u < share,
    )


def baseline_of(placement: Placement, eligible: Sequence[Candidate]) -> int | None:
    """Return the position of the baseline among the eligible."""
    place_of = {candidate.id: place for place, candidate in reversed(list(enumerate(eligible)))}
    for offer_id in placement.baseline:
        if offer_id in place_of:
            return place_of[offer_id]
    return next((place for place, one in enumerate(eligible) if one.type is OfferType.NOTHING), None)


def _check_record(decision: Decision, setting: Setting) -> Iterator[Problem]:
    reader = setting.catalogs.get(decision.catalog_revision)
    if reader is None:
        detail = f"revision {decision.catalog_revision}"
        yield Problem(Check.RECORD, "the catalog revision is not in the ledger", detail)
        return
    if decision.placement_id not in reader.catalog.placement_by_id:
        yield Problem(Check.RECORD, "the placement is not in its catalog revision", decision.placement_id)
    salt = setting.salts.get(decision.draw_salt_id)
    if salt is None or salt.purpose != "draw":
        yield Problem(Check.RECORD, "the draw salt is not in the ledger", f"salt {decision.draw_salt_id}")
    if reader.candidates(decision.candidates, decision.inline) is None:
        yield Problem(Check.RECORD, "a candidate is neither in the catalog nor inline")
    excluded = decision.excluded
    if list(excluded) != sorted(set(excluded)) or (excluded and excluded[-1] >= len(decision.candidates)):
        yield Problem(Check.RECORD, "excluded positions are not ascending positions of candidates")
    known = {int(reason) for reason in ExclusionReason}
    if len(excluded) != len(decision.exclusion_reasons) or not known.issuperset(decision.exclusion_reasons):
        yield Problem(Check.RECORD, "exclusions and known reasons don't pair up")


def _check_candidates(decision: Decision, reader: CatalogReader) -> Iterator[Problem]:
    expected = reader.expected_candidates(decision.placement_id, len(decision.inline))
    if decision.candidates != expected:
        detail = f"{len(decision.candidates)} candidates, {len(expected)} expected"
        yield Problem(
            Check.CANDIDATES, "not those of the placement in its order, nor the inline ones", detail
        )


def _check_consent(decision: Decision, *, has_visitor: bool) -> Iterator[Problem]:
    if decision.consent is Consent.NONE and has_visitor:
        yield Problem(Check.CONSENT, "a visitor is kept without consent")
    if decision.consent is Consent.NONE and decision.context != EMPTY:
        yield Problem(Check.CONSENT, "a context is kept without consent")


def _check_baseline(decision: Decision, derived: Derived) -> Iterator[Problem]:
    if decision.baseline != derived.baseline:
        detail = f"logged {decision.baseline}, derived {derived.baseline}"
        yield Problem(Check.BASELINE, "another position among the eligible", detail)


def _check_mix_settings(decision: Decision, derived: Derived) -> Iterator[Problem]:
    if decision.ramp != derived.ramp:
        yield Problem(
            Check.MIX_SETTINGS, "another ramp", f"logged {decision.ramp:g}, derived {derived.ramp:g}"
        )
    floor = derived.placement.floor
    if decision.floor != floor:
        yield Problem(Check.MIX_SETTINGS, "another floor", f"logged {decision.floor:g}, derived {floor:g}")


def _check_holdout(
    decision: Decision, derived: Derived, reader: CatalogReader, *, has_visitor: bool
) -> Iterator[Problem]:
    u, held_out = decision.holdout_u, derived.is_held_out
    own = derived.placement.holdout
    share = reader.catalog.holdout if own is None else own
    if u is not None and not 0.0 <= u < 1.0:
        yield Problem(Check.HOLDOUT, "the visitor's number is not in [0, 1)", f"{u!r}")
    elif u is not None and not has_visitor:
        yield Problem(Check.HOLDOUT, "a visitor without an id has a number")
    elif u is None and has_visitor and share > 0.0:
        yield Problem(Check.HOLDOUT, "a visitor has no number where a holdout is declared")
    elif decision.holdout != held_out:
        what = "held out, but not by the number" if decision.holdout else "not held out, against the number"
        yield Problem(Check.HOLDOUT, what, f"share {share:g}, number {u}")
    elif (decision.reason is Reason.HOLDOUT) != (held_out and derived.baseline is not None):
        yield Problem(Check.HOLDOUT, f"the reason is {decision.reason.name}", f"held out: {held_out}")


def expected_reasons(decision: Decision, derived: Derived) -> frozenset[Reason]:
    """Return the reasons that the text allows; whether a model was at hand is known to the record alone."""
    if not derived.eligible:
        return frozenset({Reason.NO_ELIGIBLE_OFFER})
    nothing = derived.baseline is None
    if decision.consent is Consent.NONE:
        return frozenset({Reason.NO_ELIGIBLE_OFFER if nothing else Reason.NO_CONSENT})
    if derived.is_held_out:
        return frozenset({Reason.NO_ELIGIBLE_OFFER if nothing else Reason.HOLDOUT})
    if nothing:
        return frozenset({Reason.MODEL, Reason.NO_ELIGIBLE_OFFER})
    if derived.ramp == 0.0 and derived.placement.floor == 0.0:
        return frozenset({Reason.BASELINE})
    return frozenset({Reason.MODEL, Reason.MODEL_UNAVAILABLE})


def _check_reason(decision: Decision, derived: Derived) -> Iterator[Problem]:
    expected = expected_reasons(decision, derived)
    if decision.reason not in expected:
        names = " or ".join(sorted(reason.name for reason in expected))
        yield Problem(Check.REASON, f"{decision.reason.name} instead of {names}")
    elif bool(decision.slots) != (decision.reason is not Reason.NO_ELIGIBLE_OFFER):
        yield Problem(Check.REASON, f"{decision.reason.name} with {len(decision.slots)} slots")
    elif decision.reason is Reason.MODEL and decision.model_version is None:
        yield Problem(Check.REASON, "MODEL without a model version")
