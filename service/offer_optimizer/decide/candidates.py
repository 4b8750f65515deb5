"""Candidates: what may be shown at a placement, with everything about each that no request changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from offer_optimizer.core.catalog import Catalog, OfferStatus, OfferType, Placement
from offer_optimizer.core.counting import Limits
from offer_optimizer.core.decision import ExclusionReason, InlineCandidate
from offer_optimizer.core.features import Features
from offer_optimizer.core.rules import OFFER_MAPS, Rule, RuleFacts, RuleFault, offer_facts
from offer_optimizer.policy.actions import catalog_actions, placement_actions
from offer_optimizer.policy.contract import Action


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate. `index` is the catalog's, or counts on past it for inline ones.

    `settled` is what its rule comes to where the rule reads the offer alone: None when it passes or is not
    settled; `rule` is what is left to evaluate for each decision.
    """

    index: int
    offer_id: str
    action: Action
    payload: str
    is_nothing: bool
    is_live: bool
    start_time_us: int | None
    end_time_us: int | None
    rule: Rule | None
    settled: ExclusionReason | None
    caps: tuple[int, ...]
    budgets: tuple[int, ...]

    @property
    def is_limited(self) -> bool:
        """Return whether a cap or budget limits it."""
        return bool(self.caps or self.budgets)

    def is_plain(self) -> bool:
        """Return whether no request and no clock can change its eligibility."""
        times = self.start_time_us is None and self.end_time_us is None
        return times and self.rule is None and not self.is_limited


class CandidateMaker:
    """Makes candidates under one catalog revision; rules of equal text are compiled once."""

    def __init__(self, catalog: Catalog, limits: Limits) -> None:
        self._catalog = catalog
        self._limits = limits
        self._rules: dict[str, Rule] = {}
        self._actions = catalog_actions(catalog)

    def rule(self, text: str) -> Rule | None:
        """Return a compiled rule, None for an empty text."""
        if not text:
            return None
        found = self._rules.get(text)
        if found is None:
            found = self._rules[text] = Rule(text)
        return found

    def of_placement(self, placement: Placement) -> tuple[Candidate, ...]:
        """Return the placement's own candidates, in order."""
        found = []
        actions = placement_actions(self._actions, self._catalog, placement)
        for offer_id in placement.offers:
            index = self._catalog.offer_index[offer_id]
            found.append(self._from_offer(index, actions[index], index, placement))
        return tuple(found)

    def inline(self, placement: Placement, candidates: Iterable[InlineCandidate]) -> tuple[Candidate, ...]:
        """Return a request's own candidates, in order.

        One whose id is in the catalog keeps that offer's status, times, rule, caps and budgets, and has the
        attributes of the request.
        """
        found = []
        for number, inline in enumerate(candidates):
            index = len(self._catalog.offers) + number
            action = Action(inline.offer_id, inline.attributes)
            known = self._catalog.offer_index.get(inline.offer_id)
            if known is None:
                found.append(_unknown(index, action, self._limits.caps_of(action.id, placement.id)))
            else:
                found.append(self._from_offer(known, action, index, placement))
        return tuple(found)

    def _from_offer(self, known: int, action: Action, index: int, placement: Placement) -> Candidate:
        offer = self._catalog.offers[known]
        rule = self.rule(offer.eligible)
        settled = None
        if rule is not None and rule.reads <= OFFER_MAPS:
            settled = _settle(rule, action.attributes)
            rule = None
        return Candidate(
            index=index,
            offer_id=offer.id,
            action=action,
            payload=offer.payload,
            is_nothing=offer.type is OfferType.NOTHING,
            is_live=offer.status is OfferStatus.LIVE,
            start_time_us=offer.start_time_us,
            end_time_us=offer.end_time_us,
            rule=rule,
            settled=settled,
            caps=self._limits.caps_of(offer.id, placement.id),
            budgets=self._limits.budgets_of(offer.id),
        )


def _settle(rule: Rule, attributes: Features) -> ExclusionReason | None:
    """Evaluate a rule that reads the offer alone."""
    try:
        passes = rule.evaluate(RuleFacts(**offer_facts(attributes)))
    except RuleFault:
        return ExclusionReason.RULE_ERROR
    return None if passes else ExclusionReason.RULE


def _unknown(index: int, action: Action, caps: tuple[int, ...]) -> Candidate:
    """Return an inline candidate that the catalog does not know: live, limited as an interruption only."""
    return Candidate(
        index=index,
        offer_id=action.id,
        action=action,
        payload="",
        is_nothing=False,
        is_live=True,
        start_time_us=None,
        end_time_us=None,
        rule=None,
        settled=None,
        caps=caps,
        budgets=(),
    )


def find_baseline(baseline: tuple[str, ...], eligible: tuple[Candidate, ...]) -> int | None:
    """Return the position of the first baseline offer that is eligible, else of one that shows nothing."""
    positions = {candidate.offer_id: position for position, candidate in enumerate(eligible)}
    for offer_id in baseline:
        if offer_id in positions:
            return positions[offer_id]
    return next((position for position, candidate in enumerate(eligible) if candidate.is_nothing), None)
