"""The funnel of one decision: which candidates are eligible, and the first reason why each other is not.

docs/design.md, section 12, is the text of this module. Pure: counters come in as values, or as None where
the hot cache can't be used. Sets of candidates are bits of an integer: what excludes them is gathered in a
few operations, and the funnel that belongs to it is looked up, since few different ones occur.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import ge
from typing import Any, Final

from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.counting import Limits, paced_limit
from offer_optimizer.core.decision import ExclusionReason
from offer_optimizer.core.features import Features
from offer_optimizer.core.rules import (
    OFFER_MAPS,
    VISITOR,
    Rule,
    RuleFacts,
    RuleSet,
    context_facts,
    offer_facts,
)
from offer_optimizer.decide.candidates import Candidate, find_baseline
from offer_optimizer.decide.counters import Counters, Reads
from offer_optimizer.policy.contract import Action

KNOWN_FUNNELS: Final = 1000
"""Funnels remembered for a placement; a request that mixes more only computes them again."""

Masks = tuple[int, ...]
_NOT_LIMITED: Final = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Funnel:
    """What came through: `actions` run parallel to `eligible`.

    `excluded` are positions among the candidates, `reasons` run parallel to them; `baseline` is the position
    of the baseline offer among the eligible, None where there is none.
    """

    eligible: tuple[Candidate, ...]
    actions: tuple[Action, ...]
    excluded: tuple[int, ...]
    reasons: tuple[int, ...]
    baseline: int | None


@checked_dataclass(frozen=True, slots=True)
class Question:
    """What the funnel asks about: the decision's time, context, the caller's exclusions and the counters."""

    now_us: int
    context: Features
    excluded_ids: tuple[str, ...]
    counters: Counters | None
    has_visitor: bool = True


@dataclass(slots=True)
class _Rules:
    """Rules of a placement. `masks` run parallel to the shared rules; `own` is the placement's rule.

    `reads` are the maps that one of them reads.
    """

    shared: RuleSet
    masks: list[int] = field(default_factory=list)
    own: Rule | None = None
    private: list[tuple[int, Rule]] = field(default_factory=list)
    reads: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.reads = self.shared.reads.union(*(rule.reads for _, rule in self.private))


class FunnelPlan:
    """Candidates with everything about their funnel that no request changes.

    `is_limited` says whether counters have to be read.
    """

    def __init__(
        self,
        candidates: tuple[Candidate, ...],
        own_rule: Rule | None,
        limits: Limits,
        baseline: tuple[str, ...] = (),
    ) -> None:
        """Prepare what a placement, or a request with candidates of its own, decides among."""
        self.candidates = candidates
        self.indices = tuple(candidate.index for candidate in candidates)
        self._limits = limits
        self._baseline = baseline
        self._all = (1 << len(candidates)) - 1
        self._bits = {candidate.offer_id: 1 << index for index, candidate in enumerate(candidates)}
        self._not_live = self._where(not candidate.is_live for candidate in candidates)
        self._times = [
            (1 << index, candidate.start_time_us, candidate.end_time_us)
            for index, candidate in enumerate(candidates)
            if candidate.start_time_us is not None or candidate.end_time_us is not None
        ]
        self._settled_false = self._where(c.settled is ExclusionReason.RULE for c in candidates)
        self._settled_error = self._where(c.settled is ExclusionReason.RULE_ERROR for c in candidates)
        self._rules = self._plan_rules(own_rule)
        self._limited = self._where(candidate.is_limited for candidate in candidates)
        self.caps = self._caps_to_read(own_rule)
        self.budgets = tuple(sorted({index for candidate in candidates for index in candidate.budgets}))
        self._cap_limits = tuple(limits.caps[index].limit for index in self.caps)
        self._cap_masks = [self._where(index in c.caps for c in candidates) for index in self.caps]
        caps_most = max((len(candidate.caps) for candidate in candidates), default=0)
        self.reads = Reads(self.caps, limits.reading(self.caps), self.budgets, caps_most)
        self._uses = {index: self._uses_of(index) for index in self.budgets}
        self.is_limited = bool(self.caps or self.budgets)
        self._known: dict[Masks, Funnel] = {}
        self._passed = (0, self._settled_false, self._settled_error)
        self._whole: Funnel | None = None

    def derive(self, question: Question) -> Funnel:
        """Exclude each candidate for the first reason that holds; return what remains, in order."""
        by_rules, by_limits = self._by_rules(question), self._by_limits(question)
        if (
            self._times
            or question.excluded_ids
            or by_rules is not self._passed
            or by_limits is not _NOT_LIMITED
        ):
            by_time = self._by_time(question.now_us) if self._times else (0, 0)
            by_caller = self._by_caller(question.excluded_ids) if question.excluded_ids else 0
            return self._known_funnel((self._not_live, *by_time, by_caller, *by_rules, *by_limits))
        # Mostly nothing is excluded but what the catalog excludes.
        if self._whole is None:
            self._whole = self._known_funnel((self._not_live, 0, 0, 0, *by_rules, *by_limits))
        return self._whole

    def _known_funnel(self, masks: Masks) -> Funnel:
        funnel = self._known.get(masks)
        if funnel is None:
            if len(self._known) >= KNOWN_FUNNELS:
                self._known.clear()
            funnel = self._known[masks] = self._build(masks)
        return funnel

    def _build(self, masks: Masks) -> Funnel:
        eligible, excluded, reasons = [], [], []
        for position, candidate in enumerate(self.candidates):
            bit = 1 << position
            reason = next((number for number, mask in enumerate(masks, start=1) if mask & bit), None)
            if reason is None:
                eligible.append(candidate)
            else:
                excluded.append(position)
                reasons.append(reason)
        actions = tuple(candidate.action for candidate in eligible)
        baseline = find_baseline(self._baseline, tuple(eligible))
        return Funnel(tuple(eligible), actions, tuple(excluded), tuple(reasons), baseline)

    def _by_time(self, now_us: int) -> tuple[int, int]:
        not_started = ended = 0
        for bit, start_us, end_us in self._times:
            if start_us is not None and now_us < start_us:
                not_started |= bit
            if end_us is not None and now_us >= end_us:
                ended |= bit
        return not_started, ended

    def _by_caller(self, excluded_ids: tuple[str, ...]) -> int:
        mask = 0
        for offer_id in excluded_ids:
            mask |= self._bits.get(offer_id, 0)
        return mask

    def _by_rules(self, question: Question) -> tuple[int, int, int]:
        """Return who is excluded by the placement's rule, by their own, and by a rule that failed."""
        rules = self._rules
        no, failed, own_no, own_failed = self._settled_false, self._settled_error, 0, 0
        if not rules.shared.rules and not rules.private and rules.own is None:
            return self._passed
        facts = self._facts(question)
        answers = rules.shared.ask(facts) if rules.shared.rules else ()
        if answers.count(True) == len(answers):
            # Mostly all of them pass, and nothing is to be gathered.
            if not rules.private:
                return self._passed
        else:
            for rule, answer, mask in zip(rules.shared.rules, answers, rules.masks, strict=True):
                if answer:
                    continue
                if answer is None:
                    failed |= mask
                else:
                    no |= mask
                if rule is rules.own:
                    own_no, own_failed = (0, self._all) if answer is None else (self._all, 0)
        for bit, rule in rules.private:
            candidate = self.candidates[bit.bit_length() - 1]
            answer = rule.ask(RuleFacts(**facts, **offer_facts(candidate.action.attributes)))
            if rule is rules.own:
                own_no |= bit if answer is False else 0
                own_failed |= bit if answer is None else 0
            else:
                no |= bit if answer is False else 0
                failed |= bit if answer is None else 0
        return own_no, no, failed | own_failed

    def _facts(self, question: Question) -> dict[str, Any]:
        """Return those maps of the context and of the visitor that a rule reads."""
        facts = context_facts(question.context, self._rules.reads)
        if VISITOR in self._rules.reads:
            facts[VISITOR] = self._visitor_counts(question)
        return facts

    def _visitor_counts(self, question: Question) -> dict[str, float]:
        caps = self._limits.caps
        if not question.has_visitor:
            return {caps[index].id: 0.0 for index in self.caps}
        if question.counters is None:
            return {}
        return {
            caps[index].id: float(count)
            for index, count in zip(self.caps, question.counters.counts, strict=True)
        }

    def _by_limits(self, question: Question) -> tuple[int, int, int, int]:
        """Return who is excluded for want of counters, by a cap, by a spent and by a paced budget."""
        if not self._limited:
            return _NOT_LIMITED
        counters = question.counters
        if counters is None:
            return self._limited, 0, 0, 0
        capped = spent_up = paced = 0
        if True in map(ge, counters.counts, self._cap_limits):
            reached = zip(counters.counts, self._cap_limits, self._cap_masks, strict=True)
            for count, limit, mask in reached:
                if count >= limit:
                    capped |= mask
        for index, uses in self._uses.items():
            budget, spent = self._limits.budgets[index], counters.spent[index]
            allowed = paced_limit(budget, question.now_us)
            for use, mask in uses:
                if spent + use > budget.limit:
                    spent_up |= mask
                if spent + use > allowed:
                    paced |= mask
        return (0, capped, spent_up, paced) if capped or spent_up or paced else _NOT_LIMITED

    def _where(self, flags: Iterable[bool]) -> int:
        mask = 0
        for index, flag in enumerate(flags):
            mask |= flag << index
        return mask

    def _plan_rules(self, own: Rule | None) -> _Rules:
        """Sort rules into those that are evaluated once a decision, and those once a candidate."""
        by_text: dict[str, tuple[Rule, int]] = {}
        private = []
        for index, candidate in enumerate(self.candidates):
            rule = candidate.rule
            if rule is None:
                continue
            if rule.reads.isdisjoint(OFFER_MAPS):
                known, mask = by_text.get(rule.text, (rule, 0))
                by_text[rule.text] = (known, mask | 1 << index)
            else:
                private.append((1 << index, rule))
        shared_own = own
        if own is not None and own.reads.isdisjoint(OFFER_MAPS):
            shared_own, mask = by_text.get(own.text, (own, 0))
            by_text[own.text] = (shared_own, mask)
        elif own is not None:
            # A rule object of its own: an offer may have the same text, and mean another exclusion by it.
            shared_own = Rule(own.text)
            private += [(1 << index, shared_own) for index in range(len(self.candidates))]
        found = list(by_text.values())
        return _Rules(RuleSet([rule for rule, _ in found]), [mask for _, mask in found], shared_own, private)

    def _caps_to_read(self, own_rule: Rule | None) -> tuple[int, ...]:
        """Return the caps that limit a candidate, and all of them where a rule asks for counts."""
        rules = [candidate.rule for candidate in self.candidates]
        if any(rule is not None and VISITOR in rule.reads for rule in (*rules, own_rule)):
            return tuple(range(len(self._limits.caps)))
        return tuple(sorted({index for candidate in self.candidates for index in candidate.caps}))

    def _uses_of(self, budget_index: int) -> list[tuple[float, int]]:
        """Return how much a use takes, with the candidates for which it is so much."""
        masks: dict[float, int] = {}
        for index, candidate in enumerate(self.candidates):
            if budget_index in candidate.budgets:
                use = self._limits.use_of(self._limits.budgets[budget_index], candidate.offer_id)
                masks[use] = masks.get(use, 0) | 1 << index
        return list(masks.items())
