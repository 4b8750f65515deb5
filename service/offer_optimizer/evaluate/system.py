"""A whole system as a target: a catalog's rules, caps, budgets and policy, asked about logged decisions.

The decision path's own funnel says who is eligible, from the logged context, the logged time and counters;
where the catalog defines a cap as the log's catalogs did, the count is the one that the log read, else it is
counted again along the visitor's own logged decisions where that can be done. What the log could not choose
is never taken as chosen: it is told, with the reason that the log had. Knows no estimator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Decision, ExclusionReason, Pmf64
from offer_optimizer.decide.candidates import find_baseline
from offer_optimizer.decide.counters import Counters
from offer_optimizer.decide.funnel import Funnel, FunnelPlan, Question
from offer_optimizer.decide.mix import certain, mix
from offer_optimizer.decide.prepared import PreparedCatalog
from offer_optimizer.evaluate.recount import Recount
from offer_optimizer.evaluate.system_limits import SameLimits
from offer_optimizer.policy.contract import Action, Policy

_LIMITING: Final = (ExclusionReason.CAPPED, ExclusionReason.BUDGET_SPENT, ExclusionReason.BUDGET_PACED)
"""Reasons whose lifting is never judged: what follows from one more showing is not in the log."""
_LEAST_MASS: Final = 1e-12


@dataclass(frozen=True, eq=False)
class SystemChoice:
    """What the system would do: `pmf` runs parallel to the eligible; both empty where nothing could be
    shown.
    """

    offer_ids: tuple[str, ...]
    actions: tuple[Action, ...]
    pmf: Pmf64


NOTHING: Final = SystemChoice((), (), np.empty(0))


class System:
    """A placement under a catalog, asked about the decisions of a log, in the order of time."""

    def __init__(
        self, prepared: PreparedCatalog, placement_id: str, policy: Policy, logged: Mapping[int, Catalog]
    ) -> None:
        self._prepared = prepared
        self._own = prepared.placements[placement_id]
        self._policy = policy
        self._logged = logged
        self._limits = {revision: SameLimits.of(prepared.catalog, old) for revision, old in logged.items()}
        self._recount = Recount(prepared.limits, placement_id)
        self.lifted: Counter[tuple[str, ExclusionReason]] = Counter()
        """Decisions in which the system might show what the log had excluded by a cap or budget."""

    def choose(self, decision: Decision, visitor: int) -> SystemChoice:
        """Return what the system would do in place of a logged decision; `visitor` is negative without an
        id.
        """
        plan = self._plan(decision)
        question = Question(
            decision.decide_time_us,
            decision.context,
            decision.excluded_by_caller,
            self._counters(decision, plan, visitor),
            has_visitor=visitor >= 0,
        )
        funnel = plan.derive(question)
        if not funnel.eligible:
            return NOTHING
        pmf = self._pmf(decision, funnel)
        self._note_lifted(decision, funnel, pmf)
        return SystemChoice(tuple(c.offer_id for c in funnel.eligible), funnel.actions, pmf)

    def count(self, decision: Decision, visitor: int, chosen_id: str) -> None:
        """Count what was logged, for decisions to come."""
        self._recount.count(visitor, decision.decide_time_us, chosen_id)

    def _plan(self, decision: Decision) -> FunnelPlan:
        if not decision.inline:
            return self._own.plan
        prepared, placement = self._prepared, self._own.placement
        candidates = prepared.maker.inline(placement, decision.inline)
        return FunnelPlan(candidates, prepared.maker.rule(placement.eligible), prepared.limits)

    def _counters(self, decision: Decision, plan: FunnelPlan, visitor: int) -> Counters | None:
        """Return the counters of this catalog's limits; None where the log had none to read either."""
        if ExclusionReason.COUNTERS_UNREADY in decision.exclusion_reasons:
            return None
        same = self._limits[decision.catalog_revision]
        counts, spent = dict(decision.cap_counts), dict(decision.budget_spent)
        found = []
        for index in plan.caps:
            old = same.caps.get(index)
            if old is None:
                found.append(self._recount.of(index, visitor, decision.decide_time_us))
            else:
                found.append(counts.get(old, 0))
        budgets = {index: spent.get(same.budgets.get(index, -1), 0.0) for index in plan.budgets}
        return Counters(plan.caps, found, budgets)

    def _pmf(self, decision: Decision, funnel: Funnel) -> Pmf64:
        placement = self._own.placement
        baseline = find_baseline(placement.baseline, funnel.eligible)
        ramp = placement.ramp if baseline is not None else 1.0
        count = len(funnel.eligible)
        if ramp == 0.0 and placement.floor == 0.0 and baseline is not None:
            return certain(baseline, count).astype(np.float64)
        model = self._policy.pmf(decision.context, funnel.actions)
        served = mix(model, baseline, count, ramp, placement.floor).astype(np.float64)
        normal: Pmf64 = served / served.sum()
        return normal

    def _note_lifted(self, decision: Decision, funnel: Funnel, pmf: Pmf64) -> None:
        """Note the offers that a limit of the log had excluded and that might be shown now."""
        limited = {
            position: ExclusionReason(reason)
            for position, reason in zip(decision.excluded, decision.exclusion_reasons, strict=True)
            if reason in _LIMITING
        }
        if not limited:
            return
        offers = self._logged[decision.catalog_revision].offers
        for position, reason in limited.items():
            index = decision.candidates[position]
            inline = index - len(offers)
            offer_id = decision.inline[inline].offer_id if inline >= 0 else offers[index].id
            for candidate, probability in zip(funnel.eligible, pmf.tolist(), strict=True):
                if candidate.offer_id == offer_id and probability > _LEAST_MASS:
                    self.lifted[offer_id, reason] += 1
