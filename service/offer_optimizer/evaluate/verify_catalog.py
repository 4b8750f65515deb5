"""A catalog revision as verify reads it: candidates with all that excludes them, and rules with results.

What always holds: a rule's text is compiled once, and its result kept while what it reads stays the same.
Rule evaluation itself is the service's; which rules apply where is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from offer_optimizer.core.catalog import Catalog, Offer, OfferStatus, OfferType
from offer_optimizer.core.decision import InlineCandidate
from offer_optimizer.core.errors import InvalidInput, RuleFault
from offer_optimizer.core.features import Features
from offer_optimizer.core.rules import OFFER_MAPS, Rule, RuleFacts

_RESULTS_KEPT: Final = 100_000
"""Inline candidates may have other attributes in every request."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What can exclude a candidate. `cost` is what a use of it takes from a budget in money."""

    id: str
    type: OfferType
    is_live: bool
    start_time_us: int | None
    end_time_us: int | None
    rule: str
    group: str
    attributes: Features
    cost: float

    @classmethod
    def of_offer(cls, offer: Offer) -> Candidate:
        """Return an offer of the catalog."""
        return cls(
            offer.id,
            offer.type,
            offer.status is OfferStatus.LIVE,
            offer.start_time_us,
            offer.end_time_us,
            offer.eligible,
            offer.group,
            offer.attributes,
            dict(offer.attributes.numbers).get("cost", 0.0),
        )

    @classmethod
    def of_inline(cls, inline: InlineCandidate, known: Candidate | None) -> Candidate:
        """Return a candidate that came with the request.

        One whose id the catalog knows keeps all that the catalog says of it, but its attributes; any other
        is live for ever, of no group, and has no rule.
        """
        if known is not None:
            return replace(known, attributes=inline.attributes)
        live = True
        return cls(inline.offer_id, OfferType.CONTENT, live, None, None, "", "", inline.attributes, 0.0)


class Outcome(Enum):
    """What a rule made."""

    TRUE = "true"
    FALSE = "false"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Reads:
    """What rules of one decision may read: its context as kept, and counts by cap id."""

    context: Features
    visitor: Mapping[str, float]


class Rules:
    """Rules by their text, compiled once; what one makes of an offer alone is kept for all decisions."""

    def __init__(self) -> None:
        self._compiled: dict[str, Rule | None] = {}
        self._of_offers: dict[tuple[str, Features], Outcome] = {}

    def for_decision(self, reads: Reads) -> DecisionRules:
        """Return the rules as one decision sees them."""
        return DecisionRules(self, reads)

    def compiled(self, text: str) -> Rule | None:
        """Return a rule; None where it doesn't compile, which is an error in every decision."""
        if text not in self._compiled:
            try:
                self._compiled[text] = Rule(text)
            except InvalidInput:
                self._compiled[text] = None
        return self._compiled[text]

    def of_offer(self, rule: Rule, attributes: Features) -> Outcome:
        """Return the result of a rule that reads nothing but the offer."""
        key = (rule.text, attributes)
        if len(self._of_offers) >= _RESULTS_KEPT:
            self._of_offers.clear()
        if key not in self._of_offers:
            self._of_offers[key] = ask(rule, RuleFacts.build(Features(), offer=attributes))
        return self._of_offers[key]


class DecisionRules:
    """Rules for one decision: one that reads no offer is evaluated once."""

    def __init__(self, rules: Rules, reads: Reads) -> None:
        self._rules = rules
        self._reads = reads
        self._of_context: dict[str, Outcome] = {}
        self._facts: dict[Features | None, RuleFacts] = {}

    def outcome(self, text: str, attributes: Features) -> Outcome:
        """Return what a rule makes of a candidate; without a rule everything may be shown."""
        if not text:
            return Outcome.TRUE
        rule = self._rules.compiled(text)
        if rule is None:
            return Outcome.ERROR
        if rule.reads <= OFFER_MAPS:
            return self._rules.of_offer(rule, attributes)
        if rule.reads & OFFER_MAPS:
            return ask(rule, self._facts_with(attributes))
        if text not in self._of_context:
            self._of_context[text] = ask(rule, self._facts_with(None))
        return self._of_context[text]

    def _facts_with(self, attributes: Features | None) -> RuleFacts:
        if attributes not in self._facts:
            facts = RuleFacts.build(self._reads.context, self._reads.visitor, attributes)
            self._facts[attributes] = facts
        return self._facts[attributes]


def ask(rule: Rule, facts: RuleFacts) -> Outcome:
    """Return what a rule makes of the facts; a fault is one of the answers."""
    try:
        return Outcome.TRUE if rule.evaluate(facts) else Outcome.FALSE
    except RuleFault:
        return Outcome.ERROR


class CatalogReader:
    """One catalog revision, by placement and candidate."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._offers = tuple(Candidate.of_offer(offer) for offer in catalog.offers)
        self._expected = {
            placement.id: tuple(catalog.offer_index[offer_id] for offer_id in placement.offers)
            for placement in catalog.placements
        }

    def expected_candidates(self, placement_id: str, inline_count: int) -> tuple[int, ...]:
        """Return the indices that a decision has to have as candidates."""
        if inline_count:
            first = len(self._offers)
            return tuple(range(first, first + inline_count))
        return self._expected[placement_id]

    def candidates(
        self, indices: Sequence[int], inline: Sequence[InlineCandidate]
    ) -> tuple[Candidate, ...] | None:
        """Return the candidates with these indices; None where an index points at nothing."""
        first = len(self._offers)
        if any(index >= first + len(inline) for index in indices):
            return None
        return tuple(
            self._offers[index] if index < first else self._inline(inline[index - first]) for index in indices
        )

    def _inline(self, inline: InlineCandidate) -> Candidate:
        known = self.catalog.offer_index.get(inline.offer_id)
        return Candidate.of_inline(inline, None if known is None else self._offers[known])
