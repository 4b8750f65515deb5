"""Who is excluded from a decision, and for which reason first: docs/design.md, section 12, row by row.

What always holds: nothing is read but the catalog revision and the decision's own record. Where the record
can't tell, because rounding decides, every verdict that the text allows is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from offer_optimizer.core.catalog import Placement
from offer_optimizer.core.decision import Consent, Decision, ExclusionReason
from offer_optimizer.core.features import EMPTY
from offer_optimizer.evaluate.verify_catalog import (
    Candidate,
    CatalogReader,
    DecisionRules,
    Outcome,
    Reads,
    Rules,
)
from offer_optimizer.evaluate.verify_findings import Check, Problem
from offer_optimizer.evaluate.verify_limits import ELIGIBLE, LimitsReader, Logged, judge_limits


def check_exclusions(
    decision: Decision,
    reader: CatalogReader,
    candidates: Sequence[Candidate],
    rules: Rules,
    limits: LimitsReader,
    *,
    has_visitor: bool,
) -> Iterator[Problem]:
    """Yield what is wrong with who was excluded, and why. `excluded` and its reasons pair up already."""
    placement = reader.catalog.placement_by_id[decision.placement_id]
    logged = read_logged(decision, has_visitor=has_visitor)
    if not has_visitor and any(logged.counts.values()):
        yield Problem(Check.EXCLUSIONS, "a visitor without an id has counts")
    # Without consent no context is read, so rules see empty maps.
    context = EMPTY if decision.consent is Consent.NONE else decision.context
    decision_rules = rules.for_decision(Reads(context, _visitor_map(reader, logged)))
    reasons = dict(zip(decision.excluded, decision.exclusion_reasons, strict=True))
    left_out = frozenset(decision.excluded_by_caller)
    for position, candidate in enumerate(candidates):
        found = reasons.get(position, ELIGIBLE)
        reason = before_limits(decision.decide_time_us, placement, candidate, left_out, decision_rules)
        if reason is None:
            allowed, missing = judge_limits(limits.of(placement.id, candidate), candidate, logged)
            if missing:
                what = "a value that decides was not logged"
                yield Problem(Check.EXCLUSIONS, what, f"{missing}, for offer {candidate.id}")
                continue
        else:
            allowed = frozenset({int(reason)})
        if found not in allowed:
            detail = f"offer {candidate.id}"
            yield Problem(Check.EXCLUSIONS, f"{_name(found)} instead of {_name(min(allowed))}", detail)


def read_logged(decision: Decision, *, has_visitor: bool) -> Logged:
    """Return what a decision says that it read."""
    return Logged(
        now_us=decision.decide_time_us,
        has_visitor=has_visitor,
        is_unready=ExclusionReason.COUNTERS_UNREADY in decision.exclusion_reasons,
        counts=dict(decision.cap_counts),
        spent=dict(decision.budget_spent),
    )


def before_limits(
    now_us: int, placement: Placement, candidate: Candidate, left_out: frozenset[str], rules: DecisionRules
) -> ExclusionReason | None:
    """Return the first reason other than caps and budgets, None where there is none."""
    reason = _by_offer(now_us, candidate, left_out)
    if reason is not None:
        return reason
    of_placement = rules.outcome(placement.eligible, candidate.attributes)
    of_offer = rules.outcome(candidate.rule, candidate.attributes)
    if of_placement is Outcome.FALSE:
        return ExclusionReason.PLACEMENT_RULE
    if of_offer is Outcome.FALSE:
        return ExclusionReason.RULE
    return ExclusionReason.RULE_ERROR if Outcome.ERROR in (of_placement, of_offer) else None


def _by_offer(now_us: int, candidate: Candidate, left_out: frozenset[str]) -> ExclusionReason | None:
    if not candidate.is_live:
        return ExclusionReason.NOT_LIVE
    if candidate.start_time_us is not None and now_us < candidate.start_time_us:
        return ExclusionReason.NOT_STARTED
    if candidate.end_time_us is not None and now_us >= candidate.end_time_us:
        return ExclusionReason.ENDED
    return ExclusionReason.CALLER_EXCLUDED if candidate.id in left_out else None


def _visitor_map(reader: CatalogReader, logged: Logged) -> dict[str, float]:
    caps = reader.catalog.caps
    if not logged.has_visitor:
        return {cap.id: 0.0 for cap in caps}
    # What was not read is not there: a rule that asks for it fails here, as it must have failed there.
    return {caps[index].id: float(count) for index, count in logged.counts.items() if index < len(caps)}


def _name(reason: int) -> str:
    return "eligible" if reason == ELIGIBLE else ExclusionReason(reason).name
